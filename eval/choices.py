"""Selection accuracy with intervals over tasks."""

from collections.abc import Sequence

import numpy as np

from eval.measures import Resampling
from eval.metrics.selection import Subset, TaskLattice, jaccard, selection_quality
from eval.schema import SelectionReport
from eval.stats.bootstrap import Array, Estimate, ratio_interval


def selection_report(
    choices: Sequence[tuple[str, Subset]],
    truth: dict[str, TaskLattice],
    pool: Sequence[str],
    tasks: Sequence[str],
    resampling: Resampling,
) -> SelectionReport | None:
    """Agreement of an arm's choices with the minimal subsets; None when no choice has a lattice."""
    quality = selection_quality(choices, truth, pool)
    if not quality.choices:
        return None
    known = [(task, chosen, truth[task]) for task, chosen in choices if task in truth]
    weights = resampling.weights(len(tasks))

    def mean(values: Sequence[tuple[str, float]]) -> Estimate:
        sums, counts = _sums(values, tasks)
        return ratio_interval(sums, counts, weights)

    return SelectionReport(
        choices=quality.choices,
        tasks=quality.tasks,
        solvable=quality.solvable,
        executed=quality.executed,
        exact=mean([(task, float(chosen == lattice.minimal)) for task, chosen, lattice in known]),
        jaccard=mean([(task, jaccard(chosen, lattice.minimal)) for task, chosen, lattice in known]),
        regret=mean(
            [(task, lattice.oracle - lattice.success[c]) for task, c, lattice in known if c in lattice.success]
        ),
        f1=quality.f1,
        macro_f1=quality.macro_f1,
    )


def _sums(values: Sequence[tuple[str, float]], tasks: Sequence[str]) -> tuple[Array, Array]:
    place = {task: index for index, task in enumerate(tasks)}
    sums, counts = np.zeros(len(tasks)), np.zeros(len(tasks))
    for task, value in values:
        sums[place[task]] += value
        counts[place[task]] += 1
    return sums, counts
