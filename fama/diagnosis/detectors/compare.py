"""Comparing executed changes with reference changes: which belong together, and where they differ."""

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import zip_longest
from typing import Any, NamedTuple

from fama.dialogue.calls import Call
from fama.dialogue.facts import leaves
from fama.episodes.records import FunctionCall, GoldAction

_WORDS = re.compile(r"\w+")
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)(?:\.\d+)?")


class Reference(NamedTuple):
    """A reference action with its arguments parsed."""

    name: str
    arguments: dict[str, Any]


class Difference(NamedTuple):
    """One value that differs; None on a side that has none."""

    path: str
    gold: Any
    actual: Any


class Matching(NamedTuple):
    """Executed calls paired with references, and what is left over on both sides."""

    pairs: list[tuple[Reference, Call, list[Difference]]]
    missing: list[Reference]
    extra: list[Call]


def references(actions: Sequence[GoldAction]) -> list[Reference]:
    """Return the actions with parsed arguments; unparsable ones have none."""
    return [Reference(a.name, FunctionCall(name=a.name, arguments=a.arguments).parsed()) for a in actions]


def differences(gold: dict[str, Any], actual: dict[str, Any]) -> list[Difference]:
    """Return values of the reference that the call has otherwise; the order inside a list does not count.

    Arguments that the reference does not have are left alone: they are optional.
    """
    wanted, given = _by_path(gold), _by_path(actual)
    keys = {path.split(".")[0].split("[")[0] for path in wanted} | {k for k, v in gold.items() if v in ([], {})}
    found = []
    for path in [*wanted, *(p for p in given if p not in wanted and p.split(".")[0].split("[")[0] in keys)]:
        left, right = (
            _without(wanted.get(path, []), given.get(path, [])),
            _without(given.get(path, []), wanted.get(path, [])),
        )
        found += [Difference(path, g, a) for g, a in zip_longest(left, right)]
    return found


def match(wanted: Sequence[Reference], calls: Sequence[Call]) -> Matching:
    """Pair references and calls of the same tool: on the same object first, then closest arguments first."""
    options = sorted(
        (not same_object(reference.arguments, call.arguments), len(found), i, j, found)
        for i, reference in enumerate(wanted)
        for j, call in enumerate(calls)
        if reference.name == call.name
        for found in [[] if _unreadable(call) else differences(reference.arguments, call.arguments)]
    )
    free_wanted, free_calls = set(range(len(wanted))), set(range(len(calls)))
    pairs = []
    for _, _, i, j, found in options:
        if i in free_wanted and j in free_calls:
            free_wanted.discard(i)
            free_calls.discard(j)
            pairs.append((wanted[i], calls[j], found))
    return Matching(pairs, [wanted[i] for i in sorted(free_wanted)], [calls[j] for j in sorted(free_calls)])


def _unreadable(call: Call) -> bool:
    """Return whether a log holds a call's arguments in a form that nobody can read: nothing is known to differ."""
    return not call.arguments and call.raw.strip() not in ("", "{}", "null")


def same_object(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two calls' arguments share the value of their first identifier."""
    key = next((name for name in one if name == "id" or name.endswith("_id")), None)
    return key is not None and _norm(one[key]) == _norm(other.get(key))


def _by_path(value: dict[str, Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for path, _, leaf in leaves(value):
        found.setdefault(path, []).append(leaf)
    return found


def _without(values: list[Any], others: list[Any]) -> list[Any]:
    left = Counter(_norm(value) for value in others)
    kept = []
    for value in values:
        key = _norm(value)
        if left[key] > 0:
            left[key] -= 1
        else:
            kept.append(value)
    return kept


def _norm(value: Any) -> str:
    """Return the text by which values are compared: numbers by their value, in full, ids with leading zeros as text."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    text = repr(value) if isinstance(value, float) else str(value).strip()
    if isinstance(value, int | float) or _NUMBER.fullmatch(text):
        try:
            return str(Fraction(text))  # exact, at any length
        except ValueError:
            pass
    return " ".join(_WORDS.findall(text.casefold()))
