"""Episodes and failure labels on disk: JSON lines, appended under a lock, read as a stream."""

import gzip
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from filelock import FileLock
from pydantic import ValidationError

from fama.episodes.records import Episode, Failure, Record
from fama.errors import BadInput
from fama.files import replacing

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
            _append_line(self.path, episode)

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
        """Move episodes to ``errors.jsonl``, so that they can be run again and every id stays unique."""
        if not ids:
            return
        with self._locked():
            _write_lines(self.path, self._without(ids))

    def aside(self) -> Iterator[Episode]:
        """The episodes that were set aside."""
        path = self.folder / SET_ASIDE
        return read_episodes(path) if path.exists() else iter(())

    def _without(self, ids: Collection[str]) -> Iterator[Episode]:
        for episode in read_episodes(self.path):
            if episode.id in ids:
                _append_line(self.folder / SET_ASIDE, episode)
            else:
                yield episode

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f".{EPISODES}.lock"):
            yield


def read_episodes(path: Path) -> Iterator[Episode]:
    """Stream the episodes of a folder or of a ``.jsonl`` or ``.jsonl.gz`` file; a torn last line is left out.

    Raises:
        BadInput: nothing is there, or a line is damaged (``file:line``).
    """
    return _read_lines(_find(Path(path), EPISODES), Episode.model_validate_json)


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


def _read_lines(path: Path, parse: Callable[[bytes], R]) -> Iterator[R]:
    try:
        with cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    yield parse(line)
                except ValidationError as error:
                    if not line.endswith(b"\n"):
                        return  # torn by an interrupted write
                    raise BadInput(f"{path}:{number}: {_why(error)}; mend or delete that line") from None
    except (EOFError, gzip.BadGzipFile) as error:
        raise BadInput(f"{path}: not a whole gzip file ({error}); fetch or pack it again") from None


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "not JSON"
    place = ".".join(map(str, first["loc"])) or "line"
    return f"{place}: {first['msg']}"


def _append_line(path: Path, record: Record) -> None:
    _append(path, [record.model_dump_json().encode("utf-8") + b"\n"])


def _append(path: Path, lines: Iterable[bytes]) -> None:
    with path.open("a+b") as file:
        end = _mend_end(file)
        try:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:  # a full disk, or an interrupted command
            file.truncate(end)
            raise


def _mend_end(file: BinaryIO) -> int:
    """Cut off a torn last line, or end a whole one that lacks its line break; returns the file's size."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return 0
    tail, start = b"", size
    while start > 0 and b"\n" not in tail:
        step = min(65536, start)
        start -= step
        file.seek(start)
        tail = file.read(step) + tail
    if tail.endswith(b"\n"):
        return size
    last = tail[tail.rfind(b"\n") + 1 :]
    try:
        Episode.model_validate_json(last)
    except ValidationError:
        return file.truncate(size - len(last))
    file.write(b"\n")
    return size + 1


def _write_lines(path: Path, records: Iterable[Record]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        for record in records:
            file.write(record.model_dump_json().encode("utf-8") + b"\n")
