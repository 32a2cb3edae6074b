"""Notes of logged failures, judged: before the decisive decision and before one drawn at random."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from eval.logged_notes.judgement import Judgement, judge
from eval.logged_notes.note_statements import read_note
from eval.logged_notes.pending_actions import Standing, standing
from fama.agents.injection import collect_notes
from fama.agents.reading.reader import Reader, shipped_reader
from fama.diagnosis.diagnose import diagnose_episode
from fama.diagnosis.mitigation import minimal_cover
from fama.diagnosis.taxonomy import Taxonomy
from fama.diagnosis.trace import Trace
from fama.episodes.records import Episode, Failure, Record
from fama.episodes.state import VisibleState, decision_steps, state_at
from fama.errors import BadInput
from fama.helpers.base import Helper
from fama.helpers.pool import build_pool
from fama.randomness import generator
from fama.selection.base import Allowance, AnySelector, SelectorContext, select_for
from fama.selection.router.checkpoint import read_manifest
from fama.settings import HelperSettings
from fama.subsets import POOL

Moment = Literal["decisive", "random"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)
Ahead = Literal["change", "other", "nothing"]
"""The reference's next action at a decision: one that changes data, another one (a look-up, a sum, the hand-over), or
none that is left."""
ALL, COVER, ROUTER = "all six", "cover", "router {name}"


class Failures(Record):
    """Failures by what became of them: ``judged``, or the first reason in this order why one was left out."""

    failures: int = 0
    no_reference: int = 0
    no_tools: int = 0
    blamed_elsewhere: int = 0
    no_decision: int = 0
    judged: int = 0


class JudgedNotes(NamedTuple):
    """The notes of one chooser before one decision, judged; ``rejected`` counts those that failed the note check."""

    episode: str
    task: str
    backbone: str
    categories: tuple[str, ...]
    moment: Moment
    ahead: Ahead
    chooser: str
    judgements: tuple[Judgement, ...]
    rejected: int


@dataclass(frozen=True)
class Choosers:
    """The six template helpers, routers over them by name, and a reader of user turns where they read by meaning."""

    pool: Mapping[str, Helper]
    routers: Mapping[str, AnySelector]
    reader: Reader | None

    @classmethod
    def of(cls, settings: HelperSettings, routers: Sequence[Path] = ()) -> "Choosers":
        """Build the pool, and the routers of checkpoint folders, each named after its folder.

        Raises:
            BadInput: a folder holds no checkpoint or has another one's name, or its router reads whole failed episodes
                or chooses other helpers.
        """
        pool = build_pool(settings)
        loaded: dict[str, AnySelector] = {}
        for folder in routers:
            name = ROUTER.format(name=folder.absolute().name)
            if name in loaded:
                raise BadInput(f"{folder}: another router's folder has this name, too; rename one of them")
            loaded[name] = _router(folder, pool)
        return cls(pool, loaded, shipped_reader(settings.reading))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the choosers, in the order of the tables."""
        return (*POOL, ALL, COVER, *self.routers)

    async def subsets(self, episode: Episode, state: VisibleState, label: Failure) -> dict[str, tuple[str, ...]]:
        """Return the helpers that each chooser asks before a decision."""
        found: dict[str, tuple[str, ...]] = {helper: (helper,) for helper in POOL}
        found |= {ALL: POOL, COVER: minimal_cover(label.primary, self.pool)}
        for name, router in self.routers.items():
            rng = generator(0, "logged notes", episode.id, state.turn)
            found[name] = (await select_for(episode.key.pair, router, state, Allowance(), rng)).subset
        return found


def _router(folder: Path, pool: Mapping[str, Helper]) -> AnySelector:
    from fama.selection.selectors.learned import build

    members = read_manifest(folder).pool
    if other := [name for name in members if name not in POOL]:
        raise BadInput(f"{folder}: chooses {other[0]}; give a router whose pool is of {', '.join(POOL)} alone")
    return build(SelectorContext(helpers={name: pool[name] for name in members}), checkpoint=str(folder))


async def judged(
    episodes: Iterable[Episode],
    choosers: Choosers,
    taxonomy: Taxonomy,
    seed: int,
    progress: Callable[[], object] = lambda: None,
) -> tuple[Failures, list[JudgedNotes]]:
    """Judge the notes of all failures among the episodes, as the detectors alone label them.

    The decisive decision is that of the label's ``step``. A failure that the user or the environment is blamed for has
    none of the agent's. The random decision is drawn from all of the episode, so it may be the same.
    """
    counts: dict[str, int] = dict.fromkeys(Failures.model_fields, 0)
    rows: list[JudgedNotes] = []
    for episode in episodes:
        progress()
        if episode.outcome.status != "failure":
            continue
        label = (await diagnose_episode(episode, None, taxonomy)).label
        counts["failures"] += 1
        reason = _left_out(episode, label)
        counts[reason or "judged"] += 1
        if reason is None:
            rows += [row for moment in MOMENTS async for row in _at(episode, label, moment, choosers, seed)]
    return Failures(**counts), rows


def _left_out(episode: Episode, label: Failure) -> str | None:
    """Return why a failure is not judged, as the field of ``Failures`` that counts it; None where it is."""
    if episode.gold_actions is None:
        return "no_reference"
    if not episode.tools:
        return "no_tools"
    if label.blame != "agent":
        return "blamed_elsewhere"
    return None if label.step in decision_steps(episode) else "no_decision"


async def _at(
    episode: Episode, label: Failure, moment: Moment, choosers: Choosers, seed: int
) -> AsyncIterator[JudgedNotes]:
    """Yield the judged notes of every chooser before one decision."""
    steps = decision_steps(episode)
    drawn = generator(seed, "logged notes", episode.id).randrange(len(steps))
    turn = drawn if moment == "random" or label.step is None else steps.index(label.step)
    state = state_at(episode, turn)
    if choosers.reader is not None:
        state = replace(state, readings=choosers.reader.read(state))
    at = standing(Trace.of(episode), steps[turn])
    for chooser, subset in (await choosers.subsets(episode, state, label)).items():
        notes = await collect_notes(state, subset, choosers.pool, None, 0, [])
        yield JudgedNotes(
            episode=episode.id,
            task=str(label.key),
            backbone=episode.backbone or "unknown",
            categories=label.causes,
            moment=moment,
            ahead=_ahead(at),
            chooser=chooser,
            judgements=tuple(judge(read_note(note.text), at) for note in notes.passed),
            rejected=len(notes.rejected),
        )


def _ahead(at: Standing) -> Ahead:
    if at.next is None:
        return "nothing"
    return "change" if at.roles.writes(at.next.name) else "other"
