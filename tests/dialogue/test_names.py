"""Names of tools and parameters in the notations that tools of others have."""

import json

import pytest

from fama.dialogue.language import name_words
from fama.dialogue.objects import new_field
from fama.dialogue.requests import needs_of, wants
from fama.dialogue.values import is_id, is_new, known_values, roots_of, thing_of
from fama.episodes.records import FunctionCall, Message, ToolCall, ToolSpec
from fama.episodes.state import VisibleState


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("order_id", "order id"),
        ("orderId", "order id"),
        ("orderID", "order id"),
        ("HTTPGet", "http get"),
        ("getOrder2", "get order2"),
        ("userIDs", "user ids"),
        ("ORDER_ID", "order id"),
        ("orders.search-all", "orders search all"),
    ],
)
def test_words_of_a_name(name: str, words: str) -> None:
    assert name_words(name) == words.split()


@pytest.mark.parametrize(("old", "new"), [("item_id", "new_item_id"), ("itemId", "newItemId")])
def test_a_parameter_is_read_alike_in_both_notations(old: str, new: str) -> None:
    assert is_id(old) and is_id(new) and is_new(new) and not is_new(old)
    assert thing_of(old) == "item" and roots_of(old) == {"item"}
    assert new_field(new) == old
    assert new_field("new-item-id") == "item_id"


@pytest.mark.parametrize("parameter", ["order_id", "orderId"])
def test_a_request_needs_its_object_and_finds_it_in_both_notations(parameter: str) -> None:
    schema = {"properties": {parameter: {"type": "string"}}, "required": [parameter]}
    spec = ToolSpec(name="cancelOrder", description="Cancel an order.", parameters=json.dumps(schema))
    listed = ToolCall(id="1", function=FunctionCall(name="listOrders", arguments="{}"))
    messages = (
        Message(role="user", content="Please cancel my order."),
        Message(role="assistant", tool_calls=(listed,)),
        Message(role="tool", tool_call_id="1", content=json.dumps({"orders": [{"id": "W100"}]})),
    )
    state = VisibleState(policy="", tools=(spec,), messages=messages, benchmark="theirs", domain="d", turn=1)
    (want,) = wants(state)
    assert needs_of(want) == (parameter,)
    assert [found.value for found in known_values(parameter, want.tool, state)] == ["W100"]
