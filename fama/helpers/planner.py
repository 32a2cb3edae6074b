"""Planner: what of the user's requests is still open, once one of several is finished."""

from collections.abc import Iterator

from fama.helpers.base import Form, Helper
from fama.helpers.forms import Candidate, make, refuse_options
from fama.helpers.history import calls, user_turns
from fama.helpers.wants import is_done, is_refused, wants
from fama.helpers.words import words
from fama.state import VisibleState

NOTE = "Still open: {steps}."
JOIN = ", then "

TOKEN_CAP = 32


def write(state: VisibleState) -> Iterator[Candidate]:
    """The requests that remain, in the words of their tools; silent until one is finished."""
    asked = [want for want in wants(state) if not want.rivals]
    made = calls(state)
    closed = [want for want in asked if is_done(want, made) or is_refused(want, state)]
    left = [want for want in asked if want not in closed]
    if closed and left:
        yield Candidate(NOTE.format(steps=JOIN.join(" ".join(words(want.tool.name)) for want in left)))


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
