"""Bootstrap over tasks as clusters. One weight matrix serves every arm, so that draws are paired."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from fama.randomness import derive_seed

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Estimate:
    """A number with its interval. ``n`` is the number of tasks behind it.

    ``value`` is None when nothing defines it, ``low`` and ``high`` when fewer than two tasks do.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


@lru_cache(maxsize=2)
def task_weights(tasks: int, draws: int, seed: int, stream: str = "bootstrap") -> Array:
    """How often each task is drawn in each resample: shape [draws, tasks], every row sums to ``tasks``.

    Drawn once for all arms and measures; read-only.
    """
    rng = np.random.default_rng(derive_seed(seed, stream, tasks, draws))
    counts = np.zeros((draws, tasks))
    for row in range(draws if tasks else 0):
        counts[row] = np.bincount(rng.integers(0, tasks, size=tasks), minlength=tasks)
    counts.flags.writeable = False
    return counts


def ratio_interval(numerator: Array, denominator: Array, weights: Array, level: float = 0.95) -> Estimate:
    """Σ numerator / Σ denominator over tasks, with a percentile interval over resampled tasks.

    Both have shape [tasks]; a task counts in ``n`` when its denominator is not 0. A mean over the
    tasks that have a value is the ratio of values (0 elsewhere) and ones (0 elsewhere). The
    percentiles are widened for few tasks (the expanded percentile interval, Hesterberg 2015). Where a number is
    unknown (NaN), so is the ratio.
    """
    n = int(np.count_nonzero(denominator))
    total = float(denominator.sum())
    if n == 0 or total == 0 or np.isnan(total + numerator.sum()):
        return Estimate(None, None, None, n)
    value = float(numerator.sum()) / total
    if n < 2:
        return Estimate(value, None, None, n)
    over = weights @ numerator.astype(np.float64)
    under = weights @ denominator.astype(np.float64)
    draws = over[under != 0] / under[under != 0]
    tail = expanded_tail(n, level)
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), n)


def mean_interval(values: Array, weights: Array, level: float = 0.95) -> Estimate:
    """Mean over tasks with its interval; shape [tasks], NaN where a task has no value."""
    known = ~np.isnan(values)
    return ratio_interval(np.where(known, values, 0.0), known.astype(np.float64), weights, level)


def difference_interval(ours: Array, theirs: Array, weights: Array, level: float = 0.95) -> Estimate:
    """Mean paired difference over the tasks that both have a value on; shapes [tasks], NaN for none.

    When all differences are the same, resampling shows no spread at all; the interval then says
    what so few tasks cannot exclude: a share of 1 − (α/2)^(1/n) of tasks that would differ. When no task
    speaks against the others' sign, no resample can either: one task won and one lost are added to the
    draws, as Bonett and Price (2012, doi:10.3102/1076998611411915) do for paired proportions, and the wider
    end of both intervals is kept.
    """
    differences = ours - theirs
    estimate = mean_interval(differences, weights, level)
    known = differences[~np.isnan(differences)]
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    if float(np.ptp(known)) == 0:
        slack = 1 - ((1 - level) / 2) ** (1 / len(known))
        low, high = max(-1.0, estimate.value - slack), min(1.0, estimate.value + slack)
        return Estimate(estimate.value, low, high, estimate.n)
    if known.min() < 0 < known.max():
        return estimate
    added = mean_interval(np.append(differences, [1.0, -1.0]), _with_two_more(weights), level)
    if added.low is None or added.high is None:
        raise ValueError("two added tasks have a value")
    low, high = min(estimate.low, added.low), max(estimate.high, added.high)
    return Estimate(estimate.value, low, high, estimate.n)


def _with_two_more(weights: Array) -> Array:
    """The resamples with two more tasks, each drawn as often as chance draws one of many: Poisson(1) times."""
    rng = np.random.default_rng(derive_seed(0, "added tasks", *weights.shape))
    return np.hstack([weights, rng.poisson(1.0, size=(len(weights), 2))])


def expanded_tail(n: int, level: float = 0.95) -> float:
    """The tail share whose percentiles give about ``level`` coverage with ``n`` clusters."""
    return float(ndtr(stdtrit(n - 1, (1 - level) / 2) * np.sqrt(n / (n - 1))))
