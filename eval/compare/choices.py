"""Selection accuracy with intervals over tasks."""

from collections.abc import Sequence

import numpy as np

from eval.compare.schema import SelectionReport
from eval.metrics.selection import Subset, TaskLattice, jaccard, selection_quality
from eval.stats.proportions import clustered_proportion
from fama.intervals import Interval


def selection_report(
    choices: Sequence[tuple[str, Subset]],
    truth: dict[str, TaskLattice],
    pool: Sequence[str],
) -> SelectionReport | None:
    """Agreement of an arm's choices with the minimal subsets; None when no choice has a lattice."""
    quality = selection_quality(choices, truth, pool)
    if not quality.choices:
        return None
    known = [(task, chosen, truth[task]) for task, chosen in choices if task in truth]
    return SelectionReport(
        choices=quality.choices,
        tasks=quality.tasks,
        solvable=quality.solvable,
        executed=quality.executed,
        exact=_mean([(task, float(chosen == lattice.minimal)) for task, chosen, lattice in known]),
        jaccard=_mean([(task, jaccard(chosen, lattice.minimal)) for task, chosen, lattice in known]),
        regret=_mean(
            [(task, lattice.oracle - lattice.success[c]) for task, c, lattice in known if c in lattice.success]
        ),
        f1=quality.f1,
        macro_f1=quality.macro_f1,
    )


def _mean(values: Sequence[tuple[str, float]]) -> Interval:
    """Mean over tasks of each task's mean; the values are in [0, 1]."""
    by_task: dict[str, list[float]] = {}
    for task, value in values:
        by_task.setdefault(task, []).append(value)
    return clustered_proportion(np.array([sum(own) / len(own) for own in by_task.values()]), len(values))
