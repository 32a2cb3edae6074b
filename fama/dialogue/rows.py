"""Rows of large tool outputs, and the one that the user's words point to."""

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from fama.dialogue.facts import data_of
from fama.dialogue.history import last_correction, user_turns
from fama.dialogue.language import STOP, clauses, stem, without_negated, words
from fama.dialogue.values import is_id
from fama.episodes.state import VisibleState

#: Words like ``delivered`` and ``processing`` tell a row's state, not what the user calls it.
_STATE = re.compile(r"\w{4,}(?:ed|ing)")


class Row(NamedTuple):
    """A record with the ids of the records around it, and the stems of its values; states (``-ed``) left out."""

    fields: dict[str, Any]
    outer: dict[str, Any]
    roots: frozenset[str]

    def ids(self) -> dict[str, Any]:
        """Id fields, those of the records around it first."""
        return {key: value for key, value in {**self.outer, **self.fields}.items() if is_id(key.split(".")[-1])}


@lru_cache(maxsize=256)
def table(text: str | None) -> tuple[Row, ...]:
    """The rows of a tool's output: the dicts of its lists, and of dicts that hold nothing but dicts with the same keys.

    Shared: not to be changed.
    """
    return tuple(_rows(data_of(text), {}, 0, False))


def _rows(value: Any, outer: dict[str, Any], depth: int, listed: bool) -> Iterator[Row]:
    if depth > 10:
        return
    if isinstance(value, list):
        for inner in value:
            yield from _rows(inner, outer, depth + 1, True)
    elif isinstance(value, dict):
        own = {str(key): inner for key, inner in value.items() if not isinstance(inner, dict | list)}
        nested = [inner for inner in value.values() if isinstance(inner, dict | list)]
        if listed:
            fields = {**own, **_inner(value)}
            if len(fields) >= 2:
                text = " ".join(str(item).replace("_", " ") for item in fields.values())
                roots = (stem(word) for word in words(text) if not _STATE.fullmatch(word))
                yield Row(fields, outer, frozenset(roots))
        ids = {key: inner for key, inner in {**own, **_inner(value)}.items() if is_id(key)}
        alike = [tuple(inner) for inner in nested if isinstance(inner, dict)]
        keyed = len(alike) >= 2 and len(alike) == len(value) and len(set(alike)) == 1
        for inner in nested:
            if isinstance(inner, list) or not listed:
                yield from _rows(inner, {**outer, **ids}, depth + 1, keyed)


def _inner(value: dict[str, Any]) -> dict[str, Any]:
    """Scalars of the plain dicts inside a record, such as its options, under their own names."""
    return {
        str(name): inner
        for nested in value.values()
        if isinstance(nested, dict)
        for name, inner in nested.items()
        if not isinstance(inner, dict | list)
    }


def asked_words(text: str) -> frozenset[str]:
    """Stems of the content words and numbers in the user's text."""
    return frozenset(stem(word) for word in words(text) if word not in STOP and len(word) > 1)


def pointed_row(found: Sequence[Row], state: VisibleState) -> Row | None:
    """The one row that everything the user described points to; None when they point to several or to none.

    Each clause points to the rows that hold most of its words, rare words counting more. When clauses
    disagree and the user corrected something, only what was said since then counts.
    """
    turns = [text for _, text in user_turns(state)]
    place = _common(found, turns)
    if place is None:
        since = last_correction(turns)
        place = _common(found, turns[since:]) if since else None
    return None if place is None else found[place]


def last_pointed(found: Sequence[Row], state: VisibleState) -> Row | None:
    """The row that the last of the user's clauses points to that points to one: what was chosen, or chosen anew."""
    for _, text in reversed(user_turns(state)):
        for clause in reversed(clauses(text)):
            if (place := _common(found, [clause])) is not None:
                return found[place]
    return None


def _common(found: Sequence[Row], turns: list[str]) -> int | None:
    count: dict[str, int] = {}
    for row in found:
        for root in row.roots:
            count[root] = count.get(root, 0) + 1
    common: set[int] = set()
    for clause in (clause for text in turns for clause in clauses(text)):
        asked = asked_words(without_negated(clause))
        scores = [sum(math.log(len(found) / count[root]) for root in row.roots & asked) for row in found]
        if (best := max(scores, default=0.0)) > 0:
            places = {place for place, score in enumerate(scores) if best - score < 1e-6}
            common = common & places if common else places
            if not common:
                return None
    return common.pop() if len(common) == 1 else None
