"""Storing of imported episodes: whose they are, which are known already, and which trial of an arm they are."""

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from fama.episodes.foreign.identity import is_shard, origin, positional, stem
from fama.episodes.foreign.streams import open_packed
from fama.episodes.importers.base import UNREADABLE
from fama.episodes.importers.clean import dialogue_hash, leaking_turns, strip_thinking
from fama.episodes.keys import EpisodeKey
from fama.episodes.records import Episode, Source
from fama.episodes.store import EpisodeStore, read_episodes
from fama.errors import BadInput
from fama.hashing import content_hash

_ARM = (
    "benchmark",
    "benchmark_version",
    "domain",
    "backbone",
    "strategy",
    "selector",
    "agent",
    "user_model",
    "settings",
)


class LogFile(NamedTuple):
    """A file that is imported: its place relative to what was given, and hashes of its bytes and its whole path.

    ``content`` is a hash of what is in it, the same for a packed and an unpacked file.
    """

    place: str
    digest: str
    location: str
    content: str

    @classmethod
    def of(cls, path: Path, base: Path) -> "LogFile":
        """Read a file's content for its hash.

        Raises:
            BadInput: it cannot be read.
        """
        try:
            with path.open("rb") as raw:
                packed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                content = digest = _digest(raw)
        except OSError as error:
            raise BadInput(f"{path}: cannot be read ({error.strerror}); give a .json, .jsonl or .gz file") from None
        if packed:
            with open_packed(path) as file:
                content = _digest(cast(BufferedReader, file))
        place = Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()
        return cls(place, digest, content_hash(str(path.resolve()))[:16], content)

    def source(self, own: Source | None = None, own_arm: str | None = None) -> Source:
        """Return the origin of this file's episodes."""
        return (own or Source()).model_copy(
            update={"file": self.place, "digest": self.digest, "location": self.location, "own_arm": own_arm}
        )

    def same(self, source: Source) -> bool:
        """Return whether an episode came from this file, also if it has grown since or is given by another path."""
        if source.file is None or source.digest is None:  # stored before places were kept
            return source.file is None or PurePosixPath(source.file).name == PurePosixPath(self.place).name
        short, long_ = sorted((stem(source.file), stem(self.place)), key=len)
        return source.location == self.location or (source.digest == self.digest and f"/{long_}".endswith(f"/{short}"))


class Slot(NamedTuple):
    """A trial of a task under an arm; the version is part of the arm."""

    key: EpisodeKey
    version: str

    def later(self, by: int) -> "Slot":
        """Return the slot of a later trial."""
        return self._replace(key=replace(self.key, trial=self.key.trial + by))


