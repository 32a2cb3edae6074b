"""Subsets of helpers: the pool of the paper, one way to order a subset, to store it and to show it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

#: Names of helpers in pool order.
Subset = tuple[str, ...]
#: The same names where their order does not matter.
Members = frozenset[str]

#: The pool of the paper, in the order that subsets are written in.
POOL: Subset = ("DCE", "TSA", "TOR", "Planner", "Verifier", "Memory")
_SIGN, _NOBODY = "+", "none"


def in_pool_order(names: Iterable[str], pool: Sequence[str]) -> Subset:
    """Return the names without repeats in the pool's order, so that a subset is written in one way only."""
    wanted = set(names)
    return tuple(name for name in pool if name in wanted)


def in_order(names: Iterable[str]) -> Subset:
    """Return the names in the paper's pool order, helpers of other pools by name after it."""
    wanted = set(names)
    return (*in_pool_order(wanted, POOL), *sorted(wanted - set(POOL)))


def flagged(flags: Sequence[bool], pool: Sequence[str]) -> Subset:
    """Return the helpers of the pool whose flag is set."""
    return tuple(name for name, flag in zip(pool, flags, strict=True) if flag)


def join_subset(subset: Iterable[str]) -> str:
    """Return an ordered subset as the text that files hold: ``DCE+TSA``, empty for no helper."""
    return _SIGN.join(subset)


def split_subset(text: str) -> Subset:
    """Return the names behind ``join_subset``."""
    return tuple(text.split(_SIGN)) if text else ()


@lru_cache(maxsize=4096)
def members_of(text: str) -> Members:
    """Return the names behind ``join_subset`` as a set; one object per subset, however many rows have it."""
    return frozenset(split_subset(text))


def subset_label(subset: Iterable[str]) -> str:
    """Return ``DCE+TSA`` for an ordered subset, ``none`` for the empty one: what people read."""
    return join_subset(subset) or _NOBODY


def split_label(label: str) -> Subset:
    """Return the names behind ``subset_label``."""
    return () if label == _NOBODY else split_subset(label)
