"""Trials of imported episodes: files of one arm repeat its tasks, shards go on with them, and a file may grow."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fama.episodes.foreign.file_identity import is_shard, origin, place_stem
from fama.episodes.keys import EpisodeKey
from fama.episodes.records import Episode, Source


class Slot(NamedTuple):
    """A trial of a task under an arm; the version is part of the arm."""

    key: EpisodeKey
    version: str

    @classmethod
    def of(cls, episode: Episode) -> "Slot":
        """Return the slot that an episode has."""
        return cls(episode.key.pair, episode.benchmark_version or "")

    def later(self, by: int) -> "Slot":
        """Return the slot of a later trial."""
        return self._replace(key=replace(self.key, trial=self.key.trial + by))

    def named(self, prefix: str) -> "Slot":
        """Return the slot of the task whose id has a prefix."""
        return self._replace(key=replace(self.key, task_id=prefix + self.key.task_id))

    def under(self, arm: "Slot") -> "Slot":
        """Return the slot of the same task and trial under the arm of another one."""
        return Slot(replace(arm.key, task_id=self.key.task_id, trial=self.key.trial), arm.version)


class TrialRow(NamedTuple):
    """An episode of a file: the slot that the log gives it, and the one that it has in the store, if it is there."""

    slot: Slot
    stored: Slot | None


@dataclass(frozen=True)
class Numbering:
    """The slots of a file's new episodes; ``after`` names the file whose trials they follow."""

    slots: tuple[Slot, ...] = ()
    after: str = ""
    prefix: str = ""


def number_trials(
    rows: Sequence[TrialRow], taken: Mapping[Slot, Source], place: str, is_same: Callable[[Source], bool]
) -> Numbering:
    """Number the trials of a file's new episodes as if the file, with what is stored of it, came as a whole.

    Equal slots of the file follow each other. Several files of one arm are repetitions: all trials of the later file
    move by one number. Shards are none: where ids of one are those of another, they get the shard's name.
    """
    moved = _counted([row.slot for row in rows])
    by, prefix, after = 0, "", ""
    stored = next(((slot, row.stored) for slot, row in zip(moved, rows, strict=True) if row.stored is not None), None)
    if stored is not None:
        own, there = stored
        by = max(there.key.trial - own.key.trial, 0)
        prefix = there.key.task_id.removesuffix(own.key.task_id)
    else:
        others = {slot: source for slot in moved if (source := taken.get(slot)) is not None and not is_same(source)}
        after = next((source.file or "" for source in others.values()), "")
        if after and is_shard(place) and is_shard(after) and origin(place) == origin(after):
            prefix = f"{place_stem(place)}:"
            after = "" if not _clashes((slot.named(prefix) for slot in moved), taken, is_same) else after
            prefix = "" if after else prefix
        while after and _clashes((slot.later(by) for slot in moved), taken, is_same):
            by += 1
    return Numbering(_free([slot.named(prefix).later(by) for slot in moved], rows, taken), after, prefix)


def _counted(slots: Iterable[Slot]) -> list[Slot]:
    used: dict[Slot, None] = {}
    for slot in slots:
        while slot in used:
            slot = slot.later(1)
        used[slot] = None
    return list(used)


def _clashes(slots: Iterable[Slot], taken: Mapping[Slot, Source], is_same: Callable[[Source], bool]) -> bool:
    return any((source := taken.get(slot)) is not None and not is_same(source) for slot in slots)


def _free(slots: Iterable[Slot], rows: Iterable[TrialRow], taken: Mapping[Slot, Source]) -> tuple[Slot, ...]:
    """Return the slots of the new episodes, each at its next trial that nothing stored has."""
    used: dict[Slot, None] = {}
    for slot, row in zip(slots, rows, strict=True):
        if row.stored is not None:
            continue
        while slot in taken or slot in used:
            slot = slot.later(1)
        used[slot] = None
    return tuple(used)
