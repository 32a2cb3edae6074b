"""Verifier: what has just gone wrong or is about to, against what the user and the tools said."""

from collections.abc import Iterator

from fama.helpers.base import Form, Helper
from fama.helpers.facts import ids_in, normal, quote, visible_texts
from fama.helpers.forms import Candidate, make, refuse_options
from fama.helpers.history import Call, agrees, calls, last_words, tool_spoke_last, user_text, user_turns
from fama.helpers.reading import views
from fama.helpers.rules import asks_confirmation, asks_identity
from fama.helpers.tsa import identity_tool
from fama.helpers.values import is_id, known_values, shape
from fama.helpers.wants import change_ahead, is_done, open_changes, wants
from fama.state import VisibleState

RETRY = "Call {tool} again with the same arguments."
IDENTITY = "Verify the user's identity first with {tool}."
USE_VALUE = "Use {parameter} {value}."
CONFIRM = "State the details and ask the user to confirm first."

TOKEN_CAP = 40


def write(state: VisibleState) -> Iterator[Candidate]:
    """The first finding: a busy tool, a skipped identity check, a wrong id, a missing yes."""
    made = calls(state)
    yield from _busy(state, made)
    yield from _identity(state, made)
    yield from _wrong_id(state, made)
    yield from _unconfirmed(state, made)


def _busy(state: VisibleState, made: tuple[Call, ...]) -> Iterator[Candidate]:
    if tool_spoke_last(state) and made and made[-1].busy:
        last = made[-1]
        yield Candidate(RETRY.format(tool=last.name), sum(call.busy for call in made if call.name == last.name))


def _identity(state: VisibleState, made: tuple[Call, ...]) -> Iterator[Candidate]:
    tool = identity_tool(state)
    if tool is None or not made or not asks_identity(state.policy):
        return
    if not any(call.name == tool.name for call in made):
        yield Candidate(IDENTITY.format(tool=tool.name))


def _wrong_id(state: VisibleState, made: tuple[Call, ...]) -> Iterator[Candidate]:
    """The last call took an id that the user did not name, though they named one of the same kind."""
    if not tool_spoke_last(state) or not made or made[-1].busy:
        return
    last = made[-1]
    said = ids_in(user_text(state))
    used = {normal(str(value)) for call in made for value in call.arguments.values()}
    for parameter, value in last.arguments.items():
        text = str(value)
        if not is_id(parameter) or normal(text) in {normal(found) for found in said}:
            continue
        same = [found for found in reversed(said) if shape(found.lstrip("#")) == shape(text.lstrip("#"))]
        unused = [found for found in same if normal(found) not in used]
        if unused:
            yield Candidate(USE_VALUE.format(parameter=parameter, value=quote(unused[0])))
        elif last.failed and not _was_seen(text, state, last):
            if close := _close(text, parameter, state):
                yield Candidate(USE_VALUE.format(parameter=parameter, value=quote(close)))


def _was_seen(value: str, state: VisibleState, call: Call) -> bool:
    texts = visible_texts(VisibleState(state.key, state.policy, state.tools, state.messages[: call.index]))
    return any(value in text for text in texts)


def _close(value: str, parameter: str, state: VisibleState) -> str:
    """The one known value of a parameter, when an invented one failed."""
    for tool in views(state):
        if parameter in tool.parameters:
            values = known_values(parameter, tool, state)
            if len(values) == 1 and normal(values[0].value) != normal(value):
                return values[0].value
    return ""


def _unconfirmed(state: VisibleState, made: tuple[Call, ...]) -> Iterator[Candidate]:
    """A change is ahead, its object was looked up, the policy wants a yes, and nobody asked for it yet."""
    if not tool_spoke_last(state) or not made or made[-1].failed or not asks_confirmation(state.policy):
        return
    if not change_ahead(state):
        return
    want = open_changes(state)[0]
    ready = all(known_values(parameter, want.tool, state) for parameter in want.tool.required if is_id(parameter))
    answered = any(index > want.index and agrees(text) for index, text in user_turns(state))
    if ready and not answered and "?" not in last_words(state)[-1:]:
        finished = sum(is_done(other, made) for other in wants(state) if other.tool.kind == "write")
        yield Candidate(CONFIRM, finished + 1)


def build(form: Form = "template", **options: int | str) -> Helper:
    """Verifier in one of its forms; no options."""
    refuse_options("Verifier", options)
    return make(
        "Verifier",
        ("DCV", "CM"),
        form=form,
        write=write,
        token_cap=TOKEN_CAP,
        llm_cost_cap=1600,
        gate=lambda state: bool(calls(state)),
    )
