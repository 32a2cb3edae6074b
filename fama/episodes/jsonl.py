"""Records on disk as JSON lines: appended under a lock and forced to disk, read as a stream."""

import codecs
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import RawIOBase
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar, cast

from filelock import FileLock, Timeout
from pydantic import ValidationError

from fama.episodes.record_faults import fault_of, is_other_version
from fama.episodes.records import Record
from fama.errors import BadInput, Missing
from fama.files import replacing, sweep_temporary
from fama.redaction import redact_json
from fama.text.json_numbers import RepeatedKey, check_keys

R = TypeVar("R", bound=Record)


class RecordStore(Generic[R]):
    """One file of records of one type. Several processes may append to it.

    A line torn by an interrupted write is passed over when it is read and cut off before the next one is added.
    """

    def __init__(self, path: Path, record: type[R]) -> None:
        self.path = Path(path)
        self._record = record

    def append(self, record: R) -> None:
        """Add one line and force it to disk.

        Raises:
            OSError: the disk is full or the folder cannot be written; the file is as it was.
        """
        self.append_lines([line_of(record)])

    def append_lines(self, lines: Iterable[bytes]) -> None:
        """Add many lines, each a whole record with its line break, and force them to disk together.

        Raises:
            OSError: the disk is full or the folder cannot be written; the file is as it was.
        """
        lines = iter(lines)
        if (first := next(lines, None)) is None:
            return
        with self.locked():
            self.add_unlocked(chain([first], lines))

    def rewrite(self, records: Iterable[R]) -> None:
        """Replace the file by these records, whole or not at all.

        Raises:
            OSError: the disk is full or the folder cannot be written; the file is as it was.
        """
        with self.locked():
            self.rewrite_unlocked(records)

    def read(self, hint: str = "") -> Iterator[R]:
        """Stream the records of the file, which may be packed with gzip; none when there is no file.

        ``hint`` is added to the message when already the first line is none of these records.

        Raises:
            BadInput: a line is damaged (``file:line``), or the gzip file is not whole.
        """
        if not self.path.exists():
            return
        try:
            with cast(BinaryIO, gzip.open(self.path)) if self.path.suffix == ".gz" else self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if number == 1:
                        line = self._checked_start(line)
                    if not line.strip():
                        continue
                    try:
                        record = self._record.model_validate_json(line)
                        check_keys(line)
                    except RepeatedKey as error:
                        raise BadInput(f"{self.path}:{number}: {error}; keep one of its values") from None
                    except ValidationError as error:
                        if is_other_version(error):
                            fix = "move the file away and make it anew with this release"
                            raise BadInput(f"{self.path}:{number}: {fault_of(error)}; {fix}") from None
                        fix = f"fix or delete that line{', or ' + hint if hint and number == 1 else ''}"
                        if is_torn(line):
                            return
                        raise BadInput(f"{self.path}:{number}: {fault_of(error)}; {fix}") from None
                    yield record
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise BadInput(f"{self.path}: not a whole gzip file; fetch or pack it again") from None

    def _checked_start(self, line: bytes) -> bytes:
        """Return the first line without the byte-order mark that some editors put before it.

        Raises:
            BadInput: the mark is that of UTF-16.
        """
        if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise BadInput(f"{self.path}: UTF-16 text; save it as UTF-8")
        return line.removeprefix(codecs.BOM_UTF8)

    def size(self) -> int:
        """Return the bytes of the file; 0 when there is none."""
        return self.path.stat().st_size if self.path.exists() else 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers of the file waiting for the length of the block; not to be nested.

        Raises:
            BadInput: the file is packed, so that a second one would take its place.
        """
        self.refuse_packed()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            yield

    @contextmanager
    def alone(self, size: int) -> Iterator[None]:
        """Keep every other run out of the folder for the length of the block; left-overs of killed ones are removed.

        ``size`` is what the caller has read of the file, in bytes. The lock is the operating system's: a process that
        dies gives it back.

        Raises:
            BadInput: another run is at work here, or has written since the caller read, or the file is packed.
        """
        self.refuse_packed()
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder / ".run.lock", timeout=0):
                self.check_unchanged(size)
                sweep_temporary(folder)
                yield
        except Timeout:
            raise BadInput(
                f"{folder}: another process is running in this folder; wait for its end or give another --out"
            ) from None

    def refuse_packed(self) -> None:
        """Refuse to write a file of which a packed one is there.

        Raises:
            BadInput: it is there.
        """
        packed = self.path.with_name(f"{self.path.name}.gz")
        if packed.exists():
            raise BadInput(f"{packed}: is packed, and is not added to; unpack it with gunzip, or give another --out")

    def check_unchanged(self, size: int) -> None:
        """Refuse a file that is not as large any more as when the caller read it.

        Raises:
            BadInput: another run has written since.
        """
        if self.size() != size:
            raise BadInput(f"{self.path.parent}: another process has just written here; give the command again")

    def add_unlocked(self, lines: Iterable[bytes]) -> None:
        """Add lines inside ``locked``."""
        # No buffer: on a full disk Python's would keep what did not fit, refuse to truncate before it is written, and
        # write a part of it when the file is closed.
        with self.path.open("a+b", buffering=0) as file:
            end = self._repair_end(file)
            try:
                for line in lines:
                    _write(file, line)
                os.fsync(file.fileno())
            except BaseException as error:  # a full disk, or an interrupted command
                file.truncate(end)
                if isinstance(error, OSError) and error.filename is None:
                    error.filename = str(self.path)
                raise

    def rewrite_unlocked(self, records: Iterable[R]) -> None:
        """Replace the file inside ``locked``."""
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            for record in records:
                file.write(line_of(record))

    def _repair_end(self, file: RawIOBase) -> int:
        """Cut off a torn last line, or end any other one that lacks its line break; return the file's size."""
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return 0
        tail, start = b"", size
        while start > 0 and b"\n" not in tail:
            step = min(65536, start)
            start -= step
            file.seek(start)
            tail = (file.read(step) or b"") + tail
        if tail.endswith(b"\n"):
            return size
        last = tail[tail.rfind(b"\n") + 1 :]
        if is_torn(last):
            return file.truncate(size - len(last))
        _write(file, b"\n")
        return size + 1


