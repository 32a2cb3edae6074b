"""The one writer of JSON lines, on label files and on a record that only this test knows."""

import resource
import threading
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from eval.mine_check.records import Grid, MineCheck
from fama.diagnosis.diagnose import diagnose
from fama.episodes.jsonl import RecordStore, _write, existing_file, line_of
from fama.episodes.record_faults import is_other_version
from fama.episodes.records import Episode, Failure, Outcome, Record
from fama.episodes.store import EpisodeStore, read_failures
from fama.errors import BadInput
from fama.mining.records import Repair as Mined
from tests.support.diagnosis_cases import agent, episode, user


class Repair(Record):
    """A record of a future stage."""

    episode_id: str
    tokens: int = 0


def label(number: int) -> Failure:
    return Failure(episode_id=f"e{number}", task_id="t", labeller="x", rationale="ü\n\u2028", taxonomy_version="1")


def test_any_record_makes_the_round_trip(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "new" / "repairs.jsonl", Repair)
    assert list(store.read()) == [] and store.size() == 0
    for number in range(3):
        store.append(Repair(episode_id=f"e{number}", tokens=number))
    assert [repair.tokens for repair in store.read()] == [0, 1, 2]
    store.rewrite(repair for repair in list(store.read()) if repair.tokens)
    assert [repair.episode_id for repair in store.read()] == ["e1", "e2"]
    with pytest.raises(BadInput, match=r"repairs.jsonl:1: .*; fix or delete that line$"):
        list(RecordStore(store.path, Failure).read())


def test_a_torn_label_is_passed_over_and_cut_off_by_the_next_one(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "failures.jsonl", Failure)
    store.append(label(0))
    whole = store.path.read_bytes()
    store.path.write_bytes(whole + whole[:-20])
    assert read_failures(tmp_path) == [label(0)]
    store.append(label(1))
    assert read_failures(tmp_path) == [label(0), label(1)] and store.path.read_bytes().count(b"\n") == 2
    store.path.write_bytes(store.path.read_bytes()[:-1])  # whole, but its line break is missing
    store.append(label(2))
    assert read_failures(tmp_path) == [label(0), label(1), label(2)]


@pytest.mark.parametrize(
    "last",
    [
        b'{"episode_id":"b","tokens":1,"comment":"checked"}',
        b'{"episode_id":"b","tokens":"many"}',
        b'{"tokens":1}',
        b'{"episode_id":"b","tokens":NaN}',
        b'{"episode_id":"b","extra":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'"note"',
        b"[1, 2",
    ],
)
def test_a_last_line_that_is_whole_json_is_told_and_never_cut(tmp_path: Path, last: bytes) -> None:
    """Somebody edited the file with an editor that leaves out the last line break."""
    store = RecordStore(tmp_path / "repairs.jsonl", Repair)
    before = line_of(Repair(episode_id="a")) + last
    for end in (b"", b"\n"):
        store.path.write_bytes(before + end)
        with pytest.raises(BadInput, match=r"repairs.jsonl:2: .*; fix or delete that line$"):
            list(store.read())
    store.path.write_bytes(before)
    store.append(Repair(episode_id="c"))
    assert store.path.read_bytes() == before + b"\n" + line_of(Repair(episode_id="c"))


@pytest.mark.parametrize(
    "last", [b'{"episode_id":"b","tok', b'{"episode_id":"\xc3', b'{"episode_id":"b"', b"{", b"\0" * 9]
)
def test_the_beginning_of_a_record_is_torn(tmp_path: Path, last: bytes) -> None:
    store = RecordStore(tmp_path / "repairs.jsonl", Repair)
    store.path.write_bytes(line_of(Repair(episode_id="a")) + last)
    assert [repair.episode_id for repair in store.read()] == ["a"]
    store.append(Repair(episode_id="c"))
    assert store.path.read_bytes() == line_of(Repair(episode_id="a")) + line_of(Repair(episode_id="c"))


def test_a_full_disk_leaves_the_labels_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RecordStore(tmp_path / "failures.jsonl", Failure)
    store.append(label(0))
    before = store.path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space") as caught:
            store.append(label(1))
        assert caught.value.filename == str(store.path)
        with pytest.raises(OSError, match="No space"):
            store.rewrite([label(1)])
    assert store.path.read_bytes() == before
    store.append(label(1))
    assert read_failures(tmp_path) == [label(0), label(1)]


