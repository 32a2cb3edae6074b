"""Intervals for success rates whose trials are clustered by task."""

import math
from collections.abc import Sequence

import numpy as np

from fama.intervals import Array, Interval, wilson_interval


def cohens_h(ours: float, theirs: float) -> float:
    """Return the effect size of two success rates: the difference of their arcsine-transformed values (Cohen 1988).

    0.2 is called small, 0.5 medium, 0.8 large; unlike a difference in points it weighs the ends of the scale.
    """
    return 2 * math.asin(math.sqrt(ours)) - 2 * math.asin(math.sqrt(theirs))


def clustered_proportion(values: Array, trials: int, level: float = 0.95) -> Interval:
    """Return the mean of per-task rates with a Wilson interval at the effective sample size.

    ``values`` has the rate of each task, shape [tasks]; ``trials`` is the number of episodes behind
    them. The effective size is p(1−p) over the variance between tasks, at most ``trials`` and scaled
    for the degrees of freedom (Korn and Graubard 1998, with Wilson's in place of the exact interval).
    At a rate of exactly 0 or 1, trials of a task count as one.
    """
    n = len(values)
    if n == 0:
        return Interval(None, None, None, 0)
    rate = min(1.0, max(0.0, float(np.mean(values))))
    if n == 1:
        return Interval(rate, None, None, 1)
    variance = float(np.var(values, ddof=1)) / n
    spread = rate * (1 - rate)
    size = float(n) if spread == 0 else min(float(max(trials, n)), spread / variance if variance > 0 else math.inf)
    return wilson_interval(rate, size, n, level)


def monotone(estimates: Sequence[Interval]) -> list[Interval]:
    """Widen the intervals of rates that cannot rise, pass^1 to pass^K, until no end rises either.

    pass^k is at most pass^(k−1), so an upper end of pass^k holds for no less than pass^k does, and a lower end of
    pass^(k−1) for no more. It matters where few tasks solve all trials: values between 0 and 1 hide how much a task
    that solves them all would add, pass^K alone does not.
    """
    lows, highs = [one.low for one in estimates], [one.high for one in estimates]
    widened = []
    for index, one in enumerate(estimates):
        if one.low is None or one.high is None:
            widened.append(one)
            continue
        low = min(value for value in lows[: index + 1] if value is not None)
        high = max(value for value in highs[index:] if value is not None)
        widened.append(Interval(one.value, low, high, one.n))
    return widened
