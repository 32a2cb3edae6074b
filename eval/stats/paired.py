"""Paired comparisons over tasks: the interval of a difference, exact tests and Holm's correction."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm

import numpy as np
from scipy.stats import binomtest

from fama.intervals import Array, Interval, mean_interval
from fama.randomness import derive_seed

_TIE = 1e-12
#: Largest denominator that counts as a share of trials, and largest sum of steps whose distribution is computed.
_DENOMINATOR, _SUPPORT = 1000, 100_000


def difference_interval(ours: Array, theirs: Array, weights: Array, level: float = 0.95) -> Interval:
    """Return the mean paired difference over the tasks that both have a value on; shapes [tasks], NaN for none.

    When all differences are the same, resampling shows no spread at all; the interval then says
    what so few tasks cannot exclude: a share of 1 − (α/2)^(1/n) of tasks that would differ. When no task
    speaks against the others' sign, no resample can either: one task won and one lost are added to the
    draws, as Bonett and Price (2012, doi:10.3102/1076998611411915) do for paired proportions, and the wider
    end of both intervals is kept.
    """
    differences = ours - theirs
    interval = mean_interval(differences, weights, level)
    known = differences[~np.isnan(differences)]
    if interval.value is None or interval.low is None or interval.high is None:
        return interval
    if float(np.ptp(known)) == 0:
        slack = 1 - ((1 - level) / 2) ** (1 / len(known))
        low, high = max(-1.0, interval.value - slack), min(1.0, interval.value + slack)
        return Interval(interval.value, low, high, interval.n)
    if known.min() < 0 < known.max():
        return interval
    added = mean_interval(np.append(differences, [1.0, -1.0]), _with_two_more(weights), level)
    if added.low is None or added.high is None:
        raise ValueError("two added tasks have a value")
    low, high = min(interval.low, added.low), max(interval.high, added.high)
    return Interval(interval.value, low, high, interval.n)


def _with_two_more(weights: Array) -> Array:
    """Return the resamples with two more tasks, each drawn as often as chance draws one of many: Poisson(1) times."""
    rng = np.random.default_rng(derive_seed(0, "added tasks", *weights.shape))
    return np.hstack([weights, rng.poisson(1.0, size=(len(weights), 2))])


def mcnemar_exact(only_ours: int, only_theirs: int) -> float:
    """Return the two-sided exact p of McNemar's test from the two discordant counts; 1.0 when there are none."""
    n = only_ours + only_theirs
    return float(binomtest(only_ours, n).pvalue) if n else 1.0


def sign_flip(differences: Array, seed: int, draws: int = 10_000) -> float:
    """Return the two-sided permutation p of a mean paired difference, flipping the sign of whole tasks.

    Exact where the differences are fractions of small denominators, as those of success rates are; with one trial a
    task it is McNemar's exact test. Else Monte Carlo with the observed pattern counted in, so that p is never 0. 1.0
    when no task differs.
    """
    moved = differences[np.abs(differences) > _TIE]
    if len(moved) == 0:
        return 1.0
    fractions = [Fraction(float(value)).limit_denominator(_DENOMINATOR) for value in np.abs(moved)]
    scale = lcm(*(value.denominator for value in fractions))
    steps = [int(value * scale) for value in fractions]
    if sum(steps) <= _SUPPORT and np.allclose(np.array(steps) / scale, np.abs(moved), rtol=0, atol=_TIE):
        return _exact(steps, abs(round(float(moved.sum()) * scale)))
    seen = float(np.abs(moved.sum())) - _TIE * len(moved)
    rng = np.random.default_rng(derive_seed(seed, "sign-flip", len(moved), draws))
    hits = 0
    for start in range(0, draws, 1000):
        signs = 1 - 2 * rng.integers(0, 2, size=(min(1000, draws - start), len(moved)), dtype=np.int8)
        hits += int(np.count_nonzero(np.abs(signs @ moved) >= seen))
    return (hits + 1) / (draws + 1)


def _exact(steps: Sequence[int], seen: int) -> float:
    """Return P(|Σ ±steps| ≥ seen) with fair signs: the distribution of the sum, one step after the other."""
    total = sum(steps)
    chance = np.zeros(2 * total + 1)
    chance[total] = 1.0
    for step in steps:
        chance = (np.roll(chance, step) + np.roll(chance, -step)) / 2
    return float(chance[np.abs(np.arange(-total, total + 1)) >= seen].sum())


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's step-down adjusted p-values of one family of tests (Holm 1979)."""
    adjusted: dict[str, float] = {}
    running = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, (len(p_values) - rank) * p))
        adjusted[name] = running
    return adjusted
