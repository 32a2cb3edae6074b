"""Planner: the next of the user's requests, once one of several is finished and the case might be closed."""

from collections.abc import Iterator

from fama.dialogue.calls import calls
from fama.dialogue.facts import quote
from fama.dialogue.objects import candidate_values, listed_rows, named_words, shows
from fama.dialogue.pending import open_questions, unsaid
from fama.dialogue.requests import Want, is_done, is_refused, open_question, wants
from fama.dialogue.tools import tool_kind
from fama.dialogue.turns import is_led, user_spoke_last, user_turns
from fama.dialogue.values import known_values, thing_of
from fama.episodes.state import VisibleState
from fama.helpers.base import Helper
from fama.helpers.forms import ASK_YES, Candidate, ask_for, make, refuse_options
from fama.settings import Form

ASKED = "The user also asked: {question}."
NEXT = " Suggested next tool: {tool}."

TOKEN_CAP = 64


def write(state: VisibleState) -> Iterator[Candidate]:
    """Yield the first request that remains, at the user's turn after another one was finished."""
    if not user_spoke_last(state) or is_led(state):
        return
    asked = [want for want in wants(state) if not want.rivals]
    made = calls(state)
    left = [want for want in asked if not is_done(want, made) and not is_refused(want, state)]
    if left and len(left) < len(asked):
        if missing := unsaid(left[0], state):
            yield Candidate(ask_for(left[0].tool, missing))
        else:
            yield Candidate(ASK_YES.format(tool=left[0].tool.name))
    elif not left and made and tool_kind(state, made[-1].name) == "write":
        if question := open_question(state):
            steps = [NEXT.format(tool=_step(want, state)) for want in open_questions(state)]
            yield Candidate(ASKED.format(question=quote(question)) + "".join(steps))


def _step(want: Want, state: VisibleState) -> str:
    """Return the step for a question: look the record up again when it is clear which, else ask."""
    name, made = want.tool.required[0], calls(state)
    rows = listed_rows(name, made)
    if named := named_words(want, state, rows):
        shown = [str(call.arguments.get(name)) for call in made if shows(call, want, named, state)]
        values = list(dict.fromkeys(shown)) or candidate_values(name, named, rows)
    else:
        values = list(dict.fromkeys(found.value for found in known_values(name, want.tool, state)))
    if len(values) == 1:
        return f"{want.tool.name} with {name} {quote(values[0])}"
    return f"respond, to ask which {thing_of(name)}"


def _finished(state: VisibleState) -> dict[str, object] | None:
    """Return the changes that were made, from which on a request can be forgotten."""
    done = [call.name for call in calls(state) if call.succeeded and tool_kind(state, call.name) == "write"]
    return {"done": list(dict.fromkeys(done))} if done else None


def build(form: Form = "template", **options: int | str) -> Helper:
    """Build Planner in one of its forms; no options."""
    refuse_options("Planner", options)
    return make(
        "Planner",
        ("IFU",),
        does="lists requests that are still open.",
        form=form,
        write=write,
        token_cap=TOKEN_CAP,
        separate_cost_cap=1200,
        gate=lambda state: len(user_turns(state)) > 0,
        about=_finished,
    )
