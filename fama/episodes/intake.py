"""Storing of imported episodes: whose they are, which are known already, and which trial of an arm they are."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, NamedTuple

from fama import __version__
from fama.episodes.foreign.fields import REWARD_TOLERANCE
from fama.episodes.foreign.file_identity import LogFile, place_stem
from fama.episodes.importers.base import NO_OUTCOME, UNREADABLE, unreadable_id
from fama.episodes.importers.import_cleaning import dialogue_hash, dialogue_hashes, leaking_turns, strip_thinking
from fama.episodes.jsonl import as_stored, line_of
from fama.episodes.records import Episode, Source
from fama.episodes.reimport import differing_fields, said_digest
from fama.episodes.store import EpisodeStore
from fama.episodes.trials import Numbering, Slot, TrialRow, number_trials
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.redaction import shortened

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
_OWN = "own_arm"
#: Characters of a reason that the summary of a file quotes.
_QUOTE = 100


class _Stored(NamedTuple):
    """An episode of the store; ``said`` is the digest of what its log says, None where that is not compared."""

    source: Source
    slot: Slot
    unreadable: bool
    said: bytes | None = None


@dataclass
class Intake:
    """Puts the episodes of one file after the other into a store, each file whole or not at all.

    Memory holds no dialogue: episodes wait on disk until their file is known to be good. ``counts`` has the
    ``leaking`` user turns of new episodes that hold a simulator's thoughts, which ``strip`` would cut; the ``unjudged``
    episodes, whose log has no verdict; those with a reward ``above`` 1; new ones that begin as another one and are
    ``longer``; and parts of new ones that are ``omitted``. ``own_arms`` are the new logs that do not name their arm.
    """

    store: EpisodeStore
    strip: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    own_arms: set[str] = field(default_factory=set)
    _stored: dict[str, _Stored] = field(default_factory=dict)
    _taken: dict[Slot, Source] = field(default_factory=dict)
    _dialogues: dict[str, str] = field(default_factory=dict)
    _contents: set[tuple[str | None, str | None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for episode in self.store.read():
            said = said_digest(episode) if episode.package_version == __version__ else None
            self._remember(episode.id, _Stored(episode.source, Slot.of(episode), _is_unreadable(episode), said))
            self._dialogues.setdefault(dialogue_hash(episode), _place(episode))

    @property
    def doubts(self) -> int:
        """Return how many records could not be read, parts of new episodes are not kept, and of these repeat one."""
        return self.counts["unreadable"] + self.counts["omitted"] + self.counts["same"]

    @property
    def size(self) -> int:
        """Return the number of episodes in the store."""
        return len(self._stored)

    def add(self, file: LogFile, episodes: Iterable[Episode]) -> str:
        """Store a file's new episodes; return in words what was there.

        A record that was torn when the file was read before takes the place of its error.

        Raises:
            BadInput: the file is bad, or holds no episode, or not what is stored of it; nothing of it is stored.
        """
        batch = _Batch(file, copy=self._has_copy(file))
        sources = (one.source for one in self._stored.values())
        batch.versions |= {(source.file, source.digest) for source in sources if file.same(source)}
        unreadable = {id_ for id_, one in self._stored.items() if one.unreadable}
        with tempfile.TemporaryFile() as spool:
            for index, episode in enumerate(episodes):
                batch.counts[episode.outcome.status] += 1
                batch.count_verdict(episode)
                if unreadable and not _is_unreadable(episode):
                    error = unreadable_id(episode.source.importer, episode.source.file or "", index)
                    batch.replaced |= {self._stored_id(error, batch)} & unreadable
                episode = file.placed(episode)
                if self.strip:
                    episode, cut = strip_thinking(episode)
                    batch.counts["thoughts"] += cut
                known = self._known(episode, file, batch)
                if known is None:
                    batch.counts["known"] += 1
                    continue
                known, line = as_stored(known)
                self._note(known, batch)
                spool.write(line)
            if not batch.counts.total():
                raise BadInput(f"{file.place}: holds no episode; give a log of a run that got to one")
            self._check_stored(batch)
            freed = {self._stored[id_].slot for id_ in batch.replaced}
            batch.settle({slot: at for slot, at in self._taken.items() if slot not in freed} if freed else self._taken)
            self._write(_moved(spool, batch), batch.replaced)
        self._commit(batch)
        return batch.in_words()

    def _write(self, lines: Iterator[bytes], replaced: set[str]) -> None:
        """Add lines to the store; where episodes are replaced, with these removed, all or nothing."""
        if not replaced:
            self.store.append_lines(lines)
            return
        kept = (episode for episode in self.store.read() if episode.id not in replaced)
        self.store.rewrite(chain(kept, map(Episode.model_validate_json, lines)))

    def _commit(self, batch: "_Batch") -> None:
        """Remember what was written."""
        for id_ in batch.replaced:
            self._taken.pop(self._stored.pop(id_).slot, None)
        for (id_, unreadable), slot in zip(batch.ids.items(), batch.numbering.slots, strict=True):
            self._remember(id_, _Stored(batch.file.source(), slot, unreadable))
        self.counts += batch.counts
        self.counts["unjudged"] += batch.errors[NO_OUTCOME]
        self.counts["omitted"] += batch.omitted.total()
        self._contents.add((batch.file.place, batch.file.content))
        self.own_arms |= batch.own_arms
        for digest, place in batch.dialogues.items():
            self._dialogues.setdefault(digest, place)

    def _remember(self, id_: str, stored: _Stored) -> None:
        self._stored[id_] = stored
        self._taken.setdefault(stored.slot, stored.source)

    def _known(self, episode: Episode, file: LogFile, batch: "_Batch") -> Episode | None:
        """Return the episode with an id of its own, None if it is stored: equal rows of two files are two episodes."""
        if episode.id in batch.seen or batch.copy:
            return None
        batch.seen.add(episode.id)
        if stored := self._stored_id(episode.id, batch):
            batch.note_row(episode, self._stored[stored].slot)
            batch.stored.add(stored)
            self._check_same(episode, stored, file)
            return None
        if episode.id not in self._stored:
            return episode
        return episode.model_copy(update={"id": _id_in_file(episode.id, file.place, file.digest)})

    def _check_same(self, episode: Episode, id_: str, file: LogFile) -> None:
        """Refuse an episode that is stored with other contents: what is new in it would be lost unseen.

        Raises:
            BadInput: options, attached tools or the log itself say something else than when it was stored.
        """
        said = self._stored[id_].said
        if _is_unreadable(episode) or said is None:
            return
        read, _ = as_stored(episode)
        if said_digest(read) == said:
            return
        if fields := differing_fields(self.store.read(), read, id_):
            raise BadInput(
                f"{file.place}: task {episode.task_id} is stored in {self.store.path} already, with other "
                f"{', '.join(fields)}; import into another --out"
            )

    def _check_stored(self, batch: "_Batch") -> None:
        """Refuse a file that lacks episodes stored from it: they and what replaced them would count as trials.

        Raises:
            BadInput: the file was changed, not only extended.
        """
        here = batch.file.location
        own = {id_ for id_, one in self._stored.items() if one.source.location == here and not one.unreadable}
        if batch.copy or not (gone := own - batch.stored - batch.replaced):
            return
        slot = self._stored[min(gone)].slot
        raise BadInput(
            f"{batch.file.place}: no longer holds {len(gone)} episodes that are stored from it in {self.store.path}, "
            f"such as task {slot.key.task_id}: it was changed, not only extended; import into another --out, "
            "or keep both under file names of their own"
        )

    def _stored_id(self, id_: str, batch: "_Batch") -> str:
        """Return the id under which an episode of the file is stored; empty if it is not."""
        if id_ in self._stored and batch.file.same(self._stored[id_].source):
            return id_
        own = (_id_in_file(id_, place, digest) for place, digest in batch.versions)
        return next((found for found in own if found in self._stored), "")

    def _has_copy(self, file: LogFile) -> bool:
        """Return whether the file is stored under its other name, packed or unpacked."""
        stored = {(one.source.file, one.source.digest) for one in self._stored.values()} | self._contents
        return any(
            content == file.content
            and place is not None
            and place != file.place
            and place_stem(place) == place_stem(file.place)
            for place, content in stored
        )

    def _note(self, episode: Episode, batch: "_Batch") -> None:
        """Note an episode's id, dialogue and slot."""
        beginnings, digest = dialogue_hashes(episode)
        if first := digest and (self._dialogues.get(digest) or batch.dialogues.get(digest)):
            batch.counts["same"] += 1
            batch.twin = batch.twin or first
        batch.counts["longer"] += any(one in self._dialogues or one in batch.dialogues for one in beginnings)
        batch.dialogues.setdefault(digest, _place(episode))
        batch.ids[episode.id] = _is_unreadable(episode)
        batch.omitted.update(episode.source.omitted)
        batch.counts["leaking"] += leaking_turns(episode)
        batch.note_row(episode, None)
        if _is_unreadable(episode):
            batch.unreadable = batch.unreadable or episode.outcome.reason.removeprefix(UNREADABLE)
            batch.counts["unreadable"] += 1
        elif episode.source.own_arm is not None:
            batch.own_arms.add(episode.source.own_arm)


