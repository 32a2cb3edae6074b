"""Subsets of helpers: which names exclude each other, one way to order a subset, to store it and to show it.

A member of a pool is named after its helper (``TSA``), or after the helper and the form that it states
(``TSA:template``). Members of one helper exclude each other: at most one of them is in a subset.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations

from fama.errors import BadInput

#: Names of helpers in pool order.
Subset = tuple[str, ...]
#: The same names where their order does not matter.
Members = frozenset[str]

#: The pool of the paper, in the order that subsets are written in.
POOL: Subset = ("DCE", "TSA", "TOR", "Planner", "Verifier", "Memory")
#: Forms that a member's name can state (``fama.settings.Form``).
FORMS = ("template", "llm", "separate")
_SIGN, _NOBODY, _STATES = "+", "none", ":"


def base_of(name: str) -> str:
    """Return the helper behind a member's name: ``TSA`` for ``TSA`` and for ``TSA:template``."""
    base, _, form = name.rpartition(_STATES)
    return base if base and form in FORMS else name


def stated_form(name: str) -> str | None:
    """Return the form that a member's name states; None where it takes the pool's."""
    return None if base_of(name) == name else name.rpartition(_STATES)[2]


def excluding_pair(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two different names that exclude each other; None where none do."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(base_of(name), name)
        if other != name:
            return other, name
    return None


def is_admissible(names: Iterable[str], pool: Sequence[str]) -> bool:
    """Return whether the names are a subset of the pool: members of it, of which no two exclude each other."""
    wanted = set(names)
    return wanted <= set(pool) and excluding_pair(wanted) is None


def one_form_each(names: Iterable[str]) -> Subset:
    """Return the names in their order without those that an earlier one excludes; of a pool, its largest subset."""
    return tuple(forms[0] for forms in by_helper(names))


def by_helper(names: Iterable[str]) -> list[list[str]]:
    """Return the names helper by helper, in their order."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(base_of(name), []).append(name)
    return list(groups.values())


def refuse_excluded(names: Iterable[str], where: str) -> None:
    """Refuse a subset that holds two forms of a helper.

    Raises:
        BadInput: naming the two.
    """
    pair = excluding_pair(names)
    if pair is not None:
        raise BadInput(f"{where}: {pair[0]} and {pair[1]} are forms of one helper and exclude each other; keep one")


@lru_cache(maxsize=256)
def exclusive_groups(pool: Subset) -> tuple[tuple[int, ...], ...]:
    """Return the places in the pool of members that exclude each other, one group per helper with several."""
    return tuple(tuple(map(pool.index, forms)) for forms in by_helper(pool) if len(forms) > 1)


def subsets_of_size(pool: Sequence[str], size: int) -> list[Subset]:
    """Return the pool's subsets of ``size`` helpers, in the order of ``itertools.combinations``."""
    return [names for names in combinations(pool, size) if excluding_pair(names) is None]


def in_pool_order(names: Iterable[str], pool: Sequence[str]) -> Subset:
    """Return the names without repeats in the pool's order, so that a subset is written in one way only."""
    wanted = set(names)
    return tuple(name for name in pool if name in wanted)


def in_order(names: Iterable[str]) -> Subset:
    """Return the names in the paper's pool order, in any form, helpers of other pools by name after it."""
    place = {name: index for index, name in enumerate(POOL)}
    return tuple(sorted(set(names), key=lambda name: (place.get(base_of(name), len(POOL)), name)))


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
