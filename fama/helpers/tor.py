"""TOR, the tool-output reformatter: the one row of a large output that matches what the user asked."""

from collections.abc import Iterator
from typing import Any

from fama.dialogue.calls import Call, calls
from fama.dialogue.facts import leaves, normal_token, quote
from fama.dialogue.identity import foreign_record, is_identified
from fama.dialogue.language import stem, words
from fama.dialogue.objects import RecordRow, asked_words, listed_table, new_field, pointed_row
from fama.dialogue.pending import open_questions
from fama.dialogue.requests import needs_of, open_wants
from fama.dialogue.tools import tool_kind, views
from fama.dialogue.turns import is_led, tool_spoke_last, user_text
from fama.dialogue.values import is_id, is_new, record_of
from fama.episodes.state import VisibleState
from fama.helpers.base import Helper
from fama.helpers.forms import ANSWER, Candidate, make, refuse_options
from fama.settings import Form

NOTE = "Matching row: {fields}."
TELL = "Suggested next tool: respond, to tell {fields}."

TOKEN_CAP = 64
#: Fewest rows of an output that is worth a digest, and most fields of a digest.
LEAST_ROWS, MOST_FIELDS = 2, 4


def write(state: VisibleState) -> Iterator[Candidate]:
    """Yield the digest of the best row of a look-up, if one stands out by more than an id the user gave."""
    made = calls(state)
    if not tool_spoke_last(state) or not made or not made[-1].succeeded:
        return
    # What is to be answered may have been said already; what the answer is was not.
    answers = any(turn == state.turn and note.text.startswith(ANSWER.split("{")[0]) for turn, note in state.noted)
    if (answers or not is_led(state)) and (fields := _news(state, made)):
        yield Candidate(TELL.format(fields=fields))
        return
    rows = listed_table(made[-1].result)
    if len(rows) < LEAST_ROWS or made[-1].name not in {tool.name for tool in views(state, "read")}:
        return
    asked = asked_words(user_text(state))
    best = pointed_row(rows, state)
    if best is None or not best.ids() or asked & {word for value in best.ids().values() for word in words(str(value))}:
        return
    used = {normal_token(str(value)) for call in made for _, _, value in leaves(call.arguments)}
    if all(normal_token(str(value)) in used for value in best.ids().values()):
        return
    yield Candidate(NOTE.format(fields=digest(best, asked, used)))


def _news(state: VisibleState, made: tuple[Call, ...]) -> str:
    """Return what the user waits to hear: the answer to a change, or the record of a question."""
    last = made[-1]
    kind = tool_kind(state, last.name)
    asked = kind == "read" and any(want.tool.name == last.name for want in open_questions(state))
    asked = asked and is_identified(state, made) and foreign_record(state, made) == ""
    if kind != "write" and not asked:
        return ""
    own = last.data if isinstance(last.data, dict) else {}
    data = {**_detail(last, state), **own, **record_of(last)} if asked else own
    used = {normal_token(str(value)) for call in made for _, _, value in leaves(call.arguments)}
    told = {
        key: value
        for key, value in data.items()
        if isinstance(value, str | int | float) and not is_id(key) and normal_token(str(value)) not in used
    }
    return ", ".join(f"{key} {quote(str(value), 40)}" for key, value in list(told.items())[:MOST_FIELDS])


def _detail(call: Call, state: VisibleState) -> dict[str, Any]:
    """Return, of a record with parts, the row that the part asked about refers to by its id."""
    rows = listed_table(call.result)
    part = pointed_row(rows, state)
    if part is None:
        return {}
    refers = set(map(str, part.fields.values()))
    return next((row.fields for row in rows if row is not part and str(row.fields.get("id")) in refers), {})


def digest(row: RecordRow, asked: frozenset[str], used: set[str]) -> str:
    """Return ids not ``used`` yet, then fields the user spoke of, then short words and marks; values as data."""
    ids = {key: value for key, value in row.ids().items() if normal_token(str(value)) not in used}
    rest = {key: value for key, value in row.fields.items() if key not in row.ids() and value not in (None, "", False)}
    spoken = {key: value for key, value in rest.items() if asked & {stem(word) for word in words(str(value))}}
    states = {
        key: value for key, value in rest.items() if value is True or (isinstance(value, str) and value.isalpha())
    }
    chosen = list({**ids, **spoken, **states}.items())[:MOST_FIELDS]
    return ", ".join(f"{key} {quote(str(value).lower() if value is True else str(value), 40)}" for key, value in chosen)


def _listed(state: VisibleState) -> dict[str, object] | None:
    """Return nothing to say of a look-up that lists several values of an id that a request needs; None otherwise."""
    made = calls(state)
    if not made or not tool_spoke_last(state) or not made[-1].succeeded or not is_identified(state, made):
        return None
    rows = [row.ids() for row in listed_table(made[-1].result)]
    needed = {new_field(name) if is_new(name) else name for want in open_wants(state) for name in needs_of(want)}
    several = (len({str(ids[name]) for ids in rows if name in ids}) >= LEAST_ROWS for name in needed)
    return {} if any(several) else None


def build(form: Form = "template", **options: int | str) -> Helper:
    """Build TOR in one of its forms; no options."""
    refuse_options("TOR", options)
    return make(
        "TOR",
        ("WRCO",),
        does="picks the matching row out of long tool output.",
        form=form,
        write=write,
        token_cap=TOKEN_CAP,
        separate_cost_cap=1200,
        gate=lambda state: tool_spoke_last(state) and len(state.messages[-1].content or "") > 300,
        about=_listed,
    )