def line_of(record: Record) -> bytes:
    """Return a record as one line with its line break, without keys in any text."""
    return redact_json(record.model_dump_json()).encode("utf-8") + b"\n"


def as_stored(record: R) -> tuple[R, bytes]:
    """Return a record without keys in any text, as it will be read again, and its line."""
    text = record.model_dump_json()
    kept = redact_json(text)
    return record if kept == text else type(record).model_validate_json(kept), kept.encode("utf-8") + b"\n"


def existing_file(path: Path, name: str) -> Path:
    """Return the file itself, or the one called ``name`` (or ``name.gz``) in a folder.

    Raises:
        Missing: there is nothing.
        BadInput: a folder holds none, or both.
    """
    if path.is_dir():
        found = [one for one in (path / name, path / f"{name}.gz") if one.exists()]
        if len(found) > 1:
            raise BadInput(f"{path}: holds both {name} and {name}.gz; move one of them away")
        if found:
            return found[0]
        raise BadInput(f"{path}: holds no {name}; give the folder that a command wrote it into")
    if not path.exists():
        article = "an" if name[0] in "aeiou" else "a"
        raise Missing(f"{path}: does not exist; give {article} {name} or the folder that holds one")
    return path


def is_torn(line: bytes) -> bool:
    """Return whether a line is the beginning of a record, left by an interrupted write: no line break, no whole JSON.

    A record is an object, so the beginning of a list is somebody else's file.
    """
    if line.endswith(b"\n") or line.lstrip().startswith(b"["):
        return False
    try:
        json.loads(line)
    except RecursionError:  # no record is that deep
        return False
    except ValueError:
        return True
    return False


def _write(file: RawIOBase, data: bytes) -> None:
    """Write all of it: a call may write a part only."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]
