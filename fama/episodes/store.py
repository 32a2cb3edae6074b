"""Episodes and failure labels on disk: JSON lines, appended under a lock, read as a stream."""

import gzip
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from io import RawIOBase
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from filelock import FileLock, Timeout
from pydantic import ValidationError

from fama.episodes.records import Episode, Failure, Record
from fama.errors import BadInput
from fama.files import replacing, sweep

R = TypeVar("R", bound=Record)

EPISODES = "episodes.jsonl"
FAILURES = "failures.jsonl"
#: Episodes that ended in an error and were run again; kept because their tokens were spent.
SET_ASIDE = "errors.jsonl"


class EpisodeStore:
    """The ``episodes.jsonl`` of one folder. Several processes may append to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / EPISODES

    def append(self, episode: Episode) -> None:
        """Add one line and force it to disk; a torn last line is cut off before.

        Raises:
            OSError: the disk is full or the folder cannot be written; the file is as it was.
        """
        with self._locked():
            _append(self.path, [_line(episode)])

    def append_lines(self, lines: Iterable[bytes]) -> None:
        """Add many lines, each a whole episode with its line break, and force them to disk together.

        Raises:
            OSError: the disk is full or the folder cannot be written; the file is as it was.
        """
        lines = iter(lines)
        if (first := next(lines, None)) is None:
            return
        with self._locked():
            _append(self.path, chain([first], lines))

    def ids(self) -> set[str]:
        """Ids of the stored episodes; empty when there are none yet.

        Raises:
            BadInput: a line is damaged.
        """
        return {episode.id for episode in read_episodes(self.path)} if self.path.exists() else set()

    def set_aside(self, ids: Collection[str]) -> None:
        """Move episodes to ``errors.jsonl``, so that they can be run again and every id stays unique.

        A process that is killed between the two files leaves an episode in both. ``aside`` then passes over it,
        and the next call moves it without adding it twice.
        """
        if not ids:
            return
        with self._locked():
            moved = [episode for episode in read_episodes(self.path) if episode.id in ids]
            there = set(self._aside_lines())
            for episode in moved:
                if _line(episode) not in there:
                    _append(self.folder / SET_ASIDE, [_line(episode)])
            _write_lines(self.path, (episode for episode in read_episodes(self.path) if episode.id not in ids))

    def aside(self) -> Iterator[Episode]:
        """The episodes that were set aside and are in ``episodes.jsonl`` no more."""
        if (self.folder / SET_ASIDE).exists():
            current = set(map(_line, _errors(self.path)))
            yield from (episode for episode in read_episodes(self.folder / SET_ASIDE) if _line(episode) not in current)

    def _aside_lines(self) -> Iterator[bytes]:
        path = self.folder / SET_ASIDE
        return map(_line, read_episodes(path)) if path.exists() else iter(())

    @contextmanager
    def alone(self, size: int) -> Iterator[None]:
        """Keep every other run out of the folder for the length of the block; left-overs of killed ones are removed.

        ``size`` is what the caller has read of the file, in bytes. The lock is the operating system's: a process that
        dies gives it back.

        Raises:
            BadInput: another run is at work here, or has written since the caller read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".run.lock", timeout=0):
                if self.size() != size:
                    raise BadInput(f"{self.folder}: another process has just written here; give the command again")
                sweep(self.folder)
                yield
        except Timeout:
            raise BadInput(
                f"{self.folder}: another process is running in this folder; wait for its end or give another --out"
            ) from None

    def size(self) -> int:
        """Bytes of the file; 0 when there is none."""
        return self.path.stat().st_size if self.path.exists() else 0

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f".{EPISODES}.lock"):
            yield


def read_episodes(path: Path) -> Iterator[Episode]:
    """Stream the episodes of a folder or of a ``.jsonl`` or ``.jsonl.gz`` file; a torn last line is left out.

    Raises:
        BadInput: nothing is there, a line is damaged (``file:line``), or it is a log of another tool.
    """
    path = _find(Path(path), EPISODES)
    return _read_lines(path, Episode.model_validate_json, f"if another tool wrote it: fama import auto {path}")


def read_failures(path: Path) -> list[Failure]:
    """The failure labels of a folder or file; a torn last line is left out.

    Raises:
        BadInput: nothing is there, or a line is damaged (``file:line``).
    """
    return list(_read_lines(_find(Path(path), FAILURES), Failure.model_validate_json))


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Write failure labels to a file (or into a folder as ``failures.jsonl``), whole or not at all."""
    path = Path(path)
    _write_lines(path / FAILURES if path.is_dir() else path, failures)


def _find(path: Path, name: str) -> Path:
    if path.is_dir():
        for candidate in (path / name, path / f"{name}.gz"):
            if candidate.exists():
                return candidate
        raise BadInput(f"{path}: holds no {name}; give the folder that a command wrote it into")
    if not path.exists():
        raise BadInput(f"{path}: does not exist; give a {name} or the folder that holds one")
    return path


def _read_lines(path: Path, parse: Callable[[bytes], R], foreign: str = "") -> Iterator[R]:
    """Records of a file; ``foreign`` is said, too, where already the first line is none."""
    try:
        with cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    yield parse(line)
                except ValidationError as error:
                    mend = f"mend or delete that line{', or ' + foreign if foreign and number == 1 else ''}"
                    if not line.endswith(b"\n") and not line.lstrip().startswith(b"["):
                        return  # torn by an interrupted write
                    raise BadInput(f"{path}:{number}: {_why(error)}; {mend}") from None
    except (EOFError, gzip.BadGzipFile) as error:
        raise BadInput(f"{path}: not a whole gzip file ({error}); fetch or pack it again") from None


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "not JSON"
    place = ".".join(map(str, first["loc"])) or "line"
    return f"{place}: {first['msg']}"


def _line(record: Record) -> bytes:
    return record.model_dump_json().encode("utf-8") + b"\n"


def _errors(path: Path) -> Iterator[Episode]:
    if path.exists():
        yield from (episode for episode in read_episodes(path) if episode.outcome.status == "error")


def _append(path: Path, lines: Iterable[bytes]) -> None:
    # No buffer: on a full disk Python's would keep what did not fit, refuse to truncate before it is written, and write
    # a part of it when the file is closed.
    with path.open("a+b", buffering=0) as file:
        end = _mend_end(file)
        try:
            for line in lines:
                _write(file, line)
            os.fsync(file.fileno())
        except BaseException as error:  # a full disk, or an interrupted command
            file.truncate(end)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(path)
            raise


def _write(file: RawIOBase, data: bytes) -> None:
    """All of it: a call may write a part only."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def _mend_end(file: RawIOBase) -> int:
    """Cut off a torn last line, or end a whole one that lacks its line break; returns the file's size."""
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
    try:
        Episode.model_validate_json(last)
    except ValidationError:
        return file.truncate(size - len(last))
    _write(file, b"\n")
    return size + 1


def _write_lines(path: Path, records: Iterable[Record]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        for record in records:
            file.write(_line(record))
