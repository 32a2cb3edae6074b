import json
import string
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fama.agents.strategies.base import action_json
from fama.agents.strategies.parser import ParseFailure, parse_calls, parse_text
from fama.envs.base import Action
from fama.episodes.records import FunctionCall, ToolCall
from fama.text.clean import clean, clean_value

GET = Action(tool="get_order", arguments={"order_id": "W1"})
SAY = Action(tool=None, text="Hello there.")


@pytest.mark.parametrize(
    "text",
    [
        '{"tool": "get_order", "arguments": {"order_id": "W1"}}',
        '{"name": "get_order", "arguments": {"order_id": "W1"}}',
        '{"function": "get_order", "args": {"order_id": "W1"}}',
        '{"tool": "get_order", "parameters": {"order_id": "W1"}}',
        '{"type": "function", "function": {"name": "get_order", "arguments": "{\\"order_id\\": \\"W1\\"}"}}',
        '{"tool_calls": [{"id": "x", "function": {"name": "get_order", "arguments": {"order_id": "W1"}}}]}',
        '[{"name": "get_order", "arguments": {"order_id": "W1"}}]',
        '{"action": "get_order", "action_input": {"order_id": "W1"}}',
        '{"tool": "get_order", "order_id": "W1"}',
        '```json\n{"tool": "get_order",\n "arguments": {"order_id": "W1"}}\n```',
        'I look it up {now}.\n{"tool": "get_order", "arguments": {"order_id": "W1"}} Then I go on.',
        '<tool_call>\n{"name": "get_order", "arguments": {"order_id": "W1"}}\n</tool_call>',
        '{{"name": "get_order", "arguments": {"order_id": "W1"}}}',
        '{{"name": "get_order", "arguments": {{"order_id": "W1"}}}}',
        '{{"name": "get_order", "arguments": {"order_id": "W1"}}',
        "{'tool': 'get_order', 'arguments': {'order_id': 'W1'}}",
        '{"tool": "{"tool": "get_order", "arguments": {"order_id": "W1"}}',
        '{"tool": "Sure.\n```json\n{"tool": "get_order", "arguments": {"order_id": "W1"}}\n```',
        '{"tool": "get_order", "arguments": {"order_id": "W1",},}',
        '{"tool": "get_order", "arguments": {"order_id": "W1"}',
        '{"tool": "get_order", "arguments": {"order_id": "W1"',
        'Thought: I need {it}.\nAction: {"tool": "get_order", "arguments": {"order_id": "W1"}}',
        '**Action:** {"tool": "get_order", "arguments": {"order_id": "W1"}}\nThen: {"tool": "x", "arguments": {}}',
        'Action: get_order\nAction Input: {"order_id": "W1"}',
        '<think>{"tool": "no", "arguments": {}}</think>{"tool": "get_order", "arguments": {"order_id": "W1"}}',
    ],
)
def test_forms_of_a_call(text: str) -> None:
    assert parse_text(text) == GET
    assert parse_text(text, prose=True) == GET


@pytest.mark.parametrize(
    "text",
    [
        '{"tool": "respond", "arguments": {"text": "Hello there."}}',
        '{"tool": "respond", "arguments": {"content": "Hello there."}}',
        '{"name": "respond", "arguments": {"message": "Hello there."}}',
        '{"tool": "respond", "arguments": "Hello there."}',
        '{"tool": "respond", "text": "Hello there."}',
        "Action: respond\nAction Input: Hello there.",
        'Action: respond\nAction Input: ```json\n{"text": "Hello there."}\n```',
        '{"tool": "respond", "arguments": {"text": "Hello there.\n"}}',
    ],
)
def test_forms_of_words(text: str) -> None:
    assert parse_text(text) == SAY


def test_quote_in_words_does_not_end_them() -> None:
    text = '{"tool": "respond", "arguments": {"text": "It\'s {here}."}'
    assert parse_text(text) == Action(tool=None, text="It's {here}.")


def test_words_behind_an_action_are_said_whole() -> None:
    said = "Let me confirm {both}:\nAction: cancel W1\nDo you agree?"
    assert parse_text(f"Action: respond\nAction Input: {said}") == Action(tool=None, text=said)
    assert isinstance(parse_text('Action: respond\nAction Input: {"text": "a "b" c"}'), ParseFailure)


