"""The ratio of two mean gains on the same tasks, such as the share of a gain that is kept on other wording."""

import math

import numpy as np
from scipy.special import stdtrit

from fama.intervals import Array, Interval


def fieller_interval(numerator: Array, denominator: Array) -> Interval:
    """Return mean(numerator) / mean(denominator) with Fieller's 95 % interval over tasks; both have shape [tasks].

    It holds exactly the ratios r at which a paired t test does not tell numerator − r · denominator from 0 (Fieller
    1954). A percentile bootstrap of a ratio has no such guarantee where the denominator's mean is near 0. There are no
    ends where the denominator's mean is itself not told from 0: no ratio can then be excluded.
    """
    n = len(numerator)
    over, under = float(np.mean(numerator)) if n else 0.0, float(np.mean(denominator)) if n else 0.0
    if n == 0 or under == 0:
        return Interval(None, None, None, n)
    value = over / under
    if n < 2:
        return Interval(value, None, None, n)
    variances = np.cov(numerator, denominator) / n * float(stdtrit(n - 1, 0.975)) ** 2
    square = under * under - variances[1, 1]
    if square <= 0:
        return Interval(value, None, None, n)
    middle = (over * under - variances[0, 1]) / square
    half = math.sqrt(max(0.0, middle * middle - (over * over - variances[0, 0]) / square))
    return Interval(value, middle - half, middle + half, n)
