"""An annotator's work: order, toggling, saving at once; and bad input of the command."""

import socket
from pathlib import Path

import pytest

from fama.annotate.annotation_session import AnnotationSession
from fama.cli import main
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Failure, Outcome
from fama.episodes.store import EpisodeStore, read_failures, write_failures
from fama.errors import BadInput
from tests.support.failed_episodes import failed


def session(folder: Path, annotator: str = "ann", episodes: int = 12) -> AnnotationSession:
    return AnnotationSession(annotator, [failed(i) for i in range(episodes)], load_taxonomy(), folder)


def test_labels_are_on_disk_after_every_change_and_come_back(tmp_path: Path) -> None:
    mine = session(tmp_path)
    first = mine.episode.id
    mine.toggle("CM")
    mine.toggle("DCV")
    (stored,) = read_failures(tmp_path / "annotations" / "ann.jsonl")
    assert (stored.episode_id, stored.categories, stored.primary) == (first, ("DCV", "CM"), ("CM",))
    assert (stored.labeller, stored.taxonomy_version) == ("ann", "fama-4/1")
    mine.make_primary("IFU")
    mine.step(2)
    mine.step(99)
    mine.blame("user")
    mine.note("odd")
    again = session(tmp_path)
    assert again.done == 1 and again.episode.id != first  # goes on at the first one without a label
    again.place = [e.id for e in again.episodes].index(first)
    label = again.label
    assert (label.categories, label.primary) == (("DCV", "CM", "IFU"), ("IFU",))
    assert (label.step, label.blame, label.rationale) == (2, "user", "odd")
    again.toggle("IFU")
    assert again.label.primary == ("DCV",)
    again.fits_none()
    assert again.label.categories == () and again.done == 1


def test_an_episode_that_was_only_touched_stays_open(tmp_path: Path) -> None:
    mine = session(tmp_path, episodes=2)
    first = mine.place
    mine.step(1)
    mine.note("odd")
    mine.blame("user")
    mine.toggle("CM")
    mine.toggle("CM")
    assert mine.done == 0
    again = session(tmp_path, episodes=2)
    assert (again.place, again.label.step, again.label.rationale, again.label.blame) == (first, 1, "odd", "user")
    again.fits_none()
    assert (again.done, again.label.fits_none, again.label.step) == (1, True, 1)
    assert session(tmp_path, episodes=2).place != first
    again.toggle("CM")  # takes the mark back, and so does what follows
    again.toggle("CM")
    assert (again.done, again.label.fits_none) == (0, False)


def test_labels_of_another_taxonomy_are_refused_in_one_line(tmp_path: Path) -> None:
    mine = session(tmp_path)
    mine.toggle("CM")
    kept = (tmp_path / "annotations" / "ann.jsonl").read_bytes()
    (tmp_path / "own.yaml").write_text(
        "version: mine/1\ncategories:\n- {code: A, name: a, definition: x, sources: []}\n"
        "- {code: B, name: b, definition: y, sources: []}\n"
    )
    own = load_taxonomy(tmp_path / "own.yaml")
    with pytest.raises(BadInput, match=r"ann.jsonl: holds CM under fama-4/1, not a label of mine/1 \(A, B\); give"):
        AnnotationSession("ann", [failed(0)], own, tmp_path)
    same_name = own.model_copy(update={"version": "fama-4/1"})
    with pytest.raises(BadInput, match="holds CM under"):
        AnnotationSession("ann", [failed(0)], same_name, tmp_path)
    assert (tmp_path / "annotations" / "ann.jsonl").read_bytes() == kept
    assert AnnotationSession("bob", [failed(0)], own, tmp_path).done == 0


def test_each_annotator_has_an_order_of_its_own_that_stays(tmp_path: Path) -> None:
    orders = {name: [e.id for e in session(tmp_path, name).episodes] for name in ("ann", "bob")}
    assert orders["ann"] != orders["bob"] and sorted(orders["ann"]) == sorted(orders["bob"])
    assert orders["ann"] == [e.id for e in session(tmp_path, "ann").episodes]


def test_steps_through_the_episodes(tmp_path: Path) -> None:
    mine = session(tmp_path, episodes=3)
    mine.go(-1)
    assert mine.place == 0
    mine.toggle("CM")
    mine.next_open()
    assert mine.place == 1
    mine.go(5)
    assert mine.place == 2
    mine.toggle("CM")
    mine.next_open()
    assert mine.place == 1  # from the start again


@pytest.mark.parametrize("name", ["", "../x", "a/b", "x" * 41, "-x", "é"])
def test_names_are_no_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="letters, digits"):
        session(tmp_path, name)


def test_the_command_refuses_what_it_cannot_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", str(tmp_path)]) == 2
    good = failed(0).model_copy(update={"outcome": Outcome(status="success")})
    EpisodeStore(tmp_path).append(good)
    assert main(["annotate", str(tmp_path)]) == 2
    assert "no failed episode" in capsys.readouterr().err
    EpisodeStore(tmp_path).append(failed(1))
    assert main(["annotate", str(tmp_path), "--port", "0"]) == 2
    write_failures(tmp_path / "other.jsonl", [Failure(episode_id="x", task_id="t", labeller="a", taxonomy_version="v")])
    capsys.readouterr()
    assert main(["annotate", str(tmp_path), "--only", str(tmp_path / "other.jsonl")]) == 2
    assert "names no failed episode of" in capsys.readouterr().err


def test_two_sessions_of_one_annotator_lose_no_label(tmp_path: Path) -> None:
    one, two = session(tmp_path), session(tmp_path)
    one.toggle("CM")
    two.go(1)
    two.toggle("DCV")
    two.place = one.place
    two.blame("user")  # of the label that the other one began
    one.note("odd")
    stored = {label.episode_id: label for label in read_failures(tmp_path / "annotations" / "ann.jsonl")}
    first = stored[one.episode.id]
    assert len(stored) == 2 and (first.categories, first.blame, first.rationale) == (("CM",), "user", "odd")
    assert one.done == two.done == 2


def test_a_port_in_use_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    EpisodeStore(tmp_path).append(failed(0))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["annotate", str(tmp_path), "--port", port]) == 2
    error = capsys.readouterr().err
    assert f"--port {port}: cannot be used" in error and error.count("\n") == 1
