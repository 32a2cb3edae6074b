"""Which object a request is about: the rows of a look-up that its words fit, and whether a record shown is it."""

from fama.dialogue.history import Call, calls, last_correction, user_turns
from fama.dialogue.language import STOP, clauses, every_verb, stem, without_negated, words
from fama.dialogue.policy import needs_of, serves_record
from fama.dialogue.requests import Want, wants
from fama.dialogue.rows import Row, table
from fama.dialogue.tools import views
from fama.dialogue.values import is_new, mentioned
from fama.episodes.state import VisibleState


def named_words(want: Want, state: VisibleState, rows: list[Row]) -> frozenset[str]:
    """Stems of the words by which the user calls the object: those of some row, and a word right before them.

    What was said since a correction counts, or everything when that names nothing. With several requests
    (changes, or a question beside one) the own clause comes first, then whatever is not another's clause.
    """
    turns = [text for _, text in user_turns(state)]
    since = last_correction(turns)
    said = [[clause for text in part for clause in clauses(text)] for part in (turns[since:], turns)]
    asked = wants(state)
    if len({*asked, want}) > 1:
        others = {other.clause for other in asked if other != want}
        said = [[want.clause], *([clause for clause in part if clause not in others] for part in said)]
    known = frozenset(root for row in rows for root in row.roots)
    verbs = every_verb() | want.tool.name_stems
    return next((found for part in said if (found := _named(part, known, verbs))), frozenset())


def said_words(want: Want, state: VisibleState, rows: list[Row]) -> frozenset[str]:
    """Stems of the words of some row, and those right before them, in everything that the user said."""
    said = [clause for _, text in user_turns(state) for clause in clauses(text)]
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


def listed(parameter: str, made: tuple[Call, ...]) -> list[Row]:
    """Rows of the latest list that holds a parameter's values, one row a value; empty when there is none."""
    for call in reversed(made):
        rows = [row for row in table(call.result) if parameter in row.fields] if not call.failed else []
        if len({str(row.fields[parameter]) for row in rows}) > 1:
            return rows
    return []


def new_field(parameter: str) -> str:
    """The field that holds the values of a new object's parameter: ``thing_id`` for ``new_thing_id``."""
    return "_".join(words(parameter)[1:])


def choice_rows(want: Want, call: Call, state: VisibleState) -> list[Row]:
    """Rows of a result that offer values of a new object (``new_thing_id``); the record of the old one offers none."""
    fields = {new_field(name) for name in needs_of(want) if is_new(name)}
    if not fields or call.failed or is_record(call, want, state):
        return []
    return [row for row in table(call.result) if fields & set(row.fields)]


def is_record(call: Call, want: Want, state: VisibleState) -> bool:
    """Whether a call looked up an object of the kind that a request is about."""
    tool = next((tool for tool in views(state, "read") if tool.name == call.name), None)
    return tool is not None and not call.failed and serves_record(tool, want)


def candidates(parameter: str, named: frozenset[str], rows: list[Row]) -> list[str]:
    """Values of a parameter in the rows that hold most of the named words; none when no row holds any."""
    scores = [len(named & row.roots) for row in rows]
    best = max(scores, default=0)
    found = [str(row.fields[parameter]) for row, score in zip(rows, scores, strict=True) if best and score == best]
    return list(dict.fromkeys(found))


def shows(call: Call, want: Want, named: frozenset[str], state: VisibleState) -> bool:
    """Whether a call's result is the record of a request's object: it holds every word the user called it by."""
    if not is_record(call, want, state):
        return False
    return named <= {stem(word) for word in words((call.result or "").replace("_", " "))}


def is_meant(call: Call, want: Want, state: VisibleState) -> bool:
    """Whether a record just looked up is the one a request is about, as far as the user told.

    The user wrote an id it was asked for, or it holds every word the object was called by; without such
    words, when there was nothing to choose from.
    """
    if any(mentioned(str(value), state) for value in call.arguments.values()):
        return True
    made = calls(state)
    rows = next((rows for name in needs_of(want) if (rows := listed(name, made[: made.index(call)]))), [])
    named = named_words(want, state, rows)
    return shows(call, want, named, state) if named else not rows
