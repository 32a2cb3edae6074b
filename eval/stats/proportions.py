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


#: Squared deviations of 1 that the variance of pass^k allows for beyond those seen, for k above 1.
_UNSEEN = 0.5


def clustered_proportion(values: Array, trials: int, unseen: float = 0.0) -> Interval:
    """Return the mean of per-task rates with a Wilson interval at the effective sample size.

    ``values`` has the rate of each task, shape [tasks]; ``trials`` is the number of episodes behind
    them. The effective size is p(1−p) over the variance between tasks, at most ``trials`` and scaled
    for the degrees of freedom (Korn and Graubard 1998, with Wilson's in place of the exact interval).
    At a rate of exactly 0 or 1, trials of a task count as one. ``unseen`` adds that many squared
    deviations of 1 to both variances, for values of which the largest are rare.
    """
    n = len(values)
    if n == 0:
        return Interval(None, None, None, 0)
    rate = min(1.0, max(0.0, float(np.mean(values))))
    if n == 1:
        return Interval(rate, None, None, 1)
    variance = float(np.var(values, ddof=1)) / n
    spread = rate * (1 - rate)
    above, below = n * spread + (n - 1) * unseen / n, n * variance + unseen / n
    size = float(n) if spread == 0 else min(float(max(trials, n)), above / below if below > 0 else math.inf)
    return wilson_interval(rate, size, n)


def pass_k_intervals(values: Sequence[Array], trials: int) -> list[Interval]:
    """Return the means of per-task pass^1 to pass^K with intervals whose ends do not rise.

    ``values`` has the rates of each k, shape [tasks]. A task that solves all trials counts far more for pass^k than one
    that lacks a few, and is rare: the variance allows for half of an unseen one. And since pass^k is at most
    pass^(k−1) of the same tasks, an upper end of pass^k holds for no less than pass^k does, a lower end of pass^(k−1)
    for no more. Tasks with k trials have k−1, so that those of as many values are the same ones; others bound nothing.
    """
    own = [clustered_proportion(of_k, trials, unseen=_UNSEEN if k else 0.0) for k, of_k in enumerate(values)]
    widened = []
    for k, one in enumerate(own):
        before = [other.low for other in own[: k + 1] if other.n == one.n and other.low is not None]
        after = [other.high for other in own[k:] if other.n == one.n and other.high is not None]
        widened.append(Interval(one.value, min(before), max(after), one.n) if before and after else one)
    return widened