@dataclass
class _Batch:
    """Summary of one file, without its dialogues.

    ``ids`` are those of new episodes, each with whether its record could not be read; ``rows`` are the known ones, too.
    ``versions`` are places and digests under which the file is stored already.
    """

    file: LogFile
    copy: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    omitted: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    ids: dict[str, bool] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    versions: set[tuple[str | None, str | None]] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    rows: list[TrialRow] = field(default_factory=list)
    unarmed: set[int] = field(default_factory=set)
    arms: dict[tuple[str | None, ...], Slot] = field(default_factory=dict)
    own_arms: set[str] = field(default_factory=set)
    dialogues: dict[str, str] = field(default_factory=dict)
    twin: str = ""
    unreadable: str = ""
    numbering: Numbering = Numbering()

    def count_verdict(self, episode: Episode) -> None:
        """Count the reason of an error, and a reward above 1."""
        if episode.outcome.status == "error" and not _is_unreadable(episode):
            self.errors[episode.outcome.reason or f"of the {episode.outcome.boundary}"] += 1
        elif episode.reward is not None and episode.reward > 1 + REWARD_TOLERANCE:
            self.counts["above"] += 1

    def note_row(self, episode: Episode, stored: Slot | None) -> None:
        """Note an episode's slot, and its arm where the record could be read."""
        slot = Slot.of(episode)
        if _is_unreadable(episode):
            self.unarmed.add(len(self.rows))
        else:
            self.arms.setdefault((*(getattr(episode, name) for name in _ARM), episode.source.own_arm), slot)
        self.rows.append(TrialRow(slot, stored))

    def settle(self, taken: Mapping[Slot, Source]) -> None:
        """Assign trial numbers; records that could not be read get the arm of the others first."""
        if len(self.arms) == 1:
            (arm,) = self.arms.values()
            for index in self.unarmed:
                self.rows[index] = self.rows[index]._replace(slot=self.rows[index].slot.under(arm))
        self.numbering = number_trials(self.rows, taken, self.file.place, self.file.same)

    def in_words(self) -> str:
        """Return what was there, and what had to be decided."""
        counts = self.counts
        total = counts["success"] + counts["failure"] + counts["error"]
        omitted = ", ".join(f"{count} {what}" for what, count in sorted(self.omitted.items()))
        told = [
            f"{total} episodes, {counts['success']} successes, {counts['failure']} failures, {counts['error']} errors",
            *(f"{count} of the errors: {shortened(why, _QUOTE)}" for why, count in self.errors.most_common(1)),
            *([f"{len(self.ids)} new"] if counts["known"] else []),
            *([f"{len(self.replaced)} errors replaced by records that can be read now"] if self.replaced else []),
            *([f"{counts['unreadable']} unreadable records, the first {self.unreadable}"] if self.unreadable else []),
            *([f"further trials of the arm of {self.numbering.after}"] if self.numbering.after else []),
            *(["task ids are those of another shard: kept apart"] if self.numbering.prefix else []),
            *([f"not kept or not read: {omitted}"] if omitted else []),
            *([f"thoughts cut from {counts['thoughts']} user turns"] if counts["thoughts"] else []),
            *(
                [f"{counts['same']} with the same messages as another episode, the first as {self.twin}"]
                if self.twin
                else []
            ),
        ]
        return "; ".join(told)