@dataclass
class Intake:
    """Puts the episodes of one file after the other into a store, each file whole or not at all.

    Memory holds no dialogue: episodes wait on disk until their file is known to be good. ``leaking`` counts user turns
    of new episodes that hold a simulator's thoughts, which ``strip`` would cut.
    """

    store: EpisodeStore
    strip: bool = False
    ids: dict[str, Source] = field(default_factory=dict)
    own_arms: set[str] = field(default_factory=set)
    leaking: int = 0
    _taken: dict[Slot, str] = field(default_factory=dict)
    _dialogues: dict[str, str] = field(default_factory=dict)
    _contents: set[tuple[str | None, str | None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for episode in read_episodes(self.store.path) if self.store.path.exists() else ():
            self.ids[episode.id] = episode.source
            self._taken.setdefault(_slot(episode), episode.source.file or "")
            self._dialogues.setdefault(dialogue_hash(episode), _place(episode))

    def add(self, file: LogFile, episodes: Iterable[Episode]) -> str:
        """Store a file's new episodes; return in words what was there.

        Raises:
            BadInput: the file is bad, or holds no episode; nothing of it is stored.
        """
        batch = _Batch(file, copy=self._has_copy(file))
        with tempfile.TemporaryFile() as spool:
            for episode in episodes:
                batch.counts[episode.outcome.status] += 1
                episode = _placed(episode, file)
                if self.strip:
                    episode, cut = strip_thinking(episode)
                    batch.counts["thoughts"] += cut
                known = self._known(episode, file, batch)
                if known is None:
                    batch.counts["known"] += 1
                    continue
                self._note(known, batch)
                batch.leaking += leaking_turns(known)
                spool.write(known.model_dump_json().encode("utf-8") + b"\n")
            if not batch.counts.total():
                raise BadInput(f"{file.place}: holds no episode; give a log of a run that got to one")
            batch.settle(self._taken)
            self.store.append_lines(_moved(spool, batch))
        self.leaking += batch.leaking
        self.ids.update(dict.fromkeys(batch.ids, file.source()))
        self._contents.add((file.place, file.content))
        self._taken.update(dict.fromkeys(batch.slots(), file.place))
        self.own_arms |= {arm for arm in batch.own_arms if arm}
        for digest, place in batch.dialogues.items():
            self._dialogues.setdefault(digest, place)
        return batch.in_words()

    def _known(self, episode: Episode, file: LogFile, batch: "_Batch") -> Episode | None:
        """Return the episode with an id of its own, None if it is stored: equal rows of two files are two episodes."""
        if episode.id in batch.ids or batch.copy:
            return None
        if episode.id not in self.ids:
            return episode
        if file.same(self.ids[episode.id]):
            return None
        own = content_hash([episode.id, file.place, file.digest])
        return None if own in self.ids or own in batch.ids else episode.model_copy(update={"id": own})

    def _has_copy(self, file: LogFile) -> bool:
        """Return whether the file is stored under its other name, packed or unpacked."""
        stored = {(source.file, source.digest) for source in self.ids.values()} | self._contents
        return any(
            content == file.content and place is not None and place != file.place and stem(place) == stem(file.place)
            for place, content in stored
        )

    def _note(self, episode: Episode, batch: "_Batch") -> None:
        """Note an episode's id, dialogue and slot."""
        digest = dialogue_hash(episode)
        if first := digest and (self._dialogues.get(digest) or batch.dialogues.get(digest)):
            batch.counts["same"] += 1
            batch.twin = batch.twin or first
        batch.dialogues.setdefault(digest, _place(episode))
        batch.ids.add(episode.id)
        batch.omitted.update(episode.source.omitted)
        if episode.outcome.reason.startswith(UNREADABLE):
            batch.unreadable = batch.unreadable or episode.outcome.reason.removeprefix(UNREADABLE)
            batch.counts["unreadable"] += 1
        else:
            batch.own_arms |= {episode.source.own_arm} - {None}
            batch.arms.add(tuple(getattr(episode, name) for name in _ARM))
        batch.rows.append(_slot(episode))


@dataclass
class _Batch:
    """Summary of one file, without its dialogues."""

    file: LogFile
    copy: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    omitted: Counter[str] = field(default_factory=Counter)
    ids: set[str] = field(default_factory=set)
    rows: list[Slot] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)
    arms: set[tuple[str | None, ...]] = field(default_factory=set)
    own_arms: set[str | None] = field(default_factory=set)
    dialogues: dict[str, str] = field(default_factory=dict)
    twin: str = ""
    unreadable: str = ""
    offset: int = 0
    leaking: int = 0
    after: str = ""
    prefix: str = ""

    def settle(self, taken: dict[Slot, str]) -> None:
        """Number trials: equal slots of the file follow each other; several files of one arm are repetitions.

        Shards are none: where ids of one are those of another, they get the shard's name.
        """
        used: set[Slot] = set()
        for slot in self.rows:
            by = 0
            while slot.later(by) in used:
                by += 1
            used.add(slot.later(by))
            self.trials.append(by)
        clash = next((taken[slot] for slot in used if slot in taken), None)
        if clash is None:
            return
        if is_shard(self.file.place) and is_shard(clash) and origin(self.file.place) == origin(clash):
            self.prefix = f"{stem(self.file.place)}:"
            if not any(slot in taken for slot in self.slots()):
                return
            self.prefix = ""
        self.after = clash
        while any(slot.later(self.offset) in taken for slot in used):
            self.offset += 1

    def slots(self) -> Iterator[Slot]:
        """Yield the slots of the file as they are stored."""
        for slot, by in zip(self.rows, self.trials, strict=True):
            task_id = self.prefix + slot.key.task_id
            yield slot._replace(key=replace(slot.key, task_id=task_id)).later(by + self.offset)

    def in_words(self) -> str:
        """Return what was there, and what had to be decided."""
        counts = self.counts
        total = counts["success"] + counts["failure"] + counts["error"]
        omitted = ", ".join(f"{count} {what}" for what, count in sorted(self.omitted.items()))
        told = [
            f"{total} episodes, {counts['success']} successes, {counts['failure']} failures, {counts['error']} errors",
            *([f"{len(self.ids)} new"] if counts["known"] else []),
            *([f"{counts['unreadable']} unreadable records, the first {self.unreadable}"] if self.unreadable else []),
            *([f"further trials of the arm of {self.after}"] if self.after else []),
            *(["task ids are those of another shard: kept apart"] if self.prefix else []),
            *([f"not kept or not read: {omitted}"] if omitted else []),
            *([f"thoughts cut from {counts['thoughts']} user turns"] if counts["thoughts"] else []),
            *(
                [f"{counts['same']} with the same messages as another episode, the first as {self.twin}"]
                if self.twin
                else []
            ),
        ]
        return "; ".join(told)


def _digest(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _placed(episode: Episode, file: LogFile) -> Episode:
    """Return the episode with its file's place; a task without an id, and an arm that is not named, are named by it."""
    known = episode.backbone and (episode.strategy or episode.agent) and episode.domain != "unknown"
    name = PurePosixPath(file.place).name
    update: dict[str, object] = {"source": file.source(episode.source, None if known else origin(file.place))}
    _, _, position = episode.task_id.rpartition(":")
    if position.isdigit() and episode.task_id == positional(name, int(position)):
        update["task_id"] = positional(file.place, int(position))
    return episode.model_copy(update=update)


def _moved(spool: IO[bytes], batch: _Batch) -> Iterator[bytes]:
    """Yield the waiting lines with their trials and task ids; unreadable records get the arm of the others."""
    spool.seek(0)
    arm = dict(zip(_ARM, next(iter(batch.arms)), strict=True)) if len(batch.arms) == 1 and batch.unreadable else {}
    for line, by in zip(spool, batch.trials, strict=True):
        if not (batch.offset or by or batch.prefix or arm):
            yield line
            continue
        episode = Episode.model_validate_json(line)
        update: dict[str, object] = {
            "trial": episode.trial + by + batch.offset,
            "task_id": batch.prefix + episode.task_id,
        }
        if arm and episode.outcome.reason.startswith(UNREADABLE):
            own = next(iter(batch.own_arms), None)
            update |= {**arm, "source": episode.source.model_copy(update={"own_arm": own})}
        yield episode.model_copy(update=update).model_dump_json().encode("utf-8") + b"\n"


def _slot(episode: Episode) -> Slot:
    return Slot(episode.key.pair, episode.benchmark_version or "")


def _place(episode: Episode) -> str:
    return f"task {episode.task_id} of {episode.source.file or 'the store'}"
