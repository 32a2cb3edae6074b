"""Tool outputs nested without end, and tool schemas with nulls and wrong types, in everything that reads them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fama.agents.injection import collect_notes
from fama.agents.strategies.base import signature
from fama.diagnosis.detectors.tools import violation
from fama.dialogue.calls import calls
from fama.dialogue.facts import data_of
from fama.dialogue.policy import RuleVerdict, rule_verdict, rules
from fama.dialogue.requests import open_wants
from fama.dialogue.sources import Sources
from fama.episodes.records import Message, ToolSpec
from fama.episodes.state import VisibleState
from fama.helpers import verifier
from fama.helpers.pool import build_pool
from fama.selection.router.features import featurise
from fama.selection.router.turn import featurise_turn
from fama.settings import HelperSettings
from tests.support.note_states import Chat
from tests.support.note_states import tool as tool_spec

POOL = build_pool(HelperSettings())
DEEP = [
    "[" * 100_000,
    "[" * 100_000 + "]" * 100_000,
    "[" * 900 + "1" + "]" * 900,
    '{"a":' * 450 + "1" + "}" * 450,
    '{"a":[{"b":"' + "[" * 5_000 + '"}]}',
]
PROPERTIES: list[Any] = [
    *(None, [], "x", 5, [None]),
    {"a": None},
    {"a": {"type": None, "enum": None, "description": None}},
    {"a": {"type": ["string", None], "items": None}},
    {"a": {"type": "array", "items": [1]}},
    {"a": {"enum": [None, {}, []]}},
    {"a": {"enum": "abc"}},
    {"loan_id": None},
]


async def read_by_all(state: VisibleState) -> None:
    assert featurise(state).evidence and featurise_turn(state, tuple(POOL)).evidence
    await collect_notes(state, tuple(POOL), POOL, None, 0, [])
    for tool in state.tools:
        assert signature(tool).startswith(tool.name)
        for call in calls(state):
            violation(call, tool)


@pytest.mark.parametrize("output", DEEP, ids=range(len(DEEP)))
async def test_deep_outputs(output: str) -> None:
    assert output.startswith('{"a":[{') or data_of(output) is None
    chat = Chat().user("Please renew my loan L1.").call("get_loan", output, loan_id="L1", deep=output)
    await read_by_all(chat.state())


def schemas() -> Iterator[str]:
    for place, properties in enumerate(PROPERTIES):
        required: Any = (None, "x", {}, [None, ["a"]], 5)[place % 5]
        yield json.dumps({"type": "object", "properties": properties, "required": required})
    yield from (
        "null",
        "[]",
        "[" * 50_000,
        '{"properties": {"a": ' + '{"type": "array", "items": ' * 99 + "{}" + "}" * 101,
    )


async def test_schemas_with_nulls() -> None:
    chat = Chat().user("Please renew my loan L1.").call("get_loan", '{"loan_id": "L1"}', loan_id="L1", a=[1])
    state = chat.say("Shall I?").user("Yes, please.").state()
    for schema in schemas():
        tools = tuple(tool.model_copy(update={"parameters": schema}) for tool in state.tools)
        await read_by_all(replace(state, tools=tools))


def test_what_a_schema_says_is_read_as_far_as_it_is_one() -> None:
    schema = {"properties": {"a": None, "b": {"type": ["string", None]}, "c": {}}, "required": ["a", None]}
    tool = ToolSpec(name="t", description="d", parameters=json.dumps(schema))
    assert signature(tool) == "t(a: any, b?: string|None, c?: any) - d"


def test_a_result_without_any_call_leads_to_nothing() -> None:
    chat = Chat(policy="Be kind to readers.").user("Please renew my loan.")
    chat.messages.append(Message(role="tool", content="The desk is open.", tool_call_id="gone"))
    assert open_wants(chat.state()) and not calls(chat.state())
    assert chat.note(POOL["TSA"]) is None


def test_numbers_beyond_a_float_are_held_against_rules() -> None:
    huge = 10**400

    def found(rule: str, **record: int) -> RuleVerdict:
        return rule_verdict(rules(rule)[0], [dict(record)], {})

    assert found("A desk has at most 5 seats.", seats=huge) == "broken"
    assert found("A desk has at least 5 seats.", seats=huge) == "kept"
    assert found("A desk needs at least as many seats as are used.", seats=2, seats_used=huge) == "broken"
    assert found("A desk needs at least as many seats as are used.", seats=huge, seats_used=2) == "kept"


def test_where_a_number_beyond_a_float_stood_is_found() -> None:
    digits = "9" * 400
    said = (Message(role="user", content=f"It is {digits}."), Message(role="user", content="It costs 51.00."))
    sources = Sources(said, ())
    assert [seen.step for seen in sources.find(int(digits), 2)] == [0]
    assert [seen.step for seen in sources.find(51, 2)] == [seen.step for seen in sources.find(51.0, 2)] == [1]


def test_an_error_that_lists_one_value_twice_offers_it_once() -> None:
    def told(listed: str) -> list[str]:
        chat = Chat().verified("Move hold H5.").call("list_loans", {"hold_id": "H5", "branch": "north"})
        chat.call("move_hold", f"Error: branch must be one of: {listed}.", hold_id="H5", branch="moon")
        return [one.text for one in verifier.write(chat.state()) if "with branch" in one.text]

    assert told("north, north") == []
    assert told("north, south, south") == ['Call move_hold again with branch "south".']


def test_of_two_new_ids_a_list_may_hold_one_only() -> None:
    tools = (
        tool_spec("get_order", "Show one order.", "order_id"),
        tool_spec("list_products", "List products to exchange for.", "order_id"),
        tool_spec("exchange_item", "Exchange an item of an order.", "item_id", "new_item_id", "new_size_id"),
    )
    chat = Chat("Be kind.", tools).user("Please exchange an item.")
    chat.call("get_order", {"order_id": "O-77", "item_id": "I-11"}, order_id="O-77")
    products = [{"item_id": "I-21", "color": "red"}, {"item_id": "I-22", "color": "blue"}]
    chat.call("list_products", {"products": products}, order_id="O-77")
    chat.say("Shall I exchange item I-11 for the blue one?").user("Yes, please, the blue one.")
    note = chat.note(POOL["TSA"])
    assert note == 'Suggested next tool: exchange_item with item_id "I-11", new_item_id "I-22".'
