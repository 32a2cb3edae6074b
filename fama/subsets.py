"""Subsets of helpers: the pool of the paper, one way to order a subset and one way to write it."""

from collections.abc import Iterable, Sequence

#: Names of helpers in pool order.
Subset = tuple[str, ...]

#: The pool of the paper, in the order that subsets are written in.
POOL: Subset = ("DCE", "TSA", "TOR", "Planner", "Verifier", "Memory")


def in_pool_order(names: Iterable[str], pool: Sequence[str]) -> Subset:
    """Return the names without repeats in the pool's order, so that a subset is written in one way only."""
    wanted = set(names)
    return tuple(name for name in pool if name in wanted)


def subset_label(subset: Sequence[str]) -> str:
    """Return ``DCE+TSA`` for a subset, ``none`` for the empty one."""
    return "+".join(subset) or "none"
