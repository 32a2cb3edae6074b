"""Objects of requests: rows of tools' outputs, the one that the user's words point to, and the record that shows it."""

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from fama.dialogue.calls import Call, calls
from fama.dialogue.facts import EMAIL, data_of
from fama.dialogue.language import STOP, clauses, every_verb, name_words, stem, without_negated, words
from fama.dialogue.requests import Want, needs_of, serves_record, wants
from fama.dialogue.tools import views
from fama.dialogue.turns import last_correction, user_turns
from fama.dialogue.values import is_id, is_new, mentioned
from fama.episodes.state import VisibleState

#: Words like ``delivered`` and ``processing`` tell a row's state, not what the user calls it.
_STATE = re.compile(r"\w{4,}(?:ed|ing)")


class RecordRow(NamedTuple):
    """A record with the ids of the records around it, and the stems of its values; states (``-ed``) left out.

    ``place`` is the name of the list that it stands in.
    """

    fields: dict[str, Any]
    outer: dict[str, Any]
    roots: frozenset[str]
    place: str = ""

    def ids(self) -> dict[str, Any]:
        """Return id fields, those of the records around it first."""
        return {key: value for key, value in {**self.outer, **self.fields}.items() if is_id(key.split(".")[-1])}


@lru_cache(maxsize=256)
def listed_table(text: str | None) -> tuple[RecordRow, ...]:
    """Return the rows of a tool's output: dicts of its lists, and of dicts that hold only dicts with the same keys.

    Shared: not to be changed.
    """
    return tuple(_rows(data_of(text), {}, 0, False, ""))


def _rows(value: Any, outer: dict[str, Any], depth: int, listed: bool, place: str) -> Iterator[RecordRow]:
    if depth > 10:
        return
    if isinstance(value, list):
        for inner in value:
            yield from _rows(inner, outer, depth + 1, True, place)
    elif isinstance(value, dict):
        own = {str(key): inner for key, inner in value.items() if not isinstance(inner, dict | list)}
        nested = {str(key): inner for key, inner in value.items() if isinstance(inner, dict | list)}
        if listed:
            fields = {**own, **_inner(value)}
            if len(fields) >= 2:
                text = " ".join(str(item).replace("_", " ") for item in fields.values())
                roots = (stem(word) for word in words(text) if not _STATE.fullmatch(word))
                yield RecordRow(fields, outer, frozenset(roots), place)
        ids = {key: inner for key, inner in {**own, **_inner(value)}.items() if is_id(key)}
        alike = [tuple(inner) for inner in nested.values() if isinstance(inner, dict)]
        keyed = len(alike) >= 2 and len(alike) == len(value) and len(set(alike)) == 1
        for key, inner in nested.items():
            if isinstance(inner, list) or not listed:
                yield from _rows(inner, {**outer, **ids}, depth + 1, keyed, place if keyed else key)


def _inner(value: dict[str, Any]) -> dict[str, Any]:
    """Return scalars of the plain dicts inside a record, such as its options, under their own names."""
    return {
        str(name): inner
        for nested in value.values()
        if isinstance(nested, dict)
        for name, inner in nested.items()
        if not isinstance(inner, dict | list)
    }


def asked_words(text: str) -> frozenset[str]:
    """Return stems of the content words and numbers in the user's text."""
    return frozenset(stem(word) for word in words(text) if word not in STOP and len(word) > 1)


def pointed_row(found: Sequence[RecordRow], state: VisibleState) -> RecordRow | None:
    """Return the one row that all of what the user described points to; None for several or none.

    Each clause points to the rows that hold most of its words, rare words counting more. When clauses
    disagree and the user corrected something, only what was said since then counts.
    """
    turns = [text for _, text in user_turns(state)]
    place = _common(found, turns)
    if place is None:
        since = last_correction(state)
        place = _common(found, turns[since:]) if since else None
    return None if place is None else found[place]


def last_pointed(found: Sequence[RecordRow], state: VisibleState) -> RecordRow | None:
    """Return the row of the last of the user's clauses that points to one: what was chosen, or chosen anew."""
    for _, text in reversed(user_turns(state)):
        for clause in reversed(_described(text, found)):
            if (place := _common(found, [clause])) is not None:
                return found[place]
    return None


def _common(found: Sequence[RecordRow], turns: list[str]) -> int | None:
    count: dict[str, int] = {}
    for row in found:
        for root in row.roots:
            count[root] = count.get(root, 0) + 1
    common: set[int] = set()
    for clause in (clause for text in turns for clause in _described(text, found)):
        asked = asked_words(without_negated(clause))
        scores = [sum(math.log(len(found) / count[root]) for root in row.roots & asked) for row in found]
        if (best := max(scores, default=0.0)) > 0:
            places = {place for place, score in enumerate(scores) if best - score < 1e-6}
            common = common & places if common else places
            if not common:
                return None
    return common.pop() if len(common) == 1 else None


def _described(text: str, rows: Sequence[RecordRow]) -> list[str]:
    """Return the clauses of a turn without addresses that no row holds: they say who writes, and may name somebody."""
    held = frozenset(str(value).casefold() for row in rows for value in row.fields.values()) if "@" in text else ()
    return clauses(EMAIL.sub(lambda found: found[0] if found[0].casefold() in held else " ", text))