def test_labels_of_several_writers_do_not_mix(tmp_path: Path) -> None:
    def write(start: int) -> None:
        for number in range(start, start + 10):
            RecordStore(tmp_path / "failures.jsonl", Failure).append(label(number))

    writers = [threading.Thread(target=write, args=(start,)) for start in (0, 10, 20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(found.episode_id for found in read_failures(tmp_path)) == sorted(f"e{n}" for n in range(30))


async def test_a_diagnosis_that_the_disk_stops_goes_on_with_whole_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EpisodeStore(tmp_path / "run")
    failed = episode(user("Hello"), agent("Bye."))
    for number in range(4):
        store.append(failed.model_copy(update={"id": f"e{number}", "outcome": Outcome(status="failure")}))
    whole = await diagnose(tmp_path / "run", tmp_path / "whole")
    assert whole.failures == 4
    append, done = RecordStore.append, 0

    def full_after_two(self: RecordStore[Record], record: Record) -> None:
        nonlocal done
        done += 1
        if done > 2:
            with self.path.open("ab") as file:
                file.write(record.model_dump_json().encode()[:25])
            raise OSError(28, "No space left on device", str(self.path))
        append(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(RecordStore, "append", full_after_two)
        with pytest.raises(OSError, match="No space"):
            await diagnose(tmp_path / "run", tmp_path / "out")
    assert len(read_failures(tmp_path / "out")) == 2
    again = await diagnose(tmp_path / "run", tmp_path / "out")
    assert (again.failures, again.labelled_now) == (4, 2)
    assert read_failures(tmp_path / "out") == read_failures(tmp_path / "whole")


def test_a_key_that_is_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "repairs.jsonl", Repair)
    store.path.write_text('{"episode_id": "a"}\n{"episode_id": "b", "tokens": 1, "tokens": 2}\n', encoding="utf-8")
    with pytest.raises(BadInput, match=r"repairs.jsonl:2: the key 'tokens' is given twice; keep one of its values$"):
        list(store.read())
    twice = '"evidence":[{"source":"s","category":"c","source":"t"}]'
    inside = label(0).model_dump_json().replace('"evidence":[]', twice)
    (tmp_path / "failures.jsonl").write_text(inside + "\n", encoding="utf-8")
    with pytest.raises(BadInput, match="the key 'source' is given twice"):
        read_failures(tmp_path)


def test_a_record_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    for line in (
        label(0).model_dump_json().replace('"schema_version":1', '"schema_version":2'),
        label(0).model_dump_json().replace('"schema_version":1', '"schema_version":2,"new":0'),
    ):
        for end in ("\n", ""):
            path.write_text(label(1).model_dump_json() + "\n" + line + end, encoding="utf-8")
            told = r":2: schema_version is not 1, which this release reads; move the file away and make it anew"
            with pytest.raises(BadInput, match=told):
                read_failures(tmp_path)


@pytest.mark.parametrize("record", [Episode, Failure, Mined, Grid, MineCheck])
def test_every_line_of_a_file_states_the_one_version_that_is_read(record: type[Record]) -> None:
    read = record.model_fields["schema_version"].default
    for other in (read - 1, read + 1):
        with pytest.raises(ValidationError) as error:
            record.model_validate({"schema_version": other})
        assert is_other_version(error.value)
    with pytest.raises(ValidationError) as error:
        record.model_validate({"schema_version": read, "unheard_of": 2})
    assert not is_other_version(error.value)


def test_blank_lines_are_passed_over_and_folders_are_made(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "new" / "and deeper" / "repairs.jsonl", Repair)
    store.append(Repair(episode_id="a"))
    store.path.write_bytes(b"\n" + store.path.read_bytes() + b"  \n\n")
    store.append(Repair(episode_id="b"))
    assert [repair.episode_id for repair in store.read()] == ["a", "b"]


@pytest.mark.parametrize("size", [1, 2, 65_535, 65_536, 65_537, 131_073])
def test_a_torn_first_line_is_cut_off_whole_at_every_size(tmp_path: Path, size: int) -> None:
    store = RecordStore(tmp_path / "repairs.jsonl", Repair)
    store.path.write_bytes(b"{" * size)
    store.append(Repair(episode_id="a"))
    assert store.path.read_bytes() == line_of(Repair(episode_id="a"))
    store.path.write_bytes(b"\n" + b"{" * size)
    store.append(Repair(episode_id="a"))
    assert store.path.read_bytes() == b"\n" + line_of(Repair(episode_id="a"))


@pytest.mark.parametrize("whole", [0, 1])
@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_an_interrupted_append_leaves_whole_lines_only(tmp_path: Path, whole: int, ending: bytes) -> None:
    """Of an empty file nothing, of a line its break, which it may have lacked."""
    store = RecordStore(tmp_path / "repairs.jsonl", Repair)
    line = line_of(Repair(episode_id="a")) * whole
    store.path.write_bytes(line.rstrip(b"\n") + ending * whole)

    def stopped() -> Iterator[bytes]:
        yield line_of(Repair(episode_id="b"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.append_lines(stopped())
    assert store.path.read_bytes() == line


def test_an_error_that_names_a_file_keeps_its_name(tmp_path: Path) -> None:
    def unreadable() -> Iterator[bytes]:
        yield b""
        raise PermissionError(13, "Permission denied", "elsewhere")

    with pytest.raises(PermissionError) as caught:
        RecordStore(tmp_path / "repairs.jsonl", Repair).append_lines(unreadable())
    assert caught.value.filename == "elsewhere"


def test_a_line_that_does_not_fit_on_the_disk_is_taken_back(tmp_path: Path) -> None:
    """Files may grow by 20 bytes only, and the line is longer."""
    store = RecordStore(tmp_path / "repairs.jsonl", Repair)
    store.append(Repair(episode_id="a"))
    before, limits = store.path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            store.append(Repair(episode_id="b" * 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(store.path)
    assert store.path.read_bytes() == before


@pytest.mark.parametrize("name", ["episodes.jsonl", "failures.jsonl"])
def test_a_missing_file_is_asked_for_by_name(tmp_path: Path, name: str) -> None:
    article = {"episodes.jsonl": "an", "failures.jsonl": "a"}[name]
    with pytest.raises(BadInput, match=f"no: does not exist; give {article} {name} or the folder that holds one"):
        existing_file(tmp_path / "no", name)


def test_what_a_write_leaves_is_written_next() -> None:
    """A call may take nothing, or a part only."""
    taken: list[bytes] = []
    answers = iter([2, None, 0, 3])

    class Slow(RawIOBase):
        def write(self, data: Any, /) -> int | None:
            count = next(answers)
            taken.append(bytes(data[: count or 0]))
            return count

    _write(Slow(), b"abcde")
    assert b"".join(taken) == b"abcde" and len(taken) == 4
