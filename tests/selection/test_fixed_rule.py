import json
import random

import pytest

from fama.episodes.records import FunctionCall, Message, ToolCall, ToolSpec
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.helpers.pool import build_pool
from fama.selection.base import Allowance, SelectorContext
from fama.selection.selectors.rule import build
from fama.settings import HelperSettings

CONTEXT = SelectorContext(build_pool(HelperSettings()))
SCHEMA = json.dumps({"type": "object", "properties": {"loan_id": {"type": "string"}}, "required": ["loan_id"]})
TOOLS = (
    ToolSpec(name="get_loan", description="Show a loan.", parameters=SCHEMA),
    ToolSpec(name="renew_loan", description="Renew a loan.", parameters=SCHEMA),
)


def calling(name: str) -> tuple[Message, Message]:
    call = ToolCall(id=name, function=FunctionCall(name=name, arguments='{"loan_id": "L1"}'))
    return (
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content='{"loan_id": "L1", "status": "active"}', tool_call_id=name),
    )


async def subset(*messages: Message, **options: list[str]) -> tuple[str, ...]:
    state = VisibleState("Be kind.", TOOLS, messages)
    return (await build(CONTEXT, **options).select(state, Allowance(), random.Random(0))).subset


async def test_helps_between_the_look_up_and_the_change_only() -> None:
    wish = Message(role="user", content="Please renew loan L1.")
    assert await subset(wish) == ()
    assert await subset(wish, *calling("get_loan")) == ("DCE", "Verifier")
    assert await subset(wish, *calling("get_loan"), subset=["TSA"]) == ("TSA",)
    assert await subset(wish, *calling("get_loan"), *calling("renew_loan")) == ()


async def test_does_not_help_with_questions() -> None:
    assert await subset(Message(role="user", content="When is loan L1 due?"), *calling("get_loan")) == ()


def test_an_unknown_helper_is_refused() -> None:
    with pytest.raises(BadInput, match="'Oracle' is not in the pool"):
        build(CONTEXT, subset=["Oracle"])
