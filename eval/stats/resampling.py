"""Statistics of sums over units, with intervals over resampled tasks."""

from collections.abc import Callable, Sequence

import numpy as np

from fama.intervals import Array, Interval, clustered_share, percentile_interval, task_weights

#: Resampled values that differ by less are equal.
_EQUAL = 1e-9


class Resample:
    """Sums over units, as they are and in every resample of the tasks that the units belong to."""

    def __init__(self, task_of: Sequence[str], draws: int, seed: int, name: str) -> None:
        tasks = sorted(set(task_of))
        index_of = {task: index for index, task in enumerate(tasks)}
        self._places = [index_of[task] for task in task_of]
        self._weights = task_weights(len(tasks), draws, seed, name)[:, self._places]
        self.tasks = len(tasks)

    def interval(self, statistic: Callable[..., Array], *per_unit: Array, of: Array | None = None) -> Interval:
        """Return the statistic of sums over units, with an expanded percentile interval over resampled tasks.

        ``per_unit`` arrays have shape [units, ...]; the statistic takes their sums, [...] or [draws, ...], and is NaN
        where it is not defined. ``of`` [units] is above 0 for the units that it is of, None for all. Where all
        resamples are equal, as of a perfect agreement, they do not tell how sure the value is, and there are no ends.
        """
        n = self.tasks if of is None else int(np.count_nonzero(np.bincount(self._places, of, self.tasks)))
        value = float(statistic(*(array.sum(axis=0, dtype=np.float64) for array in per_unit)))
        if np.isnan(value):
            return Interval(None, None, None, n)
        draws = statistic(*(np.tensordot(self._weights, array, axes=1) for array in per_unit))
        draws = draws[~np.isnan(draws)]
        if 2 * len(draws) < len(self._weights) or np.ptp(draws) < _EQUAL:
            return Interval(value, None, None, n)
        return percentile_interval(value, draws, n)

    def share(self, hits: Array, counts: Array) -> Interval:
        """Return Σ hits / Σ counts, both [units], as ``clustered_share``: resamples of none or all have no width."""
        by_task = (np.bincount(self._places, each, self.tasks).tolist() for each in (hits, counts))
        return clustered_share(*by_task)
