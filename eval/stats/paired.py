"""Paired comparisons over tasks: differences with interval and p from one family of tests, and Holm's correction."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import binomtest

from eval.stats.sign_flips import sign_flip_test
from fama.intervals import Array, Interval

_BISECTIONS = 50


@dataclass(frozen=True)
class PairedEstimate:
    """A mean paired difference; ``p`` is below 1 − level exactly where 0 is outside of the interval."""

    interval: Interval
    p: float | None


def paired_estimate(differences: Array, seed: int, level: float = 0.95) -> PairedEstimate:
    """Return the mean of per-task differences in [−1, 1] with interval and two-sided p; shape [tasks], NaN for none.

    A difference θ is in the interval when |mean − θ| √(n / V(θ)) is at most the critical value. V(θ) is the variance
    per task if θ were true (:class:`_Spread`). At θ = 0 the statistic is that of the sign-flip test, and the critical
    value is the normal one, moved no further than needed to decide 0 as that test does.
    """
    known = differences[~np.isnan(differences)]
    n = len(known)
    if n == 0:
        return PairedEstimate(Interval(None, None, None, 0), None)
    spread = _Spread.of(known)
    if n == 1:
        return PairedEstimate(Interval(spread.mean, None, None, 1), None)
    test = sign_flip_test(known, seed, level)
    critical = test.critical(float(ndtri((1 + level) / 2)))
    low, high = (_end(spread, critical**2 / n, bound) for bound in (-1.0, 1.0))
    if test.p >= 1 - level - 1e-12:  # 0 may be an end of the interval: no rounding takes it out
        low, high = min(low, 0.0), max(high, 0.0)
    return PairedEstimate(Interval(spread.mean, low, high, n), test.p)


@dataclass(frozen=True)
class _Spread:
    """Variance per task of the differences if their mean were θ.

    The differences are read as three values −step, 0 and step, with the shares that give their mean and mean square:
    one trial per task has just these. Towards and beyond 0 the shares are the likeliest ones with mean θ (Tango 1998,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B), so that losses count as possible where none
    was seen. V is at least that of differences shifted to θ, which a Student interval assumes. Both are the mean square
    at θ = 0.
    """

    mean: float
    square: float
    step: float
    gains: float
    losses: float

    @classmethod
    def of(cls, differences: Array) -> "_Spread":
        square, size = float(np.mean(differences**2)), float(np.mean(np.abs(differences)))
        step = square / size if size > 0 else 1.0
        gains, losses = (float(np.mean(np.maximum(side, 0.0))) / step for side in (differences, -differences))
        return cls(float(np.mean(differences)), square, step, gains, losses)

    def variance(self, theta: float) -> float:
        """Return V(θ), in squared shares of success."""
        seen = max(0.0, self.square - self.mean**2)
        shifted = seen + (self.mean - theta) ** 2
        inside = abs(theta) <= self.step
        shares = self.step**2 * _three_point_variance(theta / self.step, self.gains, self.losses) if inside else 0.0
        if theta * self.mean > 0 and abs(theta) > abs(self.mean):
            if seen <= 1e-12 * self.square:  # all equal: another value, as far as 1, may be unseen
                shares = max(shares, abs(theta - self.mean) * (1 - abs(theta)))
            else:  # larger steps may be unseen, the more so the fewer tasks differ
                shares += (1 - self.step) * (1 - self.gains - self.losses) * (theta**2 - self.mean**2)
        return max(shares, shifted)


def _three_point_variance(theta: float, gains: float, losses: float) -> float:
    """Return the variance of −1, 0, 1 with mean θ at the likeliest shares, given the observed shares (Tango 1998)."""
    b = (2 - gains + losses) * theta - gains - losses
    root = math.sqrt(max(0.0, b * b + 8 * losses * theta * (1 - theta)))
    lost = max((root - b) / 4, 0.0, -theta)
    return 2 * lost + theta - theta**2


def _end(spread: _Spread, limit: float, bound: float) -> float:
    """Return the θ furthest towards ``bound`` with (mean − θ)² ≤ limit · V(θ): the ratio rises with the distance."""

    def accepted(theta: float) -> bool:
        return (spread.mean - theta) ** 2 <= limit * spread.variance(theta)

    if accepted(bound):
        return bound
    inner, outer = spread.mean, bound
    for _ in range(_BISECTIONS):
        middle = (inner + outer) / 2
        inner, outer = (middle, outer) if accepted(middle) else (inner, middle)
    return inner


def mcnemar_exact(only_ours: int, only_theirs: int) -> float:
    """Return the two-sided exact p of McNemar's test from the two discordant counts; 1.0 when there are none."""
    n = only_ours + only_theirs
    return float(binomtest(only_ours, n).pvalue) if n else 1.0


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's step-down adjusted p-values of one family of tests (Holm 1979)."""
    adjusted: dict[str, float] = {}
    running = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, (len(p_values) - rank) * p))
        adjusted[name] = running
    return adjusted
