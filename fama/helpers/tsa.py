"""TSA, the tool suggestion: the next tool by name, from the tools' schemas and the values in sight."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from fama.dialogue.calls import Call, calls
from fama.dialogue.facts import quote
from fama.dialogue.identity import identity_tools, is_identified
from fama.dialogue.language import meaning, meanings, sentences, stem
from fama.dialogue.objects import (
    RecordRow,
    candidate_values,
    choice_rows,
    is_meant,
    is_record,
    last_pointed,
    listed_rows,
    listed_table,
    named_words,
    new_field,
    pointed_row,
    said_words,
    shows,
)
from fama.dialogue.pending import names_told, only_own, open_questions, unsaid
from fama.dialogue.requests import Want, needs_of, open_wants, serves_record, verb_of
from fama.dialogue.roles import READ_VERBS
from fama.dialogue.tools import ToolView, views
from fama.dialogue.turns import is_led, last_words, tool_spoke_last, turn_agrees, user_spoke_last, user_turns
from fama.dialogue.values import is_id, is_known, is_new, known_values, mentioned, roots_of, thing_of, was_called
from fama.episodes.state import VisibleState
from fama.helpers.base import Helper
from fama.helpers.forms import ANSWER, Candidate, ask_for, make, refuse_options
from fama.settings import Form

NOTE = "Suggested next tool: {tool}."
NOTE_WITH_VALUE = "Suggested next tool: {tool} with {parameter} {value}."
NOTE_WITH_VALUES = "Suggested next tool: {tool} with {values}."
ASK = "Suggested next tool: respond, to ask which {thing}."

TOKEN_CAP = 64

#: A question for details, and one whether to look further: a yes to either is none to a change.
_FOR_DETAILS = re.compile(r"\b(?:tell me|provide|give me|share|let me know)\b", re.I)
_FOR_LOOKING = re.compile(r"\b(?:check|search|find|explore)\b", re.IGNORECASE)
_READ_MEANINGS = frozenset(meaning(verb) for verb in READ_VERBS)


class Suggestion(NamedTuple):
    """A tool, and the one argument that matters when it is known; ``chosen`` among several values in sight.

    ``asks`` says that several fit as well, so that the user has to tell which one; ``missing`` that none is known.
    """

    tool: ToolView
    parameter: str = ""
    value: str = ""
    chosen: bool = False
    asks: bool = False
    missing: bool = False
    arguments: tuple[tuple[str, str], ...] = ()


def write(state: VisibleState) -> Iterator[Candidate]:
    """Yield the next tool, if the state shows one; with its argument where others are in sight or were used."""
    made = calls(state)
    if is_led(state) or (made and made[-1].busy and not user_spoke_last(state)):
        return
    if made and made[-1].failed and tool_spoke_last(state) and (named := _named_by_error(state, made[-1])):
        yield Candidate(NOTE.format(tool=named), sum(call.failed for call in made))
        return
    found = suggest(state, made)
    if found is None and made and (question := _answer(state, made)):
        yield Candidate(ANSWER.format(question=quote(question), tool=made[-1].name))
    if found is None:
        return
    if found.asks:
        yield Candidate(
            ask_for(found.tool, (found.parameter,)) if found.missing else ASK.format(thing=thing_of(found.parameter))
        )
        return
    if found.arguments:
        values = ", ".join(f"{name} {quote(value)}" for name, value in found.arguments)
        yield Candidate(NOTE_WITH_VALUES.format(tool=found.tool.name, values=values))
        return
    again = any(call.name == found.tool.name for call in made)
    if found.value and (again or found.chosen):
        yield Candidate(
            NOTE_WITH_VALUE.format(tool=found.tool.name, parameter=found.parameter, value=quote(found.value))
        )
    elif not again or found.tool.kind == "write":
        yield Candidate(NOTE.format(tool=found.tool.name))


def _named_by_error(state: VisibleState, call: Call) -> str:
    """Return the other tool that an error tells to use, if it names exactly one whose ids are known."""
    said = set(re.findall(r"\w+", call.result or ""))
    named = [tool for tool in views(state, "read") if tool.name in said - {call.name} and _ready(tool, state)]
    return named[0].name if len(named) == 1 else ""


def suggest(state: VisibleState, made: tuple[Call, ...]) -> Suggestion | None:
    """Suggest identity first, then the agreed change, what the user named, a look-up for an open request."""
    if not is_identified(state, made):
        return _identify(state, made)
    if agreed := _agreed(state, made):
        return agreed
    if found := _named(state, made):
        return found
    for want in (*open_wants(state), *open_questions(state)):
        if found := _look_up(want, state, made):
            return found
    if made and tool_spoke_last(state):
        return next((found for want in open_wants(state) if (found := _left_open(want, state, made))), None)
    return None


def _left_open(want: Want, state: VisibleState, made: tuple[Call, ...]) -> Suggestion | None:
    """Suggest asking for a value that a change needs and nobody said, once its object is shown."""
    if want.rivals or not made[-1].succeeded or not is_record(made[-1], want, state):
        return None
    values = unsaid(want, state)
    return Suggestion(want.tool, values[0], asks=True, missing=True) if values else None


def _answer(state: VisibleState, made: tuple[Call, ...]) -> str:
    """Return the question that the last look-up answers, or empty."""
    if not tool_spoke_last(state) or not is_identified(state, made):
        return ""
    shown = (want for want in open_questions(state) if want.tool.name == made[-1].name and made[-1].succeeded)
    return next((want.clause for want in shown if is_meant(made[-1], want, state)), "")


def _identify(state: VisibleState, made: tuple[Call, ...]) -> Suggestion | None:
    for tool in identity_tools(state):
        if any(call.name == tool.name for call in made) or not tool.required:
            continue
        missing = [name for name in tool.required if not is_known(name, tool, state)]
        if not missing:
            return Suggestion(tool)
        if all(is_id(name) for name in missing) and (found := _supplier(missing[0], tool.stems, state, made)):
            return Suggestion(found)
    return None


def _named(state: VisibleState, made: tuple[Call, ...]) -> Suggestion | None:
    """Suggest a look-up of an object that the user named by its id and no call has touched yet."""
    for tool in views(state, "read"):
        if tool.verifies or not _ready(tool, state):
            continue
        for name in filter(is_id, tool.required):
            for found in known_values(name, tool, state):
                if (found.by_user or mentioned(found.value, state)) and not was_called(tool, name, found.value, made):
                    return Suggestion(tool, name, found.value)
    return None


def _look_up(want: Want, state: VisibleState, made: tuple[Call, ...]) -> Suggestion | None:
    """Suggest the read tool that shows the object of a request, or that supplies an id still missing."""
    for name in needs_of(want):
        if not is_known(name, want.tool, state) or is_new(name) or _is_anothers(name, want, state):
            if found := _supplier(name, want.tool.stems, state, made):
                return Suggestion(found)
            if not is_new(name):
                continue
        shown_by = _showing(name, state)
        for tool in shown_by:
            if found_object := _object(tool, name, want, state, made):
                return found_object
            if not any(call.name == tool.name for call in made):
                return None
        if not shown_by and not user_spoke_last(state) and _is_open(name, want, state, made):
            return Suggestion(want.tool, name, asks=True)
    return None


def _showing(name: str, state: VisibleState) -> list[ToolView]:
    """Return the read tools that show the object of an id: those named after it, else all that take it."""
    taking = [
        tool for tool in views(state, "read") if name in tool.required and not tool.verifies and _ready(tool, state)
    ]
    roots = {meaning(root) for root in roots_of(name)}
    return [tool for tool in taking if roots & tool.name_stems] or taking


def _is_anothers(name: str, want: Want, state: VisibleState) -> bool:
    """Return whether only the user's own id is known, and the request names somebody whom the user's record lacks."""
    if not only_own(name, want, state):
        return False
    own = {found.value for found in known_values(name, want.tool, state)}
    record = " ".join(call.result or "" for call in calls(state) if any(one in (call.result or "") for one in own))
    return any(told.casefold() not in record.casefold() for told in names_told(name, want, state))


def _is_open(name: str, want: Want, state: VisibleState, made: tuple[Call, ...]) -> bool:
    """Return whether the last look-up leaves several values that no tool shows singly and the user named none of.

    The parts of an object stand in its record, where a tool shows it, the values of a new one in any other list.
    """
    reads = views(state, "read")
    shown = next((tool for tool in reads if made and tool.name == made[-1].name), None)
    if shown is None or not made[-1].succeeded:
        return False
    if any(serves_record(tool, want) for tool in reads) and serves_record(shown, want) == is_new(name):
        return False
    field = new_field(name) if is_new(name) else name
    rows = [row for row in listed_table(made[-1].result) if field in row.fields]
    if len({str(row.fields[field]) for row in rows}) < 2 or pointed_row(rows, state) is not None:
        return False
    return len(candidate_values(field, named_words(want, state, rows), rows)) != 1


def _object(tool: ToolView, name: str, want: Want, state: VisibleState, made: tuple[Call, ...]) -> Suggestion | None:
    """Suggest the look-up of a request's object: the next row that fits, until one shows all the user's words."""
    rows = listed_rows(name, made)
    named = named_words(want, state, rows)
    called = any(call.name == tool.name for call in made)
    if not rows:
        return None if called else Suggestion(tool, name, known_values(name, tool, state)[0].value)
    if any(shows(call, want, named, state) for call in made):
        return None
    fitting = candidate_values(name, named, rows)
    left = [value for value in fitting if not was_called(tool, name, value, made)]
    if left and not named and not called and len(rows) > 1 and not user_spoke_last(state):
        return Suggestion(tool, name, asks=True)
    if left:
        return Suggestion(tool, name, left[0], chosen=True)
    if not fitting and not called and not user_spoke_last(state):
        return Suggestion(tool, name, asks=True)
    return None


def _ready(tool: ToolView, state: VisibleState) -> bool:
    return all(is_known(name, tool, state) for name in tool.required)


def _supplier(name: str, stems: frozenset[str], state: VisibleState, made: tuple[Call, ...]) -> ToolView | None:
    """Return a read tool not called yet, with all ids it needs, whose name speaks of what is missing."""
    best: tuple[int, ToolView] | None = None
    wanted = frozenset(meaning(root) for root in roots_of(name)) | stems
    for tool in views(state, "read"):
        if tool.verifies or name in tool.required or any(call.name == tool.name for call in made):
            continue
        if not all(is_known(need, tool, state) for need in tool.required if is_id(need) or not is_new(name)):
            continue
        subject = {stem(root) for root in tool.name_stems - _READ_MEANINGS}
        score = 2 * len(subject & {stem(root) for root in roots_of(name)}) + len(subject & wanted)
        if score and (best is None or score > best[0]):
            best = (score, tool)
    return best[1] if best else None


def _agreed(state: VisibleState, made: tuple[Call, ...]) -> Suggestion | None:
    """Suggest the change itself once the user has said yes to the agent's question about it."""
    turns = user_turns(state)
    if not user_spoke_last(state) or not turns or not turn_agrees(state, turns[-1][0]) or "?" not in last_words(state):
        return None
    changes = views(state, "write")
    if _asks_else(last_words(state), changes):
        return None
    named = {verb_of(tool) for tool in changes} & meanings(last_words(state))
    fits = [want for want in open_wants(state) if not want.rivals and (not named or verb_of(want.tool) in named)]
    if len(fits) != 1 or len(named) > 1:
        return None
    known = all(known_values(name, fits[0].tool, state) for name in needs_of(fits[0]) if not is_new(name))
    return Suggestion(fits[0].tool, arguments=_parts(fits[0], state, made)) if known else None


