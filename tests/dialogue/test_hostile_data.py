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
from fama.episodes.records import ToolSpec
from fama.episodes.state import VisibleState
from fama.helpers.pool import build_pool
from fama.selection.router.features import featurise
from fama.selection.router.turn import featurise_turn
from fama.settings import HelperSettings
from tests.support.note_states import Chat

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