def _moved(spool: IO[bytes], batch: _Batch) -> Iterator[bytes]:
    """Yield the waiting lines with their trials and task ids; unreadable records get the arm of the others."""
    spool.seek(0)
    arm = dict(zip((*_ARM, _OWN), next(iter(batch.arms)), strict=True)) if len(batch.arms) == 1 else {}
    own = arm.pop(_OWN, None)
    new = (row.slot for row in batch.rows if row.stored is None)
    for line, unreadable, said, slot in zip(spool, batch.ids.values(), new, batch.numbering.slots, strict=True):
        armed = arm if unreadable else {}
        if said == slot and not armed:
            yield line
            continue
        episode = Episode.model_validate_json(line)
        update: dict[str, object] = {"trial": slot.key.trial, "task_id": slot.key.task_id, **armed}
        if armed:
            update["source"] = episode.source.model_copy(update={_OWN: own})
        yield line_of(episode.model_copy(update=update))


def _id_in_file(id_: str, place: str | None, digest: str | None) -> str:
    """Return the id of an episode whose own one another file has, too."""
    return content_hash([id_, place, digest])


def _is_unreadable(episode: Episode) -> bool:
    return episode.outcome.reason.startswith(UNREADABLE)


def _place(episode: Episode) -> str:
    return f"task {episode.task_id} of {episode.source.file or 'the store'}"
