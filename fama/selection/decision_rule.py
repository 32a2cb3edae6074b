"""The decision rule: from scores of subsets to one subset. Every chosen subset comes from ``decide``.

The value of a subset is P(success) − λ · tokens / 1000. The search maximises it over the subsets
that the hard allowance can pay for, exactly for small pools and by local search beyond; of those within
``epsilon`` of the best it takes the smallest. With ``max_predicted_loss`` all helpers are used where
the choice is predicted to succeed less often than they by more than that. Members that exclude each other (two forms of
a helper: ``groups``, as ``fama.subsets.exclusive_groups`` gives them) are never in one subset.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]
Values = TypeVar("Values", Floats, "Tensor")
#: Places of members that exclude each other.
Groups = tuple[tuple[int, ...], ...]

#: Largest pool that is searched exhaustively (4,096 subsets).
EXACT_LIMIT = 12


class SubsetValues(NamedTuple):
    """P(success) and expected tokens of the episode, one entry per mask."""

    success: Floats
    tokens: Floats


Scorer = Callable[[Masks], SubsetValues]


@dataclass(frozen=True)
class Objective:
    """The value to maximise and the tolerance of ties.

    ``lam`` is the success probability that 1,000 tokens are worth. Subsets whose values differ by
    at most ``epsilon`` count as tied. ``softness`` is the difference in value (0.05 is five points of
    success) at which probabilities of helpers become decided.
    """

    lam: float = 0.0
    epsilon: float = 0.0
    softness: float = 0.05

    def value(self, success: Values, tokens: Values) -> Values:
        """Return P(success) − λ · tokens / 1000, entry by entry."""
        return success - self.lam * tokens / 1000.0


@dataclass(frozen=True)
class Choice:
    """The chosen members (one flag per helper), their scores and every helper's probability.

    ``probabilities`` are marginals in [0, 1]: how likely a helper belongs to the best subset when
    subsets are drawn in proportion to exp(value / softness).
    """

    members: tuple[bool, ...]
    success: float
    tokens: float
    probabilities: tuple[float, ...]


@lru_cache(maxsize=16)
def all_masks(size: int) -> Masks:
    """Return every subset of ``size`` helpers, shape (2**size, size), smaller subsets first; read-only."""
    rows = [members for count in range(size + 1) for members in combinations(range(size), count)]
    masks = np.zeros((len(rows), size), dtype=np.bool_)
    for row, members in enumerate(rows):
        masks[row, list(members)] = True
    masks.flags.writeable = False
    return masks


def admissible(masks: Masks, groups: Groups) -> Masks:
    """Flag the masks, shape (n, size), that hold at most one member of every group; shape (n,)."""
    flags = np.ones(len(masks), dtype=np.bool_)
    for group in groups:
        flags &= masks[:, list(group)].sum(axis=1) <= 1
    return flags


def largest(size: int, groups: Groups) -> tuple[bool, ...]:
    """Return the members of the largest subset: all helpers, each group's first."""
    out = {place for group in groups for place in group[1:]}
    return tuple(place not in out for place in range(size))


@lru_cache(maxsize=16)
def _admissible_masks(size: int, groups: Groups) -> Masks:
    masks = all_masks(size)
    if not groups:
        return masks
    kept: Masks = masks[admissible(masks, groups)]
    kept.flags.writeable = False
    return kept


def subsets_to_choose_from(size: int, candidates: Masks | None = None, groups: Groups = ()) -> Masks:
    """Return the subsets of an exact search, shape (n, size), smaller ones first; read-only.

    Args:
        size: helpers in the pool.
        candidates: the subsets that may be chosen; the empty one always counts. None is every one.
        groups: places of members that exclude each other; candidates with two of a group are left out.
    """
    if candidates is None:
        return _admissible_masks(size, groups)
    return _with_empty(size, len(candidates), np.asarray(candidates, dtype=np.bool_).tobytes(), groups)


@lru_cache(maxsize=16)
def _with_empty(size: int, count: int, flags: bytes, groups: Groups) -> Masks:
    candidates = np.frombuffer(flags, dtype=np.bool_).reshape(count, size)
    masks = np.unique(np.concatenate([np.zeros((1, size), dtype=np.bool_), candidates]), axis=0)
    masks = masks[admissible(masks, groups)]
    masks = masks[np.argsort(masks.sum(axis=1), kind="stable")]
    masks.flags.writeable = False
    return masks


