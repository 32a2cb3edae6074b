"""The sign-flip distribution of a sum of paired differences: p, and the critical value of a level."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np

from fama.intervals import Array
from fama.randomness import derive_seed

_TIE = 1e-12
#: Largest denominator that counts as a share of trials, and largest sum of steps whose distribution is computed.
_DENOMINATOR, _SUPPORT = 1000, 100_000


@dataclass(frozen=True)
class SignFlipTest:
    """Two-sided test of a zero mean difference; the statistic is |Σ d| / √Σ d².

    Attributes:
        p: The share of sign patterns whose statistic is at least the observed one.
        accepted: The largest value of the statistic whose p is not below the level's α.
        rejected: The smallest value whose p is, infinite if there is none. No value lies between the two.
    """

    p: float
    accepted: float
    rejected: float

    def critical(self, wanted: float) -> float:
        """Return the critical value nearest to ``wanted`` that rejects 0 exactly where the test does."""
        return min(max(wanted, self.accepted), self.rejected * (1 - 1e-6))


def sign_flip_test(differences: Array, seed: int, level: float = 0.95, draws: int = 10_000) -> SignFlipTest:
    """Test a mean paired difference by flipping the sign of whole tasks; shape [tasks], without NaN.

    Exact where the differences are fractions of small denominators, as those of success rates are; with one trial per
    task it is McNemar's exact test. Else Monte Carlo with the observed pattern counted in, so that p is never 0.
    p is 1 when no task differs.
    """
    moved = differences[np.abs(differences) > _TIE]
    if len(moved) == 0:
        return SignFlipTest(1.0, 0.0, math.inf)
    fractions = [Fraction(float(value)).limit_denominator(_DENOMINATOR) for value in np.abs(moved)]
    scale = lcm(*(value.denominator for value in fractions))
    steps = [int(value * scale) for value in fractions]
    exact = sum(steps) <= _SUPPORT and np.allclose(np.array(steps) / scale, np.abs(moved), rtol=0, atol=_TIE)
    if exact:
        sums, tails = _exact(steps)
        seen = float(abs(round(float(moved.sum()) * scale)))
    else:
        scale = 1
        seen = float(np.abs(moved.sum()))
        sums, tails = _sampled(moved, seen, derive_seed(seed, "sign-flip", len(moved), draws), draws)
    p = float(tails[np.searchsorted(sums, seen - _TIE * len(moved))])
    norm = scale * math.sqrt(float(moved @ moved))
    refused = tails < 1 - level - _TIE
    rejected = sums[refused]
    return SignFlipTest(
        min(1.0, max(p, sys.float_info.min)),
        float(sums[~refused].max()) / norm,  # the smallest value has p = 1
        float(rejected.min()) / norm if len(rejected) else math.inf,
    )


def _exact(steps: Sequence[int]) -> tuple[Array, Array]:
    """Return the values of |Σ ±steps| in rising order and P(|Σ ±steps| ≥ value) with fair signs.

    A chance that is too small for a number is 0; its sum is a value all the same.
    """
    total = sum(steps)
    chance, possible = np.ones(1), np.ones(1, dtype=bool)
    for step in steps:  # the sums from −k to k become those from −k − step to k + step
        wider, more = np.zeros(len(chance) + 2 * step), np.zeros(len(chance) + 2 * step, dtype=bool)
        wider[2 * step :] += chance
        wider[: len(chance)] += chance
        more[2 * step :] |= possible
        more[: len(chance)] |= possible
        chance, possible = wider / 2, more
    folded = chance[total:].copy()
    folded[1:] *= 2
    tails = folded[::-1].cumsum()[::-1]
    reached = np.flatnonzero(possible[total:])
    return reached.astype(np.float64), tails[reached]


def _sampled(moved: Array, seen: float, seed: int, draws: int) -> tuple[Array, Array]:
    """Return the sampled values of |Σ ±moved| and the observed one in rising order, and the share at least as large."""
    rng = np.random.default_rng(seed)
    drawn = []
    for start in range(0, draws, 1000):
        signs = 1 - 2 * rng.integers(0, 2, size=(min(1000, draws - start), len(moved)), dtype=np.int8)
        drawn.append(np.abs(signs @ moved))
    sums = np.sort(np.append(np.concatenate(drawn), seen))
    first = np.searchsorted(sums, sums - _TIE * len(moved))
    return sums, (len(sums) - first) / len(sums)
