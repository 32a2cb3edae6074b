"""Executed arms of a live comparison, read from its episodes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from eval.compare.schema import Curve
from eval.metrics.episode_scores import Score, score_of
from eval.metrics.selection_quality import ExecutedSubset
from fama.episodes.records import Episode
from fama.episodes.spending import Spent
from fama.selection.health import HealthTally, SelectorHealth
from fama.settings import CompareSettings
from fama.subsets import members_of

#: where a comparison without a subset grid takes its executed subsets from
OWN_EPISODES = "the arms' own episodes"


@dataclass(frozen=True)
class Executed:
    """Executed or replayed arms. ``scores``, ``choices`` and ``health`` are by arm.

    Choices are (task, subset), None for the subset where the selector made no choice that could be read. Those of
    ``changing`` arms, which asked other helpers as an episode went on, are all that an episode asked: none that ran.
    ``left_out`` counts the episodes beside them that are of other arms, tasks or trials, by arm.
    """

    tasks: tuple[str, ...]
    pool: tuple[str, ...]
    backbone: str
    scores: Mapping[str, Sequence[Score]]
    choices: Mapping[str, Sequence[tuple[str, str | None]]]
    cells: Sequence[ExecutedSubset]
    lattice_source: str
    curves: tuple[Curve, ...] = ()
    missing: Mapping[str, int] = field(default_factory=dict)
    setup_costs: Mapping[str, tuple[Spent, ...]] = field(default_factory=dict)
    health: Mapping[str, SelectorHealth] = field(default_factory=dict)
    changing: frozenset[str] = frozenset()
    left_out: Mapping[str, int] = field(default_factory=dict)


def read_executed(
    settings: CompareSettings,
    tasks: tuple[str, ...],
    pool: Iterable[str],
    arms: Mapping[str, str],
    episodes: Iterable[Episode],
    cells: Sequence[ExecutedSubset] | None,
    setup_costs: Mapping[str, tuple[Spent, ...]],
) -> Executed:
    """Return the arms of the episodes that were planned; others are counted.

    Args:
        settings: the comparison's.
        tasks: the compared tasks, in their order.
        pool: names of the helpers.
        arms: the arm of each planned episode, by id.
        episodes: what was run.
        cells: executed subsets of the grid; None takes the arms' own.
        setup_costs: setup cost of each arm.
    """
    scores: dict[str, list[Score]] = {arm.arm: [] for arm in settings.arms}
    choices: dict[str, list[tuple[str, str | None]]] = {arm.arm: [] for arm in settings.arms}
    tallies = {arm.arm: HealthTally() for arm in settings.arms}
    changing: set[str] = set()
    left_out: Counter[str] = Counter()
    backbone = settings.model.name
    for episode in episodes:
        if episode.id not in arms:
            left_out[episode.selector or "-"] += 1
            continue
        arm, score = arms[episode.id], score_of(episode)
        scores[arm].append(score)
        tallies[arm].add(episode)
        if not score.held:
            changing.add(arm)
        if episode.decisions:  # one that ended before the agent's first decision asked for no choice
            choices[arm].append((score.task_id, score.subset if score.chosen else None))
        backbone = episode.backbone or backbone
    return Executed(
        tasks=tasks,
        pool=tuple(pool),
        backbone=backbone,
        scores=scores,
        choices=choices,
        changing=frozenset(changing),
        health={arm: tally.health() for arm, tally in tallies.items()},
        cells=cells if cells is not None else _own_cells(scores),
        lattice_source=settings.lattice or OWN_EPISODES,
        setup_costs=setup_costs,
        left_out=left_out,
    )


def _own_cells(scores: Mapping[str, Sequence[Score]]) -> list[ExecutedSubset]:
    """Return the cells of the arms' own episodes. Two arms that chose one subset on a trial ran the same cell twice."""
    return [
        ExecutedSubset(
            s.key.pair,
            members_of(s.subset),
            float(s.success),
            float(s.tokens.agent + s.tokens.helper),
        )
        for kept in scores.values()
        for s in kept
        if s.scored and s.held and s.decisions and s.tokens.agent is not None and s.tokens.helper is not None
    ]
