"""Memory: facts from the user's last turns, brought back when they are far away or were corrected."""

from collections.abc import Iterator

from fama.dialogue.calls import calls
from fama.dialogue.facts import EMAIL, ids_in, leaves, normal_token, quote
from fama.dialogue.pending import change_ahead
from fama.dialogue.turns import correction_at, is_led, tool_spoke_last, turn_corrects, user_turns
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.helpers.base import Helper
from fama.helpers.forms import Candidate, make, refuse_options
from fama.settings import Form

CORRECTED = "The user now says: {said}."
SAID = "The user said: {said}."

TOKEN_CAP = 56
#: Messages after which a turn counts as far away.
FAR = 5


def write(state: VisibleState, k: int) -> Iterator[Candidate]:
    """Yield a correction in the last ``k`` turns before something is picked or proposed, or facts no call used."""
    turns = user_turns(state)
    if not change_ahead(state):
        return
    for index, _ in reversed(turns[-k:]):
        if index and turn_corrects(state, index) and (tool_spoke_last(state) or index == len(state.messages) - 1):
            if is_led(state, CORRECTED):
                return  # the Verifier has just quoted it
            yield Candidate(CORRECTED.format(said=quote(correction_at(state, index), 100)))
            return
    if not tool_spoke_last(state):
        return
    used = " ".join(normal_token(str(value)) for call in calls(state) for _, _, value in leaves(call.arguments))
    now = len(state.messages)
    facts: list[str] = []
    for index, text in turns[-k:]:
        if now - index > FAR:
            facts += [fact for fact in (*ids_in(text), *EMAIL.findall(text)) if normal_token(fact) not in used]
    if facts:
        yield Candidate(SAID.format(said=", ".join(quote(fact) for fact in list(dict.fromkeys(facts))[:4])))


def build(form: Form = "template", **options: int | str) -> Helper:
    """Build Memory in one of its forms; option ``k``: how many of the user's last turns it holds, 2 when absent.

    Raises:
        BadInput: ``k`` is not a whole number from 1.
    """
    k = options.pop("k", 2)
    refuse_options("Memory", options)
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise BadInput(f"helpers.options.Memory.k: {k!r} is not a number of turns; give 1 or more")
    return make(
        "Memory",
        ("CM",),
        does="recalls the user's last words.",
        form=form,
        write=lambda state: write(state, k),
        token_cap=TOKEN_CAP,
        separate_cost_cap=900,
        gate=lambda state: len(user_turns(state)) >= 2,
        about=lambda state: {} if tool_spoke_last(state) and change_ahead(state) else None,
        k=k,
    )
