"""Records of a request's object that tools have shown, with the numbers the user wants; rules are checked on them."""

import re
from typing import Any, NamedTuple

from fama.dialogue.calls import Call, calls
from fama.dialogue.language import meanings
from fama.dialogue.objects import RecordRow, listed_table, pointed_row
from fama.dialogue.policy import Rule
from fama.dialogue.requests import Want, needs_of
from fama.dialogue.tools import views
from fama.dialogue.turns import user_turns
from fama.dialogue.values import NUMBER, record_of
from fama.episodes.state import VisibleState

_COUNT = re.compile(r"(?<![\w.])(\d{1,6}(?:\.\d+)?) ([^\W\d_]+)")
#: A number that says by how much, not to what.
_RELATIVE = re.compile(
    r"\b(?:by|another|extra|additional|plus|minus) \d|\d (?:\w+ )?(?:more|fewer|less|extra|additional)\b", re.IGNORECASE
)


class Shown(NamedTuple):
    """The fields of a request's object, and rows beside them that bear on it where a rule names their list."""

    records: list[dict[str, Any]]
    rows: list[RecordRow]

    def under(self, rule: Rule) -> list[dict[str, Any]]:
        """Return what a rule is held against: a list's rows where it speaks of them, or the list has no name."""
        named = (row.fields for row in self.rows if not row.place or meanings(row.place) & rule.roots)
        return [*self.records, *named]


def about(want: Want, made: tuple[Call, ...], state: VisibleState) -> Shown:
    """Return what the last result says about a request's object.

    That is its record, and the row that the user's words point to, or, when the request is not about single rows,
    every row.
    """
    rows = listed_table(made[-1].result)
    row = rows[0] if len(rows) == 1 else pointed_row(rows, state)
    record = record_of(made[-1])
    beside = list(rows) if row is None else [row]
    own = [found for found in beside if any(name in found.fields for name in needs_of(want))]
    if own:  # the request is about single rows
        beside = []
    records = [record, *(found.fields for found in own if found is row)]
    return Shown([{**fields, **wished(want, fields, state)} for fields in records], beside)


def wished(want: Want, record: dict[str, Any], state: VisibleState) -> dict[str, float]:
    """Return the numbers that the user wants fields of a record changed to.

    That is the last one before a field's name, or alone in an answer to words of the agent about the field. Numbers
    that say by how much, or that a tool was called with, are passed over.
    """
    found: dict[str, float] = {}
    given = {str(value) for call in calls(state) for value in call.arguments.values()}
    for key, value in record.items():
        if key not in want.tool.parameters or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        named = meanings(key.replace("_", " "))
        for index, text in user_turns(state):
            if _RELATIVE.search(text):
                continue
            for match in _COUNT.finditer(text):
                if meanings(match[2]) & named:
                    found[key] = float(match[1])
            numbers = [number for number in NUMBER.findall(text) if number not in given]
            if len(numbers) == 1 and index and meanings(state.messages[index - 1].content or "") & named:
                found[key] = float(numbers[0])
    return found


def known_words(made: tuple[Call, ...], state: VisibleState) -> dict[str, frozenset[str]]:
    """Return the text values that each key had in any tool result, or that a tool's enumeration allows it."""
    found: dict[str, set[str]] = {}
    for tool in views(state):
        for key, choice in tool.enumerated:
            found.setdefault(key, set()).add(choice)
    for call in made:
        for _, key, value in call.leaves:
            if isinstance(value, str):
                found.setdefault(key, set()).add(value)
    return {key: frozenset(values) for key, values in found.items()}
