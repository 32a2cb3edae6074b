"""An interval for a success rate whose trials are clustered by task."""

import math

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
