"""Failure profiles: hand cases, synthetic truth for the drift test, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest

from eval.annotation.failure_profiles import Change, Drift, draw_profiles, drift, in_words, profile, unlike_labels
from fama.cli import main
from fama.episodes.records import Evidence, Failure
from fama.episodes.store import write_failures

CODES = ("DCV", "WRCO", "CM", "IFU")


def label(number: int, *primary: str, task: str | None = None) -> Failure:
    return Failure(
        episode_id=f"e{number}",
        task_id=task or f"t{number}",
        categories=primary,
        primary=primary,
        labeller="a",
        taxonomy_version="fama-4/1",
    )


def drawn(rng: np.random.Generator, shares: list[float], n: int = 120) -> list[Failure]:
    """SYNTHETIC failures, two per task, with the given shares."""
    return [label(i, str(code), task=f"t{i // 2}") for i, code in enumerate(rng.choice(CODES, n, p=shares))]


def test_shares_by_hand() -> None:
    found = profile("x", [label(0, "CM"), label(1, "CM", "IFU"), label(2, "DCV", task="t0"), label(3)], CODES)
    assert (found.failures, found.tasks) == (4, 3)
    assert {s.category: (s.count, s.value) for s in found.shares} == {
        "DCV": (1, 0.25),
        "WRCO": (0, 0.0),
        "CM": (2, 0.5),
        "IFU": (1, 0.25),
    }
    cm = found.shares[2]
    assert cm.low is not None and cm.high is not None and cm.low <= 0.5 <= cm.high


def test_what_was_never_seen_has_an_interval() -> None:
    """12 failures of 12 tasks, all of one category: resampled, they never are of another."""
    dcv, wrco, *_ = profile("x", [label(i, "DCV", task=f"t{i}") for i in range(12)], CODES).shares
    assert dcv.value == dcv.high == 1.0 and dcv.low is not None and 0.6 < dcv.low < 0.8
    assert wrco.value == wrco.low == 0.0 and wrco.high == pytest.approx(1 - dcv.low)


def test_a_task_id_of_two_domains_is_two_tasks() -> None:
    labels = [label(i, "CM", task="5").model_copy(update={"domain": domain}) for i, domain in enumerate("aab")]
    assert str(labels[0].key) == "a/5" and str(labels[0].model_copy(update={"benchmark": "x"}).key) == "x/a/5"
    assert profile("x", labels, CODES).tasks == 2


def test_drift_is_found_where_it_is_and_rarely_where_it_is_not() -> None:
    rng = np.random.default_rng(3)
    same = [0.3, 0.2, 0.1, 0.4]
    false = sum(drift(drawn(rng, same), drawn(rng, same), CODES, draws=300, seed=i).is_significant for i in range(200))
    assert false / 200 <= 0.1
    moved = drift(drawn(rng, same), drawn(rng, [0.3, 0.2, 0.4, 0.1]), CODES, draws=1000)
    assert moved.is_significant and {c.category for c in moved.changes if c.p < 0.05} == {"CM", "IFU"}
    assert "The profile has drifted" in in_words(moved) and "IFU" in in_words(moved)


def test_the_words_state_no_p_of_zero() -> None:
    """One in 5,001 splits, the least there is, is 0.0002."""
    least = Drift(p=1 / 5001, changes=(Change(category="CM", before=0.1, after=0.9, p=4 / 5001),))
    assert "has drifted (p < 0.001): CM 10% → 90% (p < 0.001)." in in_words(least)
    assert "(p = 0.060)" in in_words(Drift(p=0.06, changes=()))


def test_equal_profiles_do_not_differ() -> None:
    labels = [label(i, CODES[i % 4]) for i in range(12)]
    found = drift(labels, labels, CODES, draws=200)
    assert found.p == 1.0 and "No drift shown" in in_words(found)
    assert all(change.before == change.after == 0.25 for change in found.changes)


@pytest.mark.parametrize("groups", [4, 5, 9])
def test_each_of_many_groups_has_a_panel_with_its_name(groups: int) -> None:
    figure = draw_profiles([profile(f"group {n}", [label(n, "CM")], CODES) for n in range(groups)])
    shown = [axes for axes in figure.axes if axes.get_visible()]
    names = [f"group {n} (n = 1)" for n in range(groups)]
    if groups <= 4:
        (axes,) = shown
        assert [text.get_text() for text in axes.get_legend().get_texts()] == names
    else:
        assert [axes.get_title(loc="left") for axes in shown] == names
        assert all(axes.get_legend() is None and len(axes.patches) == len(CODES) for axes in shown)


@pytest.mark.parametrize("tasks", [4, 9, 18, 29])
def test_categories_that_all_or_none_have_are_drawn(tasks: int) -> None:
    figure = draw_profiles([profile("one", [label(n, "CM") for n in range(tasks)], CODES)])
    assert {round(bar.get_width()) for axes in figure.axes for bar in axes.patches} == {0, 1}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    write_failures(tmp_path / "old.jsonl", drawn(rng, [0.7, 0.1, 0.1, 0.1]))
    write_failures(tmp_path / "new.jsonl", drawn(rng, [0.1, 0.1, 0.1, 0.7]))
    command = ["profile", str(tmp_path / "new.jsonl"), "--against", str(tmp_path / "old.jsonl")]
    assert main([*command, "--figure", str(tmp_path / "p.png")]) == 0
    shown = capsys.readouterr().out
    assert "has drifted" in shown and "DCV %" in shown and (tmp_path / "p.png").stat().st_size > 5000
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["profiles"]) == 2 and list(printed["drift"].values())[0]["shown"]
    assert main([*command, "--figure", "p.gif"]) == 2
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    assert main(["profile", str(tmp_path / "empty.jsonl")]) == 2
    assert "holds no label" in capsys.readouterr().err


def test_labels_that_were_made_in_another_way_are_told_beside_the_drift(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = Evidence(source="gold:missing", category="IFU", step=1, quote="x")
    bare = [label(number, "IFU") for number in range(20)]
    full = [one.model_copy(update={"evidence": (seen,)}) for one in bare]
    other = [one.model_copy(update={"labeller": "b"}) for one in bare]
    assert unlike_labels(bare, bare) is None and unlike_labels(full, full[:3] + bare[3:]) is None
    assert unlike_labels(bare, full) == "100% of the labels of one side rest on reference actions, none of the other"
    assert unlike_labels(bare, other) == "the old labels are by a, the new ones by b"
    for name, labels in (("old", full), ("new", bare)):
        write_failures(tmp_path / f"{name}.jsonl", labels)
    command = ["profile", str(tmp_path / "new.jsonl"), "--against", str(tmp_path / "old.jsonl")]
    assert main(command) == 0 and "careful: 100% of the labels of one side rest on" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["drift"].values()
    assert "rest on reference actions" in found["labels_differ"]


def test_labels_of_another_taxonomy_are_refused_not_counted_as_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = [
        one.model_copy(update={"taxonomy_version": "hotel/1", "primary": ("ROW",)})
        for one in (label(0, "CM"), label(1, "CM"))
    ]
    write_failures(tmp_path / "mine.jsonl", mine)
    write_failures(tmp_path / "old.jsonl", [label(0, "CM"), label(1, "CM")])
    own = tmp_path / "hotel.yaml"
    own.write_text("version: hotel/1\ncategories:\n  - {code: ROW, name: row, definition: another row}\n")
    assert main(["profile", str(tmp_path / "mine.jsonl"), "--against", str(tmp_path / "old.jsonl")]) == 2
    assert f"{tmp_path / 'mine.jsonl'}: labelled under hotel/1, not under fama-4/1; " in capsys.readouterr().err
    assert main(["profile", str(tmp_path / "mine.jsonl"), "--taxonomy", str(own)]) == 0
    assert "ROW %" in capsys.readouterr().out


def test_failures_that_fit_no_category_are_told_and_unknown_categories_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [label(0, "CM"), label(1, "DCV"), *(label(n).model_copy(update={"fits_none": True}) for n in (2, 3))]
    write_failures(tmp_path / "mine.jsonl", labels)
    assert main(["profile", str(tmp_path / "mine.jsonl"), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["profiles"]
    counts = {share["category"]: share["count"] for share in found["shares"]}
    assert counts == {"DCV": 1, "WRCO": 0, "CM": 1, "IFU": 0, "unexplained": 0, "none": 2}
    write_failures(tmp_path / "other.jsonl", [label(0, "ROW")])
    assert main(["profile", str(tmp_path / "other.jsonl")]) == 2
    assert "other.jsonl: names 'ROW', which is no category of fama-4/1" in capsys.readouterr().err
