import codecs
import gzip
import json
import os
import threading
import time
from pathlib import Path

import pytest

from fama.episodes.jsonl import RecordStore, line_of
from fama.episodes.records import Episode, Failure, Message, Outcome, Source
from fama.episodes.store import (
    EPISODES,
    SERVED,
    SET_ASIDE,
    EpisodeStore,
    given_labels,
    read_episodes,
    read_failures,
    write_failures,
)
from fama.errors import BadInput
from fama.files import write_atomically
from tests.support.label_builders import label


def episode(number: int, status: str = "success") -> Episode:
    outcome = Outcome.model_validate({"status": status, "boundary": "model" if status == "error" else None})
    message = Message(role="user", content="Grüße\n\u2028 ende")
    return Episode(
        id=f"e{number}", benchmark="b", domain="d", task_id=f"t{number}", messages=(message,), outcome=outcome
    )


def stored(path: Path) -> list[str]:
    return [found.id for found in read_episodes(path)]


def test_round_trip_in_duckdb_and_here(tmp_path: Path) -> None:
    import duckdb

    store = EpisodeStore(tmp_path / "run")
    assert store.ids() == set()
    for number in range(3):
        store.append(episode(number))
    assert list(read_episodes(tmp_path / "run")) == [episode(n) for n in range(3)]
    assert store.ids() == {"e0", "e1", "e2"}
    query = "select id, outcome.status, len(messages) from read_json(?)"
    rows = duckdb.execute(query, [str(store.path)]).fetchall()
    assert rows == [(f"e{n}", "success", 1) for n in range(3)]


