"""Statistics of sums over units, with intervals over resampled tasks."""

from collections.abc import Callable, Sequence

import numpy as np

from fama.intervals import Array, Interval, percentile_interval, task_weights


class Resample:
    """Sums over units, as they are and in every resample of the tasks that the units belong to."""

    def __init__(self, task_of: Sequence[str], draws: int, seed: int, name: str) -> None:
        tasks = sorted(set(task_of))
        index_of = {task: index for index, task in enumerate(tasks)}
        self._weights = task_weights(len(tasks), draws, seed, name)[:, [index_of[task] for task in task_of]]
        self.tasks = len(tasks)

    def interval(self, statistic: Callable[..., Array], *per_unit: Array) -> Interval:
        """Return the statistic of sums over units, with an expanded percentile interval over resampled tasks.

        ``per_unit`` arrays have shape [units, ...]; the statistic takes their sums, [...] or [draws, ...], and is NaN
        where it is not defined.
        """
        value = float(statistic(*(array.sum(axis=0, dtype=np.float64) for array in per_unit)))
        if np.isnan(value):
            return Interval(None, None, None, self.tasks)
        draws = statistic(*(np.tensordot(self._weights, array, axes=1) for array in per_unit))
        draws = draws[~np.isnan(draws)]
        if 2 * len(draws) < len(self._weights):
            return Interval(value, None, None, self.tasks)
        return percentile_interval(value, draws, self.tasks)