def test_known_tools_need_no_arguments() -> None:
    assert parse_text('{"name": "close"}', ["close"]) == Action(tool="close")
    assert parse_text("Action: close", ["close"]) == Action(tool="close")
    assert isinstance(parse_text('{"name": "Ann"}', ["close"]), ParseFailure)
    assert parse_text('{"tool": "close", "arguments": null}') == Action(tool="close")


def test_prose() -> None:
    assert parse_text("Hello there.", prose=True) == SAY
    record = 'Your record says {"name": "Ann"}.'
    assert parse_text(record, ["close"], prose=True) == Action(tool=None, text=record)
    assert isinstance(parse_text("Hello there."), ParseFailure)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("Hello", "no JSON"),
        ('{"tool": "get_order", "arguments": {"order_id": "W', "broken"),
        ('{"tool": "get_order", "arguments": [1]}', "not a JSON object"),
        ('{"tool": "get_order", "arguments": "W1"}', "not a JSON object"),
        ('{"tool": "respond", "arguments": {}}', '"text"'),
        ('{"tool": "", "arguments": {}}', "names no tool"),
        # json_repair makes calls with wrong arguments of these two: {'arguments" {"order_id': "W1"} and {}
        ('{"tool": "get_order", "arguments" {"order_id": "W1"}}', "broken"),
        ('{"tool": "get_order", "arguments": ]{"order_id": "W1"}}', "broken"),
    ],
)
def test_failures_say_why(text: str, word: str) -> None:
    failure = parse_text(text)
    assert isinstance(failure, ParseFailure)
    assert word in failure.reason


@pytest.mark.parametrize(
    "text",
    [
        # quotes that are not escaped, around a call of which the text only speaks
        '{"tool": "respond", "arguments": {"text": "Say "yes" for {"tool": "cancel", "arguments": {"id": "1"}}"}}',
        '{"thought": "not {"tool": "cancel", "arguments": {}} yet", "tool": "get_order", "arguments": {}}',
        '{"tool": "update", "arguments": {id: 1, "item": {"tool": "cancel", "arguments": {}}}}',
        '{"tool": "update", "arguments": {id: 1, "item": {"size": 2}}}',
        '<tool_call>{"name": "update", "arguments": {id: 1, "to": {"name": "cancel", "arguments": {}}}}</tool_call>',
        '<function=update>{id: 1, "item": {"size": 2}}</function>',
        '[TOOL_CALLS]update[ARGS]{id: 1, "item": {"size": 2}}',
        'Action: update\nAction Input: {id: 1, "item": {"size": 2}}',
        'Action: update\n{id: 1, "item": {"size": 2}}',
        'Action: update\nAction Input: {"id": 1, "why": "a "b"}\nObservation: {"size": 2}',
        "Action: update\nAction Input: W1",
        "Action: update W1",
    ],
)
@pytest.mark.parametrize("prose", [False, True])
def test_no_part_of_a_broken_call_acts(text: str, prose: bool) -> None:
    found = parse_text(text, ["update", "cancel", "get_order"], prose=prose)
    assert isinstance(found, ParseFailure) or found == Action(tool=None, text="Action: update W1")


@pytest.mark.parametrize("arguments", ['{id: 1, "item": {"size": 2}}', '{"why": "a "b" c", "item": {"size": 2}}'])
def test_no_part_of_broken_arguments_is_sent(arguments: str) -> None:
    assert isinstance(parse_calls([native("update", arguments)], ["update"]), ParseFailure)


def test_a_call_that_a_text_of_an_object_mentions_is_not_made() -> None:
    text = "{\"thought\": \"I could {'tool': 'cancel', 'arguments': {}}\"} Shall I?"
    assert isinstance(parse_text(text, ["cancel"]), ParseFailure)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('Action: get_order\n{"order_id": "W1"}', {"order_id": "W1"}),
        ('Action: get_order {"order_id": "W1"}', {"order_id": "W1"}),
        ('Action: get_order\nAction Input:\n```json\n{"order_id": "W1"}\n```', {"order_id": "W1"}),
        ('Action: get_order\nAction Input: {"order_id": "W1"}\nObservation: {"status": "x"}', {"order_id": "W1"}),
        ('Action: get_order\nAction Input:\nObservation: {"status": "delivered"}', {}),
        ("Action: get_order\nAction Input: None", {}),
    ],
)
def test_the_input_of_a_named_action(text: str, arguments: dict[str, Any]) -> None:
    assert parse_text(text, ["get_order"]) == Action(tool="get_order", arguments=arguments)


