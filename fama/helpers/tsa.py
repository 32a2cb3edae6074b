"""TSA, the tool suggestion: the next tool by name, from the tools' schemas and the values in sight."""

from collections.abc import Iterator
from typing import NamedTuple

from fama.helpers.base import Form, Helper
from fama.helpers.facts import quote
from fama.helpers.forms import Candidate, make, refuse_options
from fama.helpers.history import Call, agrees, calls, last_words, user_spoke_last, user_turns
from fama.helpers.reading import ToolView, views
from fama.helpers.values import is_id, known_values, mentioned, was_called
from fama.helpers.wants import Want, open_wants
from fama.helpers.words import overlap
from fama.state import VisibleState

NOTE = "Suggested next tool: {tool}."
NOTE_WITH_VALUE = "Suggested next tool: {tool} with {parameter} {value}."

TOKEN_CAP = 40


class Suggestion(NamedTuple):
    """A tool, and the one argument that matters when it is known."""

    tool: ToolView
    parameter: str = ""
    value: str = ""


def write(state: VisibleState) -> Iterator[Candidate]:
    """The next tool, if the state shows one."""
    made = calls(state)
    if made and made[-1].busy:
        return
    if (found := suggest(state, made)) is None:
        return
    if any(call.name == found.tool.name for call in made) and found.value:
        note = NOTE_WITH_VALUE.format(tool=found.tool.name, parameter=found.parameter, value=quote(found.value))
    else:
        note = NOTE.format(tool=found.tool.name)
    yield Candidate(note)


def suggest(state: VisibleState, made: tuple[Call, ...]) -> Suggestion | None:
    """Identity first; then a look-up for the first open request; then the change the user has agreed to."""
    gate = identity_tool(state)
    if gate is not None and not any(call.name == gate.name and not call.failed for call in made):
        ready = all(_first(parameter, gate, state) for parameter in gate.required)
        tried = any(call.name == gate.name for call in made)
        return Suggestion(gate) if ready and gate.required and not tried else None
    for want in open_wants(state):
        if found := _look_up(want, state, made):
            return found
        if want.tool.kind == "write":
            return _agreed(want, state)
    return None


def identity_tool(state: VisibleState) -> ToolView | None:
    """The tool that establishes who the user is, if there is one."""
    return next((tool for tool in views(state, "read") if tool.verifies), None)


def _first(parameter: str, tool: ToolView, state: VisibleState) -> str:
    found = known_values(parameter, tool, state)
    return found[0].value if found else ""


def _look_up(want: Want, state: VisibleState, made: tuple[Call, ...]) -> Suggestion | None:
    """A read tool that has all it needs, was not yet called so, and serves the request."""
    best: tuple[float, Suggestion] | None = None
    needed = frozenset(word for name in want.tool.required for word in name.lower().split("_"))
    for tool in views(state, "read"):
        if tool.verifies:
            continue
        filled = _fill(tool, state, made)
        if filled is None:
            continue
        parameter, value, by_user = filled
        serves = overlap(tool.name_stems, want.tool.stems) + overlap(set(tool.name.lower().split("_")), needed)
        if tool.name == want.tool.name:
            serves += 3
        score = serves + (2.0 if by_user else 0.0) + (0.5 if parameter in want.tool.required else 0.0)
        if serves and (best is None or score > best[0]):
            best = (score, Suggestion(tool, parameter, value))
    return best[1] if best else None


def _fill(tool: ToolView, state: VisibleState, made: tuple[Call, ...]) -> tuple[str, str, bool] | None:
    """The leading argument for a call not yet made: what the user named, else the only value there is."""
    ids = [parameter for parameter in tool.required if is_id(parameter)]
    if not tool.required:
        return None if any(call.name == tool.name for call in made) else ("", "", False)
    if len(ids) != len(tool.required):
        return None
    chosen: tuple[str, str, bool] | None = None
    fresh = False
    for parameter in ids:
        values = known_values(parameter, tool, state)
        named = [found for found in values if found.by_user or mentioned(found.value, state)]
        if not (pick := named or (values if len(values) == 1 else [])):
            return None
        unused = [found for found in pick if not was_called(tool, parameter, found.value, made)]
        fresh = fresh or bool(unused)
        first = (unused or pick)[0]
        chosen = chosen or (parameter, first.value, first.by_user)
    return chosen if fresh else None


def _agreed(want: Want, state: VisibleState) -> Suggestion | None:
    """The change itself, only once the user has said yes to the agent's question about it."""
    turns = user_turns(state)
    asked = last_words(state)
    if not user_spoke_last(state) or not turns or not agrees(turns[-1][1]) or "?" not in asked:
        return None
    known = all(known_values(parameter, want.tool, state) for parameter in want.tool.required if is_id(parameter))
    return Suggestion(want.tool) if known else None


def build(form: Form = "template", **options: int | str) -> Helper:
    """TSA in one of its forms; no options."""
    refuse_options("TSA", options)
    return make(
        "TSA",
        ("IFU", "WRCO"),
        form=form,
        write=write,
        token_cap=TOKEN_CAP,
        llm_cost_cap=1200,
        gate=lambda state: bool(state.messages),
    )