def test_torn_last_line_is_skipped_then_cut_off(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    store.append(episode(0))
    with store.path.open("ab") as file:
        file.write(episode(1).model_dump_json().encode()[:-20])
    assert stored(tmp_path) == ["e0"]
    store.append(episode(2))
    assert stored(tmp_path) == ["e0", "e2"]
    assert store.path.read_bytes().count(b"\n") == 2


def test_a_conversation_is_left_out_only_where_the_one_that_goes_on_with_it_is_whole(tmp_path: Path) -> None:
    first = episode(0).model_copy(update={"source": Source(importer=SERVED)})
    whole = episode(1).model_copy(update={"source": Source(importer=SERVED, continues=first.id)})
    path = tmp_path / EPISODES
    path.write_bytes(line_of(first) + line_of(whole))
    assert stored(tmp_path) == ["e1"]
    path.write_bytes(line_of(first) + line_of(whole)[:-9])
    assert stored(tmp_path) == ["e0"], "torn"


def test_conversations_that_are_left_out_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    begun, whole = (episode(n).model_copy(update={"source": Source(importer=SERVED)}) for n in range(2))
    store = EpisodeStore(tmp_path)
    store.append(begun)
    assert stored(tmp_path) == ["e0"] and caplog.text == ""
    store.append(whole.model_copy(update={"source": Source(importer=SERVED, continues="e0")}))
    assert stored(tmp_path) == ["e1"]
    assert "1 conversations went on after a pause" in caplog.text


@pytest.mark.parametrize(
    ("numbers", "told"),
    [((3,), "give episodes-000003.jsonl by"), ((2, 1, 3), "give episodes-000001.jsonl to episodes-000003.jsonl by")],
)
def test_older_files_of_a_recording_are_told_once(
    numbers: tuple[int, ...], told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    EpisodeStore(tmp_path).append(episode(0))
    (tmp_path / "episodes-of-mine.jsonl").touch()
    assert stored(tmp_path) == ["e0"] and caplog.text == ""
    for number in numbers:
        (tmp_path / f"episodes-{number:06d}.jsonl").touch()
    assert stored(tmp_path) == stored(tmp_path) == ["e0"]
    assert caplog.text.count(f"only episodes.jsonl is read; {told} name for what was recorded before") == 1


def test_only_line_torn_even_when_long(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    store.path.write_bytes(b'{"id": "' + b"x" * 200_000)
    assert list(store.read()) == []
    store.append(episode(1))
    assert stored(tmp_path) == ["e1"]


def test_whole_last_line_without_its_break_is_kept(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    store.path.write_text(episode(0).model_dump_json(), encoding="utf-8")
    assert stored(tmp_path) == ["e0"]
    store.append(episode(1))
    assert stored(tmp_path) == ["e0", "e1"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "e1", "benchm', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"id": "e1"}', "field 'benchmark' is missing"),
        (episode(1).model_dump_json().replace('"trial":0', '"trial":0,"surprise":1').encode(), "surprise"),
    ],
)
def test_damaged_line_is_named(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "episodes.jsonl"
    path.write_bytes(episode(0).model_dump_json().encode() + b"\n" + line + b"\n")
    reader = read_episodes(tmp_path)
    assert next(reader).id == "e0"
    with pytest.raises(BadInput, match=reason) as caught:
        next(reader)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert "\n" not in str(caught.value)


def test_gzip_files_and_folders(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl.gz"
    path.write_bytes(gzip.compress(episode(0).model_dump_json().encode() + b"\n"))
    assert stored(tmp_path) == stored(path) == ["e0"]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadInput, match="gzip"):
        stored(path)
    path.write_bytes(b"plain")
    with pytest.raises(BadInput, match="gzip"):
        stored(path)


def test_a_packed_file_is_not_written_beside(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    store.append(episode(1))
    plain = store.path.read_bytes()
    (tmp_path / "episodes.jsonl.gz").write_bytes(gzip.compress(plain))
    with pytest.raises(BadInput, match=r"holds both episodes.jsonl and episodes.jsonl.gz; move one"):
        list(read_episodes(tmp_path))
    store.path.unlink()
    with pytest.raises(BadInput, match=r"episodes.jsonl.gz: is packed, and is not added to; unpack it"):
        store.append(episode(2))
    with pytest.raises(BadInput, match="is packed"):
        store.rewrite([episode(2)])
    with pytest.raises(BadInput, match="is packed"), store.alone(0):
        pass
    assert list(read_episodes(tmp_path)) == [episode(1)] and not store.path.exists()


def test_a_gzip_file_with_damaged_data_is_named(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl.gz"
    packed = bytearray(gzip.compress(b"".join(line_of(episode(number)) for number in range(50))))
    packed[40:120] = b"\xff" * 80
    path.write_bytes(bytes(packed))
    with pytest.raises(BadInput, match=r"episodes.jsonl.gz: not a whole gzip file"):
        list(read_episodes(path))


def test_marks_that_editors_put_before_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"
    path.write_bytes(codecs.BOM_UTF8 + line_of(episode(0)) + line_of(episode(1)))
    assert [one.task_id for one in read_episodes(path)] == [one.task_id for one in (episode(0), episode(1))]
    path.write_bytes(line_of(episode(0)).decode().encode("utf-16"))
    with pytest.raises(BadInput, match=r"episodes.jsonl: UTF-16 text; save it as UTF-8"):
        list(read_episodes(path))


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(BadInput, match="empty.jsonl: holds no episodes; run"):
        stored(tmp_path / "empty.jsonl")
    with pytest.raises(BadInput, match="holds no episodes.jsonl"):
        read_episodes(tmp_path)
    with pytest.raises(BadInput, match="does not exist"):
        read_episodes(tmp_path / "no.jsonl")


def test_set_aside_keeps_ids_unique_and_spending_known(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    for number, status in enumerate(["success", "error", "failure"]):
        store.append(episode(number, status))
    store.set_aside({"e1"})
    store.append(episode(1))
    assert stored(tmp_path) == ["e0", "e2", "e1"]
    assert [found.outcome.status for found in store.aside()] == ["error"]


def test_an_episode_in_both_files_is_set_aside_once(tmp_path: Path) -> None:
    """A process died between the two files: the copy waits until it is moved, and is not added again."""
    store = EpisodeStore(tmp_path)
    for number, status in enumerate(["success", "error", "error"]):
        store.append(episode(number, status))
    RecordStore(tmp_path / SET_ASIDE, Episode).append(episode(1, "error"))
    assert list(store.aside()) == []
    store.set_aside({"e1"})
    assert [found.id for found in store.aside()] == ["e1"] and stored(tmp_path) == ["e0", "e2"]
    store.set_aside({"e2"})
    assert [found.id for found in store.aside()] == ["e1", "e2"] and stored(tmp_path) == ["e0"]


def test_one_run_has_the_folder_and_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path / "new" / "run")
    with store.alone(0):
        start = time.monotonic()
        with pytest.raises(BadInput, match="another process is running in this folder"), store.alone(0):
            pytest.fail("two runs had the folder")
        assert time.monotonic() - start < 0.9  # refused at once
        store.append(episode(0))
    left = store.folder / ".00000000.tmp-summary.json"
    left.write_text("{")
    with store.alone(store.size()):
        assert not left.exists() and stored(store.folder) == ["e0"]
    with pytest.raises(BadInput, match="another process has just written here"), store.alone(store.size() - 1):
        pytest.fail("what another process wrote was overlooked")


def test_appends_of_several_writers_do_not_mix(tmp_path: Path) -> None:
    def write(start: int) -> None:
        for number in range(start, start + 10):
            EpisodeStore(tmp_path).append(episode(number))

    writers = [threading.Thread(target=write, args=(start,)) for start in (0, 10, 20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(stored(tmp_path)) == sorted(f"e{n}" for n in range(30))


def test_failed_append_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EpisodeStore(tmp_path)
    store.append(episode(0))
    before = store.path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.append(episode(1))
    assert store.path.read_bytes() == before


def test_failures(tmp_path: Path) -> None:
    failures = [Failure(episode_id=f"e{n}", task_id="t", labeller="x", taxonomy_version="1") for n in range(2)]
    write_failures(tmp_path, failures)
    assert read_failures(tmp_path) == read_failures(tmp_path / "failures.jsonl") == failures
    write_failures(tmp_path / "new" / "labels.jsonl", failures[:1])
    assert read_failures(tmp_path / "new" / "labels.jsonl") == failures[:1]
    (tmp_path / "failures.jsonl").write_text("[]\n")
    with pytest.raises(BadInput, match=r"failures.jsonl:1"):
        read_failures(tmp_path)


def test_labels_that_were_only_begun_are_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = label(0, "CM")
    write_failures(tmp_path, [whole])
    assert given_labels(tmp_path) == [whole] and caplog.text == ""
    write_failures(tmp_path, [label(1), whole, label(2)])
    assert given_labels(tmp_path) == [whole] and "2 labels are left out" in caplog.text
    write_failures(tmp_path, [label(1)])
    assert given_labels(tmp_path, allow_none=True) == []
    with pytest.raises(BadInput, match="holds no label; run `fama diagnose` or `fama annotate`"):
        given_labels(tmp_path)


def test_atomic_write_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, json.dumps({"a": 1}))

    def broken(source: str, target: Path) -> None:
        raise OSError(5, "broken")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="broken"):
        write_atomically(path, "{}")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["summary.json"]


def test_a_device_or_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(BadInput, match="pipe: is a device or a pipe, not a file"):
        write_atomically(pipe, "{}")
    assert pipe.is_fifo() and [found.name for found in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize(
    "text",
    [
        '[{"task_id": 1, "reward": 0.0, "traj": []}]',
        '{\n "info": {},\n "simulations": []\n}\n',
        '{"messages": [], "success": true}',
        '{"messages": [], "success": true}\n',
    ],
    ids=["list", "object", "line without its break", "line"],
)
def test_a_log_of_another_tool_is_sent_to_import(tmp_path: Path, text: str) -> None:
    """A list on one line without an end is no torn line: it would have been read as an empty log."""
    path = tmp_path / "theirs.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"theirs.json:1: .*fama import auto .*theirs.json") as caught:
        list(read_episodes(path))
    assert "\n" not in str(caught.value)
