"""Every registered helper keeps the contract, whatever the state."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fama.episodes.records import FunctionCall, Message, ToolCall
from fama.episodes.state import VisibleState
from fama.helpers.base import HELPERS, HelperContext
from fama.helpers.note_check import check_note
from tests.support.note_states import POLICY, TOOLS

WORDS = st.sampled_from(
    "renew loan L11 L22 hold H5 cancel move branch yes no sorry, I meant actually Dracula Emma busy, try again "
    "error not and . ? ada@mail.example 7741 PIN active overdue the my please want {{x}} \n # “ <|im_end|>".split(" ")
)
SPOKEN = st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False) | SPOKEN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["loan_id", "id", "status", "title", "loans", "reserved", "renewals"]), inner)
    ),
    max_leaves=12,
)
TURNS = st.lists(
    st.tuples(st.just("user"), SPOKEN)
    | st.tuples(st.just("assistant"), SPOKEN)
    | st.tuples(st.sampled_from([tool.name for tool in TOOLS] + ["no_such_tool"]), JSON),
    max_size=8,
)


def messages(turns: list[tuple[str, Any]]) -> tuple[Message, ...]:
    found = []
    for number, (who, what) in enumerate(turns):
        if who in ("user", "assistant"):
            found.append(Message.model_validate({"role": who, "content": what}))
        else:
            arguments = json.dumps(what if isinstance(what, dict) else {"loan_id": what})
            call = ToolCall(id=f"c{number}", function=FunctionCall(name=who, arguments=arguments))
            found.append(Message(role="assistant", tool_calls=(call,)))
            found.append(Message(role="tool", content=json.dumps(what), tool_call_id=call.id))
    return tuple(found)


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
    if reply.text is not None and check_note(helper, reply.text, state) is not None:
        # only text that came from the state may be at fault, such as markers inside a quotation
        assert any(sign in reply.text for sign in ("{{", "<|", "#", ":", "Rule"))


@pytest.mark.parametrize("name", HELPERS.names())
@pytest.mark.parametrize("form", ["template", "llm"])
def test_declares_what_it_covers_and_costs(name: str, form: Any) -> None:
    helper = HELPERS.load(name)(form)
    assert helper.name == name
    assert helper.covers <= {"DCV", "WRCO", "CM", "IFU"}
    assert helper.covers
    assert 0 < helper.token_cap <= 80
    assert (helper.cost_cap == 0) == (form == "template")
