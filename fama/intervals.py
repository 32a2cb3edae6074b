"""The one kind of interval: 95 % by default, from a bootstrap that resamples whole tasks.

The percentiles are widened for few tasks (the expanded percentile interval, Hesterberg 2015). Tables, reports,
annotation agreement and model cards all use this module.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtrit

from fama.randomness import derive_seed

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Interval:
    """A number with its interval. ``n`` is the number of tasks behind it, None in files written without it.

    ``value`` is None when nothing defines it, ``low`` and ``high`` when fewer than two tasks do. ``high`` alone is None
    where nothing bounds a ratio from above.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int | None = None


@lru_cache(maxsize=2)
def task_weights(tasks: int, draws: int, seed: int, stream: str = "bootstrap") -> Array:
    """Return how often each task is drawn in each resample: shape [draws, tasks], every row sums to ``tasks``.

    Drawn once for all arms and measures, so that draws are paired; read-only.
    """
    rng = np.random.default_rng(derive_seed(seed, stream, tasks, draws))
    counts = np.zeros((draws, tasks))
    for row in range(draws if tasks else 0):
        counts[row] = np.bincount(rng.integers(0, tasks, size=tasks), minlength=tasks)
    counts.flags.writeable = False
    return counts


def expanded_tail(n: int, level: float = 0.95) -> float:
    """Return the tail share whose percentiles give about ``level`` coverage with ``n`` clusters."""
    return float(ndtr(stdtrit(n - 1, (1 - level) / 2) * np.sqrt(n / (n - 1))))


def percentile_interval(value: float, draws: Array, n: int, level: float = 0.95) -> Interval:
    """Return ``value`` with the expanded percentiles of its resampled ``draws``; without ends below two tasks."""
    if n < 2:
        return Interval(value, None, None, n)
    tail = expanded_tail(n, level)
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high), n)


def ratio_interval(numerator: Array, denominator: Array, weights: Array, level: float = 0.95) -> Interval:
    """Return Σ numerator / Σ denominator over tasks, with its interval over resampled tasks.

    Both have shape [tasks]; a task counts in ``n`` when its denominator is not 0. A mean over the
    tasks that have a value is the ratio of values (0 elsewhere) and ones (0 elsewhere). Where a number is unknown
    (NaN), so is the ratio. ``high`` is None where resamples with a numerator alone reach the upper percentile.
    """
    return _ratio(numerator, denominator, weights, int(np.count_nonzero(denominator)), level)


def price_interval(cost: Array, bought: Array, weights: Array) -> Interval:
    """Return Σ cost / Σ bought over tasks, the cost of one success, with its interval over resampled tasks.

    Both have shape [tasks]. Every task with a cost counts in ``n``. ``high`` is None where the upper percentile is
    among the resamples that buy nothing for their cost.
    """
    return _ratio(cost, bought, weights, int(np.count_nonzero(cost + bought)))


def _ratio(over: Array, under: Array, weights: Array, n: int, level: float = 0.95) -> Interval:
    """Return Σ over / Σ under with its interval.

    A resample is infinite where ``under`` alone is 0: left out, few of them would look more certain than they are. One
    without either, such as one of tasks that ended in errors, says nothing.
    """
    total = float(under.sum())
    if n == 0 or total == 0 or np.isnan(total + over.sum()):
        return Interval(None, None, None, n)
    value = float(over.sum()) / total
    if n < 2:
        return Interval(value, None, None, n)
    above, below = weights @ over.astype(np.float64), weights @ under.astype(np.float64)
    finite = above[below != 0] / below[below != 0]
    largest = float(finite.max(initial=value))
    infinite = np.full(np.count_nonzero((below == 0) & (above != 0)), 2 * abs(largest) + 1)  # inf has no percentiles
    bounds = percentile_interval(value, np.append(finite, infinite), n, level)
    low, high = (None if end is None or end > largest else end for end in (bounds.low, bounds.high))
    return Interval(value, low, high, n)


def wilson_interval(value: float, size: float, n: int, level: float = 0.95) -> Interval:
    """Return a rate with Wilson's interval at an effective sample size, widened for ``n`` clusters; no ends below two.

    ``size`` is scaled for the degrees of freedom of a variance between clusters (Korn and Graubard 1998, with Wilson's
    in place of the exact interval).
    """
    if n < 2:
        return Interval(value, None, None, n)
    z = float(ndtri((1 + level) / 2))
    spread = value * (1 - value)
    size *= (z / float(stdtrit(n - 1, (1 + level) / 2))) ** 2
    centre = (value + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(spread / size + z * z / (4 * size * size))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(value, min(low, value), max(high, value), n)  # at 0 and 1 an end is the value, but for rounding


def clustered_share(hits: Sequence[float], counts: Sequence[float], level: float = 0.95) -> Interval:
    """Return Σ hits / Σ counts over tasks with Wilson's interval at the effective sample size.

    The effective size is p(1−p) over the variance of the ratio between tasks (linearised), at most Σ counts. At a share
    of exactly 0 or 1 everything of a task counts as one. A task counts in ``n`` when its count is not 0.
    """
    known = [(float(hit), float(count)) for hit, count in zip(hits, counts, strict=True) if count]
    n, total = len(known), sum(count for _, count in known)
    if n == 0:
        return Interval(None, None, None, 0)
    value = sum(hit for hit, _ in known) / total
    spread = value * (1 - value)
    variance = n / max(1, n - 1) * sum((hit - value * count) ** 2 for hit, count in known) / total**2
    size = float(n) if spread == 0 else min(total, spread / variance if variance > 0 else math.inf)
    return wilson_interval(value, size, n, level)


def clustered_mean(
    values: Array, tasks: Sequence[str], seed: int, row_weights: Array | None = None, draws: int = 2000
) -> Interval:
    """Return the mean of rows, weighted where ``row_weights`` are given, with its interval over the rows' tasks."""
    row_weights = np.ones(len(values)) if row_weights is None else row_weights
    names, owner = np.unique(np.array(tasks), return_inverse=True)
    sums, totals = np.zeros(len(names)), np.zeros(len(names))
    np.add.at(sums, owner, row_weights * values)
    np.add.at(totals, owner, row_weights)
    return ratio_interval(sums, totals, task_weights(len(names), draws, seed))