def named_words(want: Want, state: VisibleState, rows: list[RecordRow]) -> frozenset[str]:
    """Return stems of the words for the object: those of some row, and a word right before them.

    What was said since a correction counts, or everything when that names nothing. With several requests
    (changes, or a question beside one) the own clause comes first, then whatever is not another's clause.
    Where turns are read by meaning and no row holds all the words, the user took an object back without saying so
    in any known way: then the last turn that calls an object by two words or more counts alone, where a row holds them.
    """
    turns = [text for _, text in user_turns(state)]
    since = last_correction(state)
    said = [[clause for text in part for clause in _described(text, rows)] for part in (turns[since:], turns)]
    asked = wants(state)
    if len({*asked, want}) > 1:
        others = {other.clause for other in asked if other != want}
        said = [[want.clause], *([clause for clause in part if clause not in others] for part in said)]
    known = frozenset(root for row in rows for root in row.roots)
    verbs = every_verb() | want.tool.name_stems
    named = next((found for part in said if (found := _named(part, known, verbs))), frozenset())
    if state.readings and named and len(asked) < 2 and not any(named <= row.roots for row in rows):
        return _last_named(turns, rows, known, verbs) or named
    return named


def _last_named(
    turns: list[str], rows: list[RecordRow], known: frozenset[str], verbs: frozenset[str]
) -> frozenset[str]:
    """Return the words of the last turn that calls an object by two words or more; none when no row holds them all."""
    said = (_named(_described(text, rows), known, verbs) for text in reversed(turns))
    named = next((found for found in said if len(found) > 1), frozenset())
    return named if any(named <= row.roots for row in rows) else frozenset()


def said_words(want: Want, state: VisibleState, rows: list[RecordRow]) -> frozenset[str]:
    """Return stems of the words of some row, and those right before them, in everything that the user said."""
    said = [clause for _, text in user_turns(state) for clause in _described(text, rows)]
    known = frozenset(root for row in rows for root in row.roots)
    return _named(said, known, every_verb() | want.tool.name_stems)


def _named(said: list[str], known: frozenset[str], verbs: frozenset[str]) -> frozenset[str]:
    named: set[str] = set()
    for clause in said:
        tokens = [(word, stem(word)) for word in words(without_negated(clause))]
        for place, (word, root) in enumerate(tokens):
            if root not in known or word in STOP:
                continue
            named.add(root)
            before, mark = tokens[place - 1] if place else ("", "")
            if mark and before not in STOP and len(before) > 1 and mark not in verbs:
                named.add(mark)
    return frozenset(named)


def listed_rows(parameter: str, made: tuple[Call, ...]) -> list[RecordRow]:
    """Return rows of the latest list with a parameter's values, one row per value; nothing when there is none."""
    for call in reversed(made):
        rows = [row for row in listed_table(call.result) if parameter in row.fields] if call.succeeded else []
        if len({str(row.fields[parameter]) for row in rows}) > 1:
            return rows
    return []


def new_field(parameter: str) -> str:
    """Return the field that holds the values of a new object's parameter: ``thing_id`` for ``new_thing_id``."""
    first, *rest = name_words(parameter)[1:] or [""]
    return first + "".join(map(str.capitalize, rest)) if parameter.isalnum() else "_".join([first, *rest])


def choice_rows(want: Want, call: Call, state: VisibleState) -> list[RecordRow]:
    """Return rows of a result that offer values of a new object (``new_thing_id``); none in the old one's record."""
    fields = {new_field(name) for name in needs_of(want) if is_new(name)}
    if not fields or not call.succeeded or is_record(call, want, state):
        return []
    return [row for row in listed_table(call.result) if fields & set(row.fields)]


def is_record(call: Call, want: Want, state: VisibleState) -> bool:
    """Return whether a call looked up an object of the kind that a request is about."""
    tool = next((tool for tool in views(state, "read") if tool.name == call.name), None)
    return tool is not None and call.succeeded and serves_record(tool, want)


def candidate_values(parameter: str, named: frozenset[str], rows: list[RecordRow]) -> list[str]:
    """Return values of a parameter in the rows that hold most of the named words; none when no row holds any."""
    scores = [len(named & row.roots) for row in rows]
    best = max(scores, default=0)
    found = [str(row.fields[parameter]) for row, score in zip(rows, scores, strict=True) if best and score == best]
    return list(dict.fromkeys(found))


def shows(call: Call, want: Want, named: frozenset[str], state: VisibleState) -> bool:
    """Return whether a result is the record of a request's object: it holds every word the user called it by."""
    if not is_record(call, want, state):
        return False
    return named <= {stem(word) for word in words((call.result or "").replace("_", " "))}


def is_meant(call: Call, want: Want, state: VisibleState) -> bool:
    """Return whether a record just looked up is the one a request is about, as far as the user told.

    The user wrote an id it was asked for, or it holds every word the object was called by; without such
    words, when there was nothing to choose from.
    """
    if any(mentioned(str(value), state) for value in call.arguments.values()):
        return True
    made = calls(state)
    rows = next((rows for name in needs_of(want) if (rows := listed_rows(name, made[: made.index(call)]))), [])
    named = named_words(want, state, rows)
    return shows(call, want, named, state) if named else not rows
