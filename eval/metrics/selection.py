"""How good a choice of helpers was, against the subsets that were executed on the same task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Subset = frozenset[str]


@dataclass(frozen=True)
class Cell:
    """One executed subset of a task and trial; success is a rate, 0.0 or 1.0 for a single run."""

    task_id: str
    trial: int
    subset: Subset
    success: float
    tokens: float


@dataclass(frozen=True)
class TaskLattice:
    """What executed subsets reached on one task.

    ``minimal`` is the cheapest subset whose paired success is not worse than the best one's;
    ``success`` and ``tokens`` are means over trials. ``oracle`` is the best one's success.
    """

    task_id: str
    minimal: Subset
    oracle: float
    success: Mapping[Subset, float]
    tokens: Mapping[Subset, float]

    @property
    def solvable(self) -> bool:
        """Whether any executed subset ever solved the task."""
        return self.oracle > 0


@dataclass(frozen=True)
class SelectionQuality:
    """Agreement of choices with the minimal subsets. A measure without a case is None, not 0.

    ``regret`` is the mean of the oracle's success minus that of the chosen subset, over the
    ``executed`` choices that were themselves run. ``f1`` is by helper; ``macro_f1`` its mean over
    helpers that have one.
    """

    choices: int
    tasks: int
    solvable: int
    exact: float | None
    jaccard: float | None
    f1: dict[str, float | None]
    macro_f1: float | None
    regret: float | None
    executed: int


def task_lattice(cells: Sequence[Cell]) -> TaskLattice | None:
    """The lattice of one task's cells; None without cells.

    The best subset has the highest mean success, the fewest tokens on ties. Another one is not
    worse if it succeeds at least as often on the trials that both were run on; without such a
    trial it cannot be compared and is passed over. Ties in tokens go to the smaller subset.
    """
    if not cells:
        return None
    runs: dict[Subset, dict[int, list[Cell]]] = {}
    for cell in cells:
        runs.setdefault(cell.subset, {}).setdefault(cell.trial, []).append(cell)
    by_trial = {
        subset: {trial: _mean([c.success for c in group]) for trial, group in trials.items()}
        for subset, trials in runs.items()
    }
    success = {subset: _mean(list(trials.values())) for subset, trials in by_trial.items()}
    tokens = {s: _mean([_mean([c.tokens for c in group]) for group in t.values()]) for s, t in runs.items()}
    best = min(success, key=lambda s: (-success[s], tokens[s], len(s), sorted(s)))

    def not_worse(subset: Subset) -> bool:
        shared = by_trial[subset].keys() & by_trial[best].keys()
        if not shared:
            return False
        ours = _mean([by_trial[subset][t] for t in shared])
        return ours >= _mean([by_trial[best][t] for t in shared]) - 1e-12

    minimal = min((s for s in success if not_worse(s)), key=lambda s: (tokens[s], len(s), sorted(s)))
    return TaskLattice(cells[0].task_id, minimal, success[best], success, tokens)


def lattices(cells: Sequence[Cell], at_least: int = 2) -> dict[str, TaskLattice]:
    """Lattices of the tasks with at least ``at_least`` executed subsets: one subset leaves no choice."""
    by_task: dict[str, list[Cell]] = {}
    for cell in cells:
        by_task.setdefault(cell.task_id, []).append(cell)
    built = {task: task_lattice(group) for task, group in by_task.items()}
    return {task: lattice for task, lattice in built.items() if lattice and len(lattice.success) >= at_least}


def selection_quality(
    choices: Sequence[tuple[str, Subset]], truth: Mapping[str, TaskLattice], pool: Sequence[str]
) -> SelectionQuality:
    """Compare choices, as (task, subset), with the minimal subsets; tasks without a lattice are left out."""
    pairs = [(chosen, truth[task]) for task, chosen in choices if task in truth]
    f1 = {helper: _f1(helper, pairs) for helper in pool}
    defined = [value for value in f1.values() if value is not None]
    regrets = [lattice.oracle - lattice.success[chosen] for chosen, lattice in pairs if chosen in lattice.success]
    tasks = {lattice.task_id: lattice for _, lattice in pairs}
    return SelectionQuality(
        choices=len(pairs),
        tasks=len(tasks),
        solvable=sum(lattice.solvable for lattice in tasks.values()),
        exact=_mean([float(chosen == lattice.minimal) for chosen, lattice in pairs]) if pairs else None,
        jaccard=_mean([jaccard(chosen, lattice.minimal) for chosen, lattice in pairs]) if pairs else None,
        f1=f1,
        macro_f1=_mean(defined) if defined else None,
        regret=_mean(regrets) if regrets else None,
        executed=len(regrets),
    )


def jaccard(one: Subset, other: Subset) -> float:
    """Shared over all helpers of two subsets; 1 when both are empty."""
    union = one | other
    return len(one & other) / len(union) if union else 1.0


def _f1(helper: str, pairs: Sequence[tuple[Subset, TaskLattice]]) -> float | None:
    """F1 of one helper; None when it is neither chosen nor needed anywhere."""
    both = sum(helper in chosen and helper in lattice.minimal for chosen, lattice in pairs)
    either = sum((helper in chosen) + (helper in lattice.minimal) for chosen, lattice in pairs)
    return 2 * both / either if either else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
