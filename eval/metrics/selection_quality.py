"""Quality of a selector's choices: agreement with the minimal subsets, and regret, against executed subsets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from eval.stats.proportions import clustered_proportion
from fama.episodes.keys import EpisodeKey
from fama.episodes.records import Record
from fama.intervals import Interval
from fama.subsets import Members, excluding_pair


@dataclass(frozen=True)
class ExecutedSubset:
    """One executed subset of a task and trial; success is a rate, 0.0 or 1.0 for a single run."""

    key: EpisodeKey
    subset: Members
    success: float
    tokens: float


@dataclass(frozen=True)
class TaskGrid:
    """Success and tokens of the subsets that were executed on one task.

    ``minimal`` is the cheapest subset whose paired success is not worse than the best one's;
    ``success`` and ``tokens`` are means over trials. ``oracle`` is the best one's success.
    """

    task_id: str
    minimal: Members
    oracle: float
    success: Mapping[Members, float]
    tokens: Mapping[Members, float]

    @property
    def solvable(self) -> bool:
        """True if any executed subset ever solved the task."""
        return self.oracle > 0


#: stands for the subset of an episode in which the selector's choice could not be read or was not made
NO_CHOICE = "no choice"


class SelectionQuality(Record):
    """Agreement of an arm's choices with the minimal subsets of executed grids, and their regret.

    ``choices`` are episodes, over ``tasks``; ``solvable`` of these tasks were ever solved. In ``no_choice`` of them the
    selector made none that could be read: never right, their regret is that of no helper. ``regret`` is the
    success that the best executed subset has over the chosen one, over the ``executed`` choices that the
    grid holds. ``f1`` is by helper, None for one that is neither chosen nor needed; ``macro_f1`` is the mean over
    helpers that have one.
    """

    choices: int
    tasks: int
    solvable: int
    executed: int
    no_choice: int = 0
    exact: Interval
    jaccard: Interval
    regret: Interval
    f1: dict[str, float | None] = Field(default_factory=dict)
    macro_f1: float | None = None


def task_grid(cells: Sequence[ExecutedSubset]) -> TaskGrid | None:
    """Return the grid of one task's executed subsets; None without any.

    Cells with two members that exclude each other are no subsets and are passed over. The best subset has the highest
    mean success, the fewest tokens on ties. Another one is not worse if it succeeds at least as often on the trials
    that both were run on; without such a trial it cannot be compared and is passed over. Ties in tokens go to the
    smaller subset.
    """
    cells = [cell for cell in cells if excluding_pair(cell.subset) is None]
    if not cells:
        return None
    runs: dict[Members, dict[int, list[ExecutedSubset]]] = {}
    for cell in cells:
        runs.setdefault(cell.subset, {}).setdefault(cell.key.trial, []).append(cell)
    by_trial = {
        subset: {trial: _mean([c.success for c in group]) for trial, group in trials.items()}
        for subset, trials in runs.items()
    }
    success = {subset: _mean(list(trials.values())) for subset, trials in by_trial.items()}
    tokens = {s: _mean([_mean([c.tokens for c in group]) for group in t.values()]) for s, t in runs.items()}
    best = min(success, key=lambda s: (-success[s], tokens[s], len(s), sorted(s)))

    def not_worse(subset: Members) -> bool:
        shared = by_trial[subset].keys() & by_trial[best].keys()
        if not shared:
            return False
        ours = _mean([by_trial[subset][t] for t in shared])
        return ours >= _mean([by_trial[best][t] for t in shared]) - 1e-12

    minimal = min((s for s in success if not_worse(s)), key=lambda s: (tokens[s], len(s), sorted(s)))
    return TaskGrid(cells[0].key.task_id, minimal, success[best], success, tokens)


def task_grids(cells: Sequence[ExecutedSubset]) -> dict[str, TaskGrid]:
    """Return the grids of the tasks with at least two executed subsets: one subset leaves no choice."""
    by_task: dict[str, list[ExecutedSubset]] = {}
    for cell in cells:
        by_task.setdefault(cell.key.task_id, []).append(cell)
    built = {task: task_grid(group) for task, group in by_task.items()}
    return {task: grid for task, grid in built.items() if grid and len(grid.success) >= 2}


def selection_quality(
    choices: Sequence[tuple[str, Members | None]], truth: Mapping[str, TaskGrid], pool: Sequence[str]
) -> SelectionQuality | None:
    """Compare choices, as (task, subset or None where no choice was made), with the minimal subsets.

    Intervals are over tasks. Tasks without a grid are left out; None when no choice has one.
    """
    made = [(chosen, truth[task]) for task, chosen in choices if task in truth]
    if not made:
        return None
    known = [(chosen or frozenset[str](), grid) for chosen, grid in made]
    grids = {grid.task_id: grid for _, grid in known}
    executed = [(chosen, grid) for chosen, grid in known if chosen in grid.success]
    f1 = {helper: _helper_f1(helper, known) for helper in pool}
    defined = [value for value in f1.values() if value is not None]
    return SelectionQuality(
        choices=len(known),
        tasks=len(grids),
        solvable=sum(grid.solvable for grid in grids.values()),
        executed=len(executed),
        no_choice=sum(chosen is None for chosen, _ in made),
        exact=_over_tasks([(grid, float(chosen == grid.minimal)) for chosen, grid in made]),
        jaccard=_over_tasks([(g, 0.0 if chosen is None else jaccard(chosen, g.minimal)) for chosen, g in made]),
        regret=_over_tasks([(grid, grid.oracle - grid.success[chosen]) for chosen, grid in executed]),
        f1=f1,
        macro_f1=_mean(defined) if defined else None,
    )


def jaccard(one: Members, other: Members) -> float:
    """Return the shared over all helpers of two subsets; 1 when both are empty."""
    union = one | other
    return len(one & other) / len(union) if union else 1.0


def subset_f1(one: Members, other: Members) -> float:
    """Return the F1 of two subsets of one state; 1 when both are empty."""
    size = len(one) + len(other)
    return 2 * len(one & other) / size if size else 1.0


def _helper_f1(helper: str, known: Sequence[tuple[Members, TaskGrid]]) -> float | None:
    """Return the F1 of one helper over all choices; None when it is neither chosen nor needed anywhere."""
    both = sum(helper in chosen and helper in grid.minimal for chosen, grid in known)
    either = sum((helper in chosen) + (helper in grid.minimal) for chosen, grid in known)
    return 2 * both / either if either else None


def _over_tasks(values: Sequence[tuple[TaskGrid, float]]) -> Interval:
    """Return the mean over tasks of each task's mean; the values are in [0, 1]."""
    by_task: dict[str, list[float]] = {}
    for grid, value in values:
        by_task.setdefault(grid.task_id, []).append(value)
    return clustered_proportion(np.array([_mean(own) for own in by_task.values()]), len(values))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