def _asks_else(text: str, changes: tuple[ToolView, ...]) -> bool:
    """Return whether the questions of a text are for details, or for looking further without a word of a change."""
    asked = " ".join(part for part in sentences(text) if "?" in part)
    named = {verb_of(tool) for tool in changes} & meanings(asked)
    return bool(_FOR_DETAILS.search(asked) or (_FOR_LOOKING.search(asked) and not named))


def _parts(want: Want, state: VisibleState, made: tuple[Call, ...]) -> tuple[tuple[str, str], ...]:
    """Return a change's ids where the user's words leave one each: a small model mixes up the old and the new."""
    records = [call for call in made if is_record(call, want, state)]
    needs = needs_of(want)
    fresh = {name: _new_row(want, state, made) for name in needs if is_new(name)}
    others = frozenset(root for row in fresh.values() if row is not None for root in row.roots)
    found: list[tuple[str, str]] = []
    for name in needs:
        if name in fresh:
            row = fresh[name]
            field = new_field(name)  # of two new ids, a list may hold the values of one only
            values = [str(row.fields[field])] if row is not None and field in row.fields else []
        elif any(name in call.arguments for call in records):
            values = _record_ids(name, want, state, made, records)
        else:
            sure = [call for call in records if set(map(str, call.arguments.values())) & {value for _, value in found}]
            shown = sure or (records if len(records) == 1 else [])
            rows = [row for call in shown[-1:] for row in listed_table(call.result) if name in row.fields]
            named = said_words(want, state, rows) - others if fresh else named_words(want, state, rows)
            values = candidate_values(name, named, rows) if len(rows) > 1 else [str(row.fields[name]) for row in rows]
        if len(values) != 1:  # what the question that the user agreed to names
            values = [one.value for one in known_values(name, want.tool, state) if one.value in last_words(state)]
        if len(values) == 1:
            found.append((name, values[0]))
    return tuple(found)


