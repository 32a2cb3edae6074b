"""Planner: the next of the user's requests, once one of several is finished and the case might be closed."""

from collections.abc import Iterator

from fama.helpers.base import Form, Helper
from fama.helpers.facts import quote
from fama.helpers.forms import ASK_YES, Candidate, make, refuse_options
from fama.helpers.history import calls, user_spoke_last, user_turns
from fama.helpers.reading import kind_of
from fama.helpers.wants import is_done, is_refused, open_question, wants
from fama.state import VisibleState

ASKED = "The user also asked: {question}."

TOKEN_CAP = 48


def write(state: VisibleState) -> Iterator[Candidate]:
    """The first request that remains, at the user's turn after another one was finished, when a case gets closed."""
    if not user_spoke_last(state):
        return
    asked = [want for want in wants(state) if not want.rivals]
    made = calls(state)
    left = [want for want in asked if not is_done(want, made) and not is_refused(want, state)]
    if left and len(left) < len(asked):
        yield Candidate(ASK_YES.format(tool=left[0].tool.name))
    elif not left and made and kind_of(state, made[-1].name) == "write" and (question := open_question(state)):
        yield Candidate(ASKED.format(question=quote(question)))


def build(form: Form = "template", **options: int | str) -> Helper:
    """Planner in one of its forms; no options."""
    refuse_options("Planner", options)
    return make(
        "Planner",
        ("IFU",),
        form=form,
        write=write,
        token_cap=TOKEN_CAP,
        llm_cost_cap=1200,
        gate=lambda state: len(user_turns(state)) > 0,
    )
