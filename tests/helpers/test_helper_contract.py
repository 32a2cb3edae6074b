"""Every registered helper keeps the contract, whatever the state."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Note
from fama.episodes.state import VisibleState
from fama.helpers.base import HELPERS, HelperContext, HelperReply, on_prefix
from fama.helpers.note_check import check_note
from fama.models.base import ChatRequest
from fama.models.prefix import AgentRequest
from fama.models.scripted import ScriptedModel
from tests.support.note_states import LOANS, POLICY, TOOLS, Chat
from tests.support.random_states import SPOKEN, TURNS, messages


@pytest.mark.parametrize("name", HELPERS.names())
@given(turns=TURNS, policy=st.just(POLICY) | SPOKEN)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_any_state_gives_a_note_that_passes_its_check_or_none(
    name: str, turns: list[tuple[str, Any]], policy: str
) -> None:
    helper = HELPERS.load(name)()
    state = VisibleState(policy, TOOLS, messages(turns), len(turns))
    reply = await helper.note(state, HelperContext())
    assert reply == await helper.note(state, HelperContext())
    assert reply.ledger == ()
    if reply.text is not None:
        assert check_note(helper, reply.text, state) is None


MORE = [{"loan_id": f"L{i}", "title": f"Volume {i}", "status": "active"} for i in range(40, 50)]
#: What may happen to a reader who wants loans renewed and a hold moved.
EVENTS: dict[str, Callable[[Chat], Chat]] = {
    "wish": lambda chat: chat.user("Please renew L11 and L22, and then move hold H5 to the branch Main."),
    "more": lambda chat: chat.user("Sorry, I meant L33. And is Emma overdue?"),
    "yes": lambda chat: chat.user("Yes, please."),
    "question": lambda chat: chat.say("I will renew L11. Is that right?"),
    "loans": lambda chat: chat.call("list_loans", LOANS, reader_id="R100"),
    "many": lambda chat: chat.call("list_loans", {"loans": [*LOANS["loans"], *MORE]}, reader_id="R100"),
    "loan": lambda chat: chat.call("get_loan", {"loan_id": "L11", "status": "active"}, loan_id="L11"),
    "renewed": lambda chat: chat.call("renew_loan", {"loan_id": "L11", "status": "renewed"}, loan_id="L11"),
    "busy": lambda chat: chat.call("renew_loan", {"error": "busy, try again"}, loan_id="L22"),
    "refused": lambda chat: chat.call("renew_loan", {"error": "loan L33 is reserved"}, loan_id="L33"),
    "hold": lambda chat: chat.call("cancel_hold", "Error: hold H5 not found", hold_id="H5"),
}


@pytest.mark.parametrize("name", HELPERS.names())
@given(events=st.lists(st.sampled_from(sorted(EVENTS)), min_size=1, max_size=9), given_before=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_note_of_a_conversation_passes_its_check(name: str, events: list[str], given_before: bool) -> None:
    chat, helper = Chat().verified("I want to renew my loans."), HELPERS.load(name)()
    for event in events:
        EVENTS[event](chat)
        text = asyncio.run(helper.note(chat.state(), HelperContext())).text
        if text is not None:
            assert check_note(helper, text, chat.state()) is None
            if given_before:
                chat.noted.append((chat.state().turn, Note(helper=name, text=text, tokens=0)))


#: Of words of the user, so that it may stand in a quotation.
_ANSWER = "renew loan L11"


@pytest.mark.parametrize("form", ["llm", "separate"])
@pytest.mark.parametrize("name", HELPERS.names())
async def test_a_form_that_asks_a_model_keeps_its_cap_and_bills_itself(name: str, form: Any) -> None:
    helper = HELPERS.load(name)(form)
    asked: list[ChatRequest] = []

    def reply(request: ChatRequest) -> str:
        asked.append(request)
        return f"{request.prefill}{_ANSWER}" if request.prefill.endswith('"') else f"{request.prefill} {_ANSWER}"

    model, notes = ScriptedModel("scripted:writer", reply), []
    chat = Chat(policy=POLICY * 40).verified("I want to renew loan L11 and cancel hold H5.")
    for event in ("loans", "many", "loan", "question", "yes", "busy", "refused", "wish", "more", "yes", "renewed"):
        state, before = EVENTS[event](chat).state(), len(asked)
        own = AgentRequest(({"role": "system", "content": state.policy}, {"role": "user", "content": "Hello?"}))
        prefix_tokens = own.most_tokens() if on_prefix(helper) else 0
        answer = await helper.note(state, HelperContext(model, trial=3, request=own))
        assert len(asked) - before == len(answer.ledger) <= 1
        for row in answer.ledger:
            assert asked[-1].trial == 3
            assert row.role == f"helper:{name}"
            most = (row.input_tokens or 0) + asked[-1].sampling.max_tokens
            assert prefix_tokens < most <= helper.cost_cap + prefix_tokens
        if answer.text is not None:
            assert check_note(helper, answer.text, state) is None
            notes.append(answer.text)
        if helper.cost_cap > 0:
            assert await helper.note(state, HelperContext()) == HelperReply(None)  # without a model it is silent
    if helper.cost_cap == 0:  # it has no form that asks a model
        assert asked == []
    else:
        prefills = [request.prefill for request in asked]
        quoting = {prefill for prefill in prefills if prefill.endswith('"')}
        written = {f'{one}{_ANSWER}"' if one in quoting else f"{one} {_ANSWER}".strip() for one in prefills}
        assert set(notes) == written
        assert all(bool(prefill) == on_prefix(helper) for prefill in prefills)


@pytest.mark.parametrize("name", HELPERS.names())
@pytest.mark.parametrize("form", ["template", "llm", "separate"])
def test_declares_what_it_covers_and_costs(name: str, form: Any) -> None:
    helper = HELPERS.load(name)(form)
    assert helper.name == name
    assert helper.covers <= set(load_taxonomy().codes)
    assert helper.covers
    assert 0 < helper.token_cap <= 80
    assert helper.cost_cap == 0 if form == "template" else helper.cost_cap >= 0
