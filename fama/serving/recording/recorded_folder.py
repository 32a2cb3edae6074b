"""The folder of recorded conversations: open ones in a file each, closed ones in ``episodes.jsonl``."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from fama.episodes.jsonl import RecordStore, line_of
from fama.episodes.records import Episode
from fama.episodes.store import RENAMED, EpisodeStore
from fama.errors import BadInput
from fama.files import sweep_temporary
from fama.serving.recording.hooks import Hook

log = logging.getLogger(__name__)
#: Bytes of a line within which an episode's id stands.
_HEAD = 64


class RecordFolder:
    """Files of one server; no other may write here at the same time.

    An open conversation's file is replaced whole, without waiting for the disk: it survives a killed process, not a
    power cut. Closed ones are forced to disk before their file goes.
    """

    def __init__(self, folder: Path, file_bytes: int, total_bytes: int, closing: Hook | None = None) -> None:
        """Take the folder and close what an earlier server left open; ``closing`` gets each episode that is closed.

        Raises:
            BadInput: another server records here, or the folder cannot be made.
        """
        self.folder, self._file_bytes, self._total_bytes = folder, file_bytes, total_bytes
        self._closing = closing
        self._open = folder / "open"
        try:
            self._open.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise BadInput(f"--record {folder}: cannot be made ({error.strerror}); give another folder") from None
        self._lock = FileLock(folder / ".run.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise BadInput(f"--record {folder}: another process writes here; give another folder") from None
        self._store = EpisodeStore(folder)
        sweep_temporary(self._open)
        self.recovered = self._recover()

    def read(self, id_: str) -> Episode | None:
        """Return an open conversation; None where nothing of it was kept."""
        try:
            return Episode.model_validate_json(self._path(id_).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def closed(self, id_: str) -> Episode | None:
        """Return a closed conversation of ``episodes.jsonl``; None where it is not there, or not any more."""
        mark = f'"id":"{id_}"'.encode()
        try:
            with self._store.path.open("rb") as file:
                line = next((line for line in file if mark in line[:_HEAD]), b"")
            return Episode.model_validate_json(line)
        except (FileNotFoundError, ValidationError):
            return None

    def keep(self, episode: Episode) -> None:
        """Write an open conversation in place of what was there.

        Raises:
            OSError: the disk is full or the folder cannot be written; the file is as it was.
        """
        path = self._path(episode.id)
        temporary = path.with_name(f".00000000.tmp-{path.name}")
        try:
            temporary.write_bytes(line_of(episode))
            os.replace(temporary, path)
        except OSError:  # the part that was written holds place of a full disk
            temporary.unlink(missing_ok=True)
            raise

    def drop(self, id_: str) -> None:
        """Forget an open conversation."""
        self._path(id_).unlink(missing_ok=True)

    def close(self, ids: Sequence[str]) -> int:
        """Move conversations to ``episodes.jsonl``; return how many there were.

        Raises:
            OSError: the disk is full or the folder cannot be written; they stay open.
        """
        lines = [line for id_ in ids if self._path(id_).exists() and (line := self._closed(id_))]
        if lines:
            self._rotate(sum(map(len, lines)))
            self._store.append_lines(lines)
        for id_ in ids:
            self.drop(id_)
        return len(lines)

    def release(self) -> None:
        """Let others write here."""
        self._lock.release()

    def _path(self, id_: str) -> Path:
        return self._open / f"{id_}.json"

    def _closed(self, id_: str) -> bytes | None:
        """Return the line of an open conversation as it is closed; None where nothing of it is to be kept."""
        episode = self.read(id_) if self._closing is not None else None
        if self._closing is None or episode is None:
            return self._path(id_).read_bytes()
        kept = self._closing(episode)
        return None if kept is None else line_of(kept.model_copy(update={"id": id_}))

    def _recover(self) -> int:
        left = [path.stem for path in sorted(self._open.glob("*.json"))]
        if not left:
            return 0
        files = [self._store.path, *(path for _, path in self._numbered()[-1:])]
        written = {episode.id for path in files for episode in RecordStore(path, Episode).read()}
        torn = {id_ for id_ in left if self.read(id_) is None}
        if torn:
            log.warning("%s: %d open conversations cannot be read and are dropped", self.folder, len(torn))
        for id_ in written & set(left) | torn:
            self.drop(id_)
        return self.close([id_ for id_ in left if id_ not in written | torn])

    def _rotate(self, more: int) -> None:
        numbered = self._numbered()
        with self._store.locked():
            if self._store.size() and self._store.size() + more > self._file_bytes:
                number = numbered[-1][0] + 1 if numbered else 1
                target = self.folder / f"episodes-{number:06d}.jsonl"
                os.replace(self._store.path, target)
                numbered.append((number, target))
        total = self._store.size() + more + sum(path.stat().st_size for _, path in numbered)
        for _, path in numbered:
            if total <= self._total_bytes:
                return
            total -= path.stat().st_size
            path.unlink()

    def _numbered(self) -> list[tuple[int, Path]]:
        found = [(RENAMED.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return sorted((int(match[1]), path) for match, path in found if match)