@pytest.mark.parametrize(
    "text",
    [
        '```python\nget_order(order_id="W1")\n```',
        '```\nget_order(order_id="W1")\n```',
        'get_order({"order_id": "W1"})',
        '```python\nget_order({"order_id": "W1"})\n```',
    ],
)
def test_a_reply_that_is_a_call_of_a_tool_as_in_code(text: str) -> None:
    assert parse_text(text, ["get_order"], prose=True) == GET
    assert parse_text(text, ["close"], prose=True) == Action(tool=None, text=text)


@pytest.mark.parametrize(
    "text", ['get_order("W1")', '```python\nget_order("W1")\n```', "get_order(order)", 'get_order({order_id: "W1"})']
)
def test_a_call_of_a_tool_that_cannot_be_read_is_not_said(text: str) -> None:
    assert isinstance(parse_text(text, ["get_order"], prose=True), ParseFailure)
    said = f"{text} is what I tried."
    assert parse_text(said, ["get_order"], prose=True) == Action(tool=None, text=said)


def test_a_summary_with_the_word_action_is_said() -> None:
    for action in ("Cancel the order", "cancel_order"):
        text = f"Let me confirm:\n**Order:** W1\n**Action:** {action}\n**Reason:** late\nDo you agree?"
        assert parse_text(text, ["cancel_order"], prose=True) == Action(tool=None, text=text)
    assert parse_text("Action: close", ["close"], prose=True) == Action(tool="close")


@pytest.mark.parametrize(
    "thought",
    ["<think>{}</think>", "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>"],
)
def test_a_long_thought_does_not_make_a_reply_too_long(thought: str) -> None:
    text = thought.format("Let me think about it. " * 2000)
    assert parse_text(f'{text}{{"tool": "get_order", "arguments": {{"order_id": "W1"}}}}') == GET
    assert parse_text(f"{text}Hello there.", prose=True) == SAY
    for long in ("Hello there. " * 2000, text.removesuffix("</think>") * 20):
        assert isinstance(parse_text(long, prose=True), ParseFailure)


def native(name: str, arguments: str) -> ToolCall:
    return ToolCall(id="1", function=FunctionCall(name=name, arguments=arguments))


def test_native_calls() -> None:
    assert parse_calls([]) is None
    assert parse_calls([native("get_order", '{"order_id": "W1"}'), native("close", "")]) == GET
    assert parse_calls([native("close", "")]) == Action(tool="close")
    assert parse_calls([native("respond", '{"text": "Hello there."}')]) == SAY
    assert isinstance(parse_calls([native("close", "[1]")]), ParseFailure)
    assert isinstance(parse_calls([native(" ", "{}")]), ParseFailure)


