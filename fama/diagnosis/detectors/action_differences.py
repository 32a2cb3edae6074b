"""Comparing executed changes with reference changes: which belong together, and where they differ."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from fama.dialogue.calls import Call
from fama.dialogue.facts import leaves
from fama.dialogue.language import marked_words, name_words
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


class Flat:
    """Arguments as scalars by path, with the texts by which they are compared: computed once, compared often."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.values: dict[str, list[Any]] = {}
        for path, _, leaf in leaves(arguments):
            self.values.setdefault(path, []).append(leaf)
        self.norms = {path: [_norm(value) for value in values] for path, values in self.values.items()}
        self._keys = {_first(path) for path in self.values} | {k for k, v in arguments.items() if v in ([], {})}

    def differences(self, actual: "Flat") -> list[Difference]:
        """Return values of this reference that the call has otherwise; see the function of this name."""
        more = [path for path in actual.values if path not in self.values and _first(path) in self._keys]
        found = []
        for path in [*self.values, *more]:
            wanted, given = self.norms.get(path, []), actual.norms.get(path, [])
            unset = not given and not any(value is not None for value in self.values[path])
            if wanted != given and not unset:  # null is as good as nothing
                left = _without(self.values.get(path, []), wanted, given)
                right = _without(actual.values.get(path, []), given, wanted)
                found += [Difference(path, g, a) for g, a in zip_longest(left, right)]
        return found


def argument_differences(gold: dict[str, Any], actual: dict[str, Any]) -> list[Difference]:
    """Return values of the reference that the call has otherwise; the order of plain values in a list does not count.

    Arguments that the reference does not have are left alone: they are optional. So is one that it has as null.
    """
    return Flat(gold).differences(Flat(actual))


def match(wanted: Sequence[Reference], calls: Sequence[Call]) -> Matching:
    """Pair references and calls of the same tool: on the same object first, then closest arguments first."""
    golds = [Flat(reference.arguments) for reference in wanted]
    given = [None if _unreadable(call) else Flat(call.arguments) for call in calls]
    free_wanted, free_calls = dict.fromkeys(range(len(wanted))), dict.fromkeys(range(len(calls)))
    pairs = []

    def take(options: Iterable[tuple[int, int]]) -> None:
        compared = ((i, j, [] if (actual := given[j]) is None else golds[i].differences(actual)) for i, j in [*options])
        for _, i, j, found in sorted((len(found), i, j, found) for i, j, found in compared):
            if i in free_wanted and j in free_calls:
                del free_wanted[i], free_calls[j]
                pairs.append((wanted[i], calls[j], found))

    take(_same_objects(wanted, calls))
    take((i, j) for i in free_wanted for j in free_calls if wanted[i].name == calls[j].name)
    return Matching(pairs, [wanted[i] for i in sorted(free_wanted)], [calls[j] for j in sorted(free_calls)])


def _same_objects(wanted: Sequence[Reference], calls: Sequence[Call]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of the same tool and the same object, without a look at the others."""
    by_object: dict[tuple[str, str], dict[str, list[int]]] = {}
    for i, reference in enumerate(wanted):
        if (key := _identifier(reference.arguments)) is None:
            continue
        if (reference.name, key) not in by_object:
            groups = by_object.setdefault((reference.name, key), {})
            for j, call in enumerate(calls):
                if call.name == reference.name:
                    groups.setdefault(_norm(_at(call.arguments, key)), []).append(j)
        for j in by_object[reference.name, key].get(_norm(_at(reference.arguments, key)), ()):
            yield i, j


def _unreadable(call: Call) -> bool:
    """Return whether a log holds a call's arguments in a form that nobody can read: nothing is known to differ."""
    return not call.arguments and call.raw.strip() not in ("", "{}", "null")


def same_object(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two calls' arguments share the value of their first identifier."""
    key = _identifier(one)
    return key is not None and _norm(_at(one, key)) == _norm(_at(other, key))


def _identifier(arguments: dict[str, Any]) -> str | None:
    """Return the name of the first identifier, or the path of one inside the arguments where none has a name."""
    inner = (leaf.path for leaf in leaves(arguments) if _is_identifier(leaf.key))
    return next(chain(filter(_is_identifier, arguments), inner), None)


def _is_identifier(name: str) -> bool:
    return name_words(name)[-1:] == ["id"]


def _at(arguments: dict[str, Any], path: str) -> Any:
    if path in arguments:
        return arguments[path]
    return next((leaf.value for leaf in leaves(arguments) if leaf.path == path), None)


def _first(path: str) -> str:
    return path.split(".")[0].split("[")[0]


def _without(values: list[Any], norms: list[str], others: list[str]) -> list[Any]:
    left = Counter(others)
    kept = []
    for value, key in zip(values, norms, strict=True):
        if left[key] > 0:
            left[key] -= 1
        else:
            kept.append(value)
    return kept


def _norm(value: Any) -> str:
    """Return the text by which values are compared: numbers by their value, in full, ids with leading zeros as text.

    Of a text its words count, with the marks on their letters; of one without any, all of it.
    """
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    text = repr(value) if isinstance(value, float) else str(value).strip()
    if isinstance(value, int | float) or _NUMBER.fullmatch(text):
        try:
            return str(Fraction(text))  # exact, at any length
        except ValueError:
            pass
    text = text.casefold()
    if text.isascii():
        return " ".join(_WORDS.findall(text)) or text
    text = unicodedata.normalize("NFKC", text)
    return " ".join(marked_words(text, "_")) or text
