"""Records of mining: one line of ``repairs.jsonl`` per mined episode, with everything that was executed for it."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from fama.episodes.keys import TaskKey
from fama.episodes.records import Episode, Note, Record, RejectedNote
from fama.episodes.spending import Remaining
from fama.mining.schedule import Schedule, asked_turns, members_at
from fama.subsets import Subset, in_pool_order, subset_label

REPAIRS = "repairs.jsonl"
SCHEMA_VERSION: Final = 1

EpisodeKind = Literal["failed", "solved"]
MiningVerdict = Literal["repaired", "not repaired by this pool", "budget ran out", "mapped"]
ProbeOutcome = Literal["no note", "same action", "not run", "success", "failure", "error"]


class Placed(Record):
    """Helpers before one decision (0-based)."""

    decision: int
    members: Subset


class PlacedNote(Record):
    """A note that was given before one decision."""

    decision: int
    note: Note


class Intervention(Record):
    """Notes put before one decision, and what came of it.

    ``members`` are the helpers of the intervention. ``subset`` are those asked, where they are others: an arm's own,
    with the members that it does not ask and without those that it does. ``given`` are the notes before earlier
    decisions, empty on the logged episode itself. ``before`` and ``after`` are the action without and with the notes,
    as one line of JSON; None where no reply could be read, ``after`` also where nobody asked. ``outcome`` is
    ``no note`` where every helper kept silent or was rejected, ``same action`` where nothing was run on, since later
    prompts are the same (where they hold thoughts: also the thought), ``not run`` where the action changed and the
    budget ended; otherwise how the episode, run on, ended, ``error`` where it broke off, and ``reason`` what ended it.
    ``share`` is that of successful continuations, out of those that did not break off. ``tokens`` are those of the
    notes and of the helpers' own calls, None where a server did not report them. ``rest`` is what the episode took from
    this decision on, with the notes; None where the action changed and was not run on.
    """

    given: tuple[Placed, ...] = ()
    decision: int
    members: Subset
    subset: Subset | None = None
    notes: tuple[Note, ...] = ()
    rejected: tuple[RejectedNote, ...] = ()
    before: str | None = None
    after: str | None = None
    outcome: ProbeOutcome
    share: float | None = None
    reason: str = ""
    tokens: int | None = 0
    rest: Remaining | None = None


class Combination(Record):
    """A schedule of several decisions that was run to the end of the episode.

    ``asked`` counts the (decision, helper) pairs at which somebody was asked, ``given`` are those at which a note was
    given, ``note_tokens`` the tokens of these notes.
    """

    asked: int
    given: tuple[Placed, ...]
    note_tokens: int
    outcome: ProbeOutcome
    share: float
    reason: str = ""


class Repair(Record):
    """The result of mining one episode.

    ``kind`` is the outcome of the logged episode; solved ones are ``mapped`` only. ``repair`` holds the notes of the
    minimal repair (fewest notes, then fewest note tokens), ``withdrawn`` the helpers of the mined arm's own that it
    leaves out (None for the plain agent), ``members`` its helpers, of both, in pool order: the minimal helper
    subset. ``proven`` says that no repair with fewer notes exists, or none at all: every schedule in which each note
    changes an action was excluded by execution; None where that was not asked. ``decisive`` is the first decision
    (0-based) whose action the repair changes, ``step`` the index of its message in the logged episode. ``complete``
    says that the budget sufficed for the whole search. ``calls`` counts distinct model calls; ``tokens`` (None where a
    server did not report some) and ``seconds`` are those of the calls when they were first answered. ``split`` is the
    task's split, None where no split lists the task. ``repaired_episode`` is the id of the executed episode.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    episode_id: str
    benchmark: str
    benchmark_version: str | None = None
    domain: str
    task_id: str
    trial: int
    split: str | None
    backbone: str | None
    strategy: str | None
    config_hash: str | None = None
    pool: Subset
    arm: str | None = None
    """The arm whose episode it is; None for the plain agent."""
    kind: EpisodeKind
    eligible: int | None = None
    """Episodes of this kind and split that could be mined, of which this is one of a part; None in older records."""
    verdict: MiningVerdict
    interventions: tuple[Intervention, ...] = ()
    combinations: tuple[Combination, ...] = ()
    repair: tuple[PlacedNote, ...] | None = None
    withdrawn: tuple[Placed, ...] | None = None
    members: Subset | None = None
    share: float | None = None
    base_share: float | None = None
    """Share of successful continuations from the start without any note; None where each branch is run once."""
    proven: bool | None = None
    decisive: int | None = None
    step: int | None = None
    repaired_episode: str | None = None
    complete: bool = True
    calls: int
    tokens: int | None
    seconds: float
    package_version: str | None = None

    @property
    def key(self) -> TaskKey:
        """Return the identity of the task: the cluster of statistics and the unit of splits."""
        return TaskKey(self.benchmark, self.domain, self.task_id)

    @property
    def may_train(self) -> bool:
        """Return whether a router may learn from it: the task's split is known and is not the test split."""
        return self.split is not None and self.split != "test"

    @property
    def means(self) -> str | None:
        """Return what the minimal repair does: whose notes it gives, whom of the arm's helpers it leaves out."""
        if self.repair is None:
            return None
        added = {one.note.helper for one in self.repair}
        away = {name for one in self.withdrawn or () for name in one.members}
        given, left = (subset_label(in_pool_order(names, self.pool)) for names in (added, away))
        return ", ".join([*([given] if added else []), *([f"without {left}"] if away else [])])

    def in_a_line(self) -> str:
        """Return the result for a terminal: task, verdict, the minimal repair, calls."""
        by = ""
        if self.repair is not None:
            notes = f"by {len(self.repair)} note{'s' if len(self.repair) != 1 else ''} of " if self.repair else ""
            by = f" {notes}{self.means}"
        return f"{self.domain}/{self.task_id}: {self.verdict}{by}, {self.calls} calls"


def episode_kind(episode: Episode) -> EpisodeKind:
    """Return the kind of a logged episode that ended by itself."""
    return "solved" if episode.outcome.status == "success" else "failed"


def placed(schedule: Schedule, pool: Sequence[str]) -> tuple[Placed, ...]:
    """Return a schedule as records, by decision."""
    return tuple(Placed(decision=turn, members=members_at(schedule, turn, pool)) for turn in asked_turns(schedule))


def split_of(task_id: str, splits: Iterable[tuple[str, Sequence[str]]]) -> str | None:
    """Return the split that lists a task; ``test`` where that is one of several, None where there is none."""
    holding = [name for name, tasks in splits if task_id in tasks]
    return "test" if "test" in holding else holding[0] if holding else None