def _new_row(want: Want, state: VisibleState, made: tuple[Call, ...]) -> RecordRow | None:
    rows = next((rows for call in reversed(made) if (rows := choice_rows(want, call, state))), [])
    return last_pointed(rows, state)


def _record_ids(name: str, want: Want, state: VisibleState, made: tuple[Call, ...], records: list[Call]) -> list[str]:
    """Return the ids of the look-ups that show the object as the user called it."""
    rows = [*listed_rows(name, made), *(row for call in records for row in listed_table(call.result))]
    named = named_words(want, state, rows)
    return list(dict.fromkeys(str(call.arguments[name]) for call in records if shows(call, want, named, state)))


def _choices(state: VisibleState) -> dict[str, object] | None:
    """Return the look-ups that may come next, until one shows what a change needs; after a yes, the offer stands."""
    made, turns, wants = calls(state), user_turns(state), open_wants(state)
    if made and made[-1].busy and tool_spoke_last(state):
        return {"choices": [made[-1].name]}
    if user_spoke_last(state) and turns and turn_agrees(state, turns[-1][0]) and "?" in last_words(state):
        return None
    reads = [tool for tool in views(state, "read") if tool.required and _ready(tool, state)]
    if not is_identified(state, made):
        ready = [tool for tool in reads if tool.verifies] or [tool for tool in reads if not _needs_ids(tool)]
    elif any(is_record(call, want, state) for call in made for want in wants):
        return None
    else:
        needed = {meaning(root) for want in wants for name in needs_of(want) for root in roots_of(name)}
        ready = [tool for tool in reads if not tool.verifies and needed & {meaning(stem) for stem in tool.name_stems}]
    choices = [tool.name for tool in ready if _is_untried(tool, made, state)]
    return {"choices": choices} if choices else None


def _needs_ids(tool: ToolView) -> bool:
    return any(map(is_id, tool.required))


def _is_untried(tool: ToolView, made: tuple[Call, ...], state: VisibleState) -> bool:
    """Return whether a look-up was not called yet with some value that is known for what it needs."""
    if not any(call.name == tool.name for call in made):
        return True
    known = ((name, found.value) for name in tool.required for found in known_values(name, tool, state))
    return any(not was_called(tool, name, value, made) for name, value in known)


def build(form: Form = "template", **options: int | str) -> Helper:
    """Build TSA in one of its forms; no options."""
    refuse_options("TSA", options)
    return make(
        "TSA",
        ("IFU", "WRCO"),
        does="suggests the next tool.",
        form=form,
        write=write,
        token_cap=TOKEN_CAP,
        separate_cost_cap=1200,
        gate=lambda state: bool(state.messages),
        about=_choices,
    )
