"""From scores of subsets to one subset: exact search for small pools, local search beyond.

The value of a subset is P(success) − λ · tokens / 1000. The search maximises it over the subsets
that the hard allowance can pay for; of those within ``epsilon`` of the best it takes the smallest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]

#: Largest pool that is searched exhaustively (4,096 subsets).
EXACT_LIMIT = 12


class SubsetValues(NamedTuple):
    """P(success) and expected tokens of the episode, one entry a mask."""

    success: Floats
    tokens: Floats


Scorer = Callable[[Masks], SubsetValues]


@dataclass(frozen=True)
class Objective:
    """What is maximised.

    ``lam`` is the success probability that 1,000 tokens are worth. Subsets whose values differ by
    at most ``epsilon`` count as tied. ``softness`` is the difference in value (0.05 is five points of
    success) at which probabilities of helpers become decided.
    """

    lam: float = 0.0
    epsilon: float = 0.0
    softness: float = 0.05


@dataclass(frozen=True)
class Choice:
    """The chosen members (one flag a helper), their scores and every helper's probability.

    ``probabilities`` are marginals in [0, 1]: how likely a helper belongs to the best subset when
    subsets are drawn in proportion to exp(value / softness).
    """

    members: tuple[bool, ...]
    success: float
    tokens: float
    probabilities: tuple[float, ...]


@lru_cache(maxsize=16)
def all_masks(size: int) -> Masks:
    """Every subset of ``size`` helpers, shape (2**size, size), smaller subsets first; read-only."""
    rows = [members for count in range(size + 1) for members in combinations(range(size), count)]
    masks = np.zeros((len(rows), size), dtype=np.bool_)
    for row, members in enumerate(rows):
        masks[row, list(members)] = True
    masks.flags.writeable = False
    return masks


def smallest_within(masks: Masks, value: Floats, epsilon: float) -> int:
    """Place of the smallest subset whose value is at most ``epsilon`` below the best; of equal sizes the best one."""
    tied = value >= value.max() - epsilon
    sizes = masks.sum(axis=1)
    smallest = tied & (sizes == sizes[tied].min())
    return int(np.argmax(np.where(smallest, value, -np.inf)))


def decide(
    score: Scorer,
    size: int,
    objective: Objective,
    costs: Sequence[int] | None = None,
    allowance: int | None = None,
    candidates: Masks | None = None,
) -> Choice:
    """Choose a subset of ``size`` helpers.

    Args:
        score: P(success) and tokens of masks, shape (n, size).
        size: helpers in the pool.
        objective: λ, the tie tolerance and the softness of the probabilities.
        costs: tokens that each helper may spend at most, in pool order.
        allowance: tokens left; subsets whose summed costs exceed it are out. None is unlimited.
        candidates: the subsets to choose from, shape (n, size); the empty one always counts. None is all.
    """
    price = np.zeros(size) if costs is None else np.asarray(costs, dtype=np.float64)
    if price.shape != (size,):
        raise ValueError(f"{len(price)} costs for {size} helpers")
    search = _Search(score, objective, price, allowance)
    if candidates is not None:
        masks = np.unique(np.concatenate([np.zeros((1, size), dtype=np.bool_), candidates]), axis=0)
        return search.exact(masks[np.argsort(masks.sum(axis=1), kind="stable")])
    return search.exact(all_masks(size)) if size <= EXACT_LIMIT else search.local(size)


class _Search:
    """One decision's search: evaluates values, knows what is affordable."""

    def __init__(self, score: Scorer, objective: Objective, price: Floats, allowance: int | None) -> None:
        self.score = score
        self.objective = objective
        self.price = price
        self.allowance = allowance

    def affordable(self, masks: Masks) -> Masks:
        """Which masks the allowance can pay for; the empty one always."""
        if self.allowance is None:
            return np.ones(len(masks), dtype=np.bool_)
        paid: Masks = (masks @ self.price <= self.allowance) | ~masks.any(axis=1)
        return paid

    def values(self, masks: Masks) -> Floats:
        """P(success) − λ · tokens / 1000 of every mask; −inf where it cannot be paid."""
        scores = self.score(masks)
        value = scores.success - self.objective.lam * scores.tokens / 1000.0
        return np.where(self.affordable(masks), value, -np.inf)

    def exact(self, masks: Masks) -> Choice:
        value = self.values(masks)
        best = smallest_within(masks, value, self.objective.epsilon)
        weights = np.exp((value - value.max()) / self.objective.softness)
        marginals = np.clip((weights / weights.sum()) @ masks, 0.0, 1.0)
        return self._choice(masks[best], marginals)

    def local(self, size: int) -> Choice:
        """Best single flips from the empty subset, then removals that cost no more than epsilon."""
        current = np.zeros(size, dtype=np.bool_)
        here = float(self.values(current[None])[0])
        while True:
            flips = current ^ np.eye(size, dtype=np.bool_)
            value = self.values(flips)
            step = int(np.argmax(value))
            if value[step] <= here + 1e-12:
                break
            current, here = flips[step], float(value[step])
        floor = here - self.objective.epsilon
        while current.any():
            members = np.flatnonzero(current)
            smaller = current ^ np.eye(size, dtype=np.bool_)[members]
            value = self.values(smaller)
            step = int(np.argmax(value))
            if value[step] < floor:
                break
            current = smaller[step]
        one = np.eye(size, dtype=np.bool_)
        with_it, without = self.values(current | one), self.values(current & ~one)
        gain = np.clip((with_it - without) / self.objective.softness, -700.0, 700.0)
        return self._choice(current, 1.0 / (1.0 + np.exp(-gain)))

    def _choice(self, mask: Masks, marginals: Floats) -> Choice:
        scores = self.score(mask[None])
        return Choice(
            members=tuple(bool(flag) for flag in mask),
            success=float(scores.success[0]),
            tokens=float(scores.tokens[0]),
            probabilities=tuple(float(value) for value in marginals),
        )