#: Without what may be read as the markup of a model family, which a call in words must not hold.
plain = st.text(st.characters(exclude_characters="<[\u273f`"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=8,
)
names = st.text(string.ascii_lowercase + "_", min_size=1).filter(lambda name: name != "respond")


@settings(deadline=None)
@given(names, st.dictionaries(plain, json_values, max_size=4), st.sampled_from(["", "  ", "```json\n", "Well: "]))
def test_round_trip_of_calls(name: str, arguments: dict[str, Any], before: str) -> None:
    assert parse_text(before + action_json(name, arguments)) == Action(tool=name, arguments=clean_value(arguments))


@settings(deadline=None)
@given(plain.filter(lambda text: bool(text.strip())))
def test_round_trip_of_words(text: str) -> None:
    assert parse_text(action_json("respond", {"text": text})) == Action(tool=None, text=clean(text).strip())


signs = st.text(st.sampled_from(list("{}[]\"':,\\ntoolargumens respd`Action\n0e9\ud800")), max_size=200)


@settings(max_examples=300, deadline=None)
@given(st.text() | signs, st.booleans())
@example("{" * 5000, False)
@example('{"tool": ' * 3000, False)
@example("[" * 3000 + "{", True)
@example('{"tool": "a", "arguments": {"x": 1e999, "y": NaN}}', False)
@example('{"tool": "a", "arguments": {"x": ' + "9" * 5000 + "}}", False)
def test_never_raises_and_gives_storable_actions(text: str, prose: bool) -> None:
    result = parse_text(text, ["close"], prose=prose)
    if isinstance(result, Action):
        assert json.dumps([result.arguments, result.text], ensure_ascii=False).encode()
    assert isinstance(result, Action | ParseFailure)
    parse_calls([native(text, text)])


@pytest.mark.parametrize("call", ['{"tool": "get_order", "arguments": {"order_id": "W1", "why": "late"}}'])
def test_a_cut_value_is_never_sent(call: str) -> None:
    """A reply that ends inside a value is no action; only closing brackets and whole members may be missing."""
    taken = [parse_text(call[:end]) for end in range(len(call))]
    actions = [action for action in taken if isinstance(action, Action)]
    allowed: list[dict[str, Any]] = [{}, {"order_id": "W1"}, {"order_id": "W1", "why": "late"}]
    assert actions and all(action.tool == "get_order" and action.arguments in allowed for action in actions)


@pytest.mark.parametrize(
    "arguments",
    [
        '{"id": "A", "id": "B"}',
        "{'id': 'A', 'id': 'B'}",
        '{"id": "A", "id": "B",}',
        '{"list": [{"id": 1, "id": 2}]}',
        '{"id": 1, "id": 2, "inner": {"id": 3}}',
        '{"id": 1, "id": true}',
        '{"id": [0], "id": [false]}',
        "{1: 'A', '1': 'B'}",
    ],
)
def test_a_key_with_two_values_is_no_argument(arguments: str) -> None:
    call = ToolCall(id="c", function=FunctionCall(name="cancel", arguments=arguments))
    assert isinstance(parse_calls([call]), ParseFailure)
    assert isinstance(parse_text(f'Action: {{"tool": "cancel", "arguments": {arguments}}}', ["cancel"]), ParseFailure)


@pytest.mark.parametrize("arguments", ['{"id": "A", "id": "A"}', "{'id': 'A', 'id': 'A'}"])
def test_a_key_given_twice_with_one_value_says_it(arguments: str) -> None:
    call = ToolCall(id="c", function=FunctionCall(name="cancel", arguments=arguments))
    assert parse_calls([call]) == Action(tool="cancel", arguments={"id": "A"})


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call><function=cancel><parameter=id>{}</parameter><parameter=id>{}</parameter></function></tool_call>",
        "<tool_call><function=cancel><id>{}</id><id>{}</id></function></tool_call>",
        "<tool_call>cancel<arg_key>id</arg_key><arg_value>{}</arg_value><arg_key>id</arg_key><arg_value>{}</arg_value>"
        "</tool_call>",
        "[cancel(id='{}', id='{}')]",
    ],
)
def test_markup_that_gives_an_argument_two_values_is_no_call(text: str) -> None:
    assert parse_text(text.format("A", "A"), ["cancel"]) == Action(tool="cancel", arguments={"id": "A"})
    assert isinstance(parse_text(text.format("A", "B"), ["cancel"]), ParseFailure)


@pytest.mark.parametrize("line", ["Customer: Bob", "Action: none", "Observation: it came"])
def test_a_line_inside_an_input_does_not_end_it(line: str) -> None:
    """Texts over several lines are usual in what an agent says; JSON with a line end in a text is read."""
    said = parse_text(f'Action: respond\nAction Input: {{"text": "Your order:\n{line}"}}', ["get_order"])
    assert said == Action(tool=None, text=f"Your order:\n{line}")
    noted = parse_text(f'Action: get_order\nAction Input: {{"order_id": "W1\n{line}"}}', ["get_order"])
    assert noted == Action(tool="get_order", arguments={"order_id": f"W1\n{line}"})


@pytest.mark.parametrize("between", ["", 'Observation: {"orders": ["W1"]}\n', "Thought: now the order\n"])
def test_an_action_has_no_input_of_the_next_one(between: str) -> None:
    text = f'Action: list_orders\n{between}Action: get_order\nAction Input: {{"order_id": "W1"}}'
    assert parse_text(text, ["list_orders", "get_order"]) == Action(tool="list_orders", arguments={})


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "Action: {}",
        'Action: {}\nObservation: {{"status": "open"}}',
        "<tool_call>{}</tool_call>",
        "print({})",
        "```python\n{}\n```",
    ],
)
def test_a_call_of_an_object_is_read_wherever_calls_stand(form: str) -> None:
    assert parse_text(form.format('get_order({"order_id": "W1"})'), ["get_order"], prose=True) == GET