def decide(
    score: Scorer,
    size: int,
    objective: Objective,
    costs: Sequence[int] | None = None,
    allowance: int | None = None,
    candidates: Masks | None = None,
    max_predicted_loss: float | None = None,
    groups: Groups = (),
) -> Choice:
    """Choose a subset of ``size`` helpers.

    Args:
        score: P(success) and tokens of masks, shape (n, size).
        size: helpers in the pool.
        objective: λ, the tie tolerance and the softness of the probabilities.
        costs: tokens that each helper may spend at most, in pool order.
        allowance: tokens left; subsets whose summed costs exceed it are out. None is unlimited.
        candidates: the subsets to choose from, shape (n, size); the empty one always counts. None is all.
        max_predicted_loss: use all helpers, where the allowance can pay for them, if the choice is predicted to
            succeed less often than they by more than this. None never does.
        groups: places of members that exclude each other; "all helpers" then are each group's first and the others.
    """
    price = np.zeros(size) if costs is None else np.asarray(costs, dtype=np.float64)
    if price.shape != (size,):
        raise ValueError(f"{len(price)} costs for {size} helpers")
    search = _Search(score, objective, price, allowance, groups)
    exact = candidates is not None or size <= EXACT_LIMIT
    choice = search.exact(subsets_to_choose_from(size, candidates, groups)) if exact else search.local(size)
    return choice if max_predicted_loss is None else search.all_where_worse(choice, max_predicted_loss)


class _Search:
    """The search of one decision over the values of affordable subsets."""

    def __init__(
        self, score: Scorer, objective: Objective, price: Floats, allowance: int | None, groups: Groups
    ) -> None:
        self.score = score
        self.objective = objective
        self.price = price
        self.allowance = allowance
        self.groups = groups
        self.others = np.zeros((len(price), len(price)), dtype=np.bool_)
        for group in groups:
            self.others[np.ix_(group, group)] = True
        np.fill_diagonal(self.others, False)

    def with_each(self, mask: Masks) -> Masks:
        """Return the mask with each helper added, in place of one that it excludes; shape (size, size)."""
        joined: Masks = (mask | np.eye(len(mask), dtype=np.bool_)) & ~self.others
        return joined

    def affordable(self, masks: Masks) -> Masks:
        """Flag the masks that the allowance can pay for; the empty one always."""
        if self.allowance is None:
            return np.ones(len(masks), dtype=np.bool_)
        paid: Masks = (masks @ self.price <= self.allowance) | ~masks.any(axis=1)
        return paid

    def values(self, masks: Masks) -> Floats:
        """Return the value of every mask; −inf where it cannot be paid."""
        scores = self.score(masks)
        value = self.objective.value(scores.success, scores.tokens)
        return value if self.allowance is None else np.where(self.affordable(masks), value, -np.inf)

    def exact(self, masks: Masks) -> Choice:
        """Take the smallest of the masks within epsilon of the best; of equal sizes the best one."""
        value = self.values(masks)
        tied = value >= value.max() - self.objective.epsilon
        sizes = masks.sum(axis=1)
        smallest = tied & (sizes == sizes[tied].min())
        best = int(np.argmax(np.where(smallest, value, -np.inf)))
        weights = np.exp((value - value.max()) / self.objective.softness)
        marginals = np.minimum((weights / weights.sum()) @ masks, 1.0)
        return self._choice(masks[best], marginals)

    def local(self, size: int) -> Choice:
        """Take the best single flips from the empty subset, then removals that cost no more than epsilon.

        A helper that comes in puts out the one that it excludes.
        """
        current = np.zeros(size, dtype=np.bool_)
        here = float(self.values(current[None])[0])
        while True:
            flips = np.where(current[:, None], current & ~np.eye(size, dtype=np.bool_), self.with_each(current))
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
        with_it, without = self.values(self.with_each(current)), self.values(current & ~one)
        gain = np.clip((with_it - without) / self.objective.softness, -700.0, 700.0)
        return self._choice(current, 1.0 / (1.0 + np.exp(-gain)))

    def all_where_worse(self, choice: Choice, max_predicted_loss: float) -> Choice:
        """Replace a choice that is predicted to lose more success than allowed by all helpers, if they can be paid."""
        members = largest(len(self.price), self.groups)
        everyone = np.array([members], dtype=np.bool_)
        scores = self.score(everyone)
        success = float(scores.success[0])
        if success - choice.success <= max_predicted_loss or not self.affordable(everyone)[0]:
            return choice
        return replace(choice, members=members, success=success, tokens=float(scores.tokens[0]))

    def _choice(self, mask: Masks, marginals: Floats) -> Choice:
        scores = self.score(mask[None])
        return Choice(
            members=tuple(bool(flag) for flag in mask),
            success=float(scores.success[0]),
            tokens=float(scores.tokens[0]),
            probabilities=tuple(float(value) for value in marginals),
        )
