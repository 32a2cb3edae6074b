"""Shapes that chats have in the field: content, calls, ids, roles, verdicts and tools."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.dialogue.calls import calls_of
from fama.episodes.foreign.fields import verdict
from fama.episodes.foreign.logged_calls import UNREADABLE_ARGUMENTS, arguments_text
from fama.episodes.foreign.logged_content import EXTRA, MEDIA, PARTS, THOUGHTS, read_logged_content
from fama.episodes.foreign.logged_messages import messages_of
from fama.episodes.foreign.logged_tools import tools_of
from fama.episodes.foreign.part_kinds import THOUGHT_KINDS
from fama.episodes.records import Message
from fama.episodes.store import read_failures
from fama.errors import BadInput
from fama.models.content import read_content
from fama.selection.router.message_features import ResultFeatures, message_features
from tests.support.foreign_logs import SAID, imported, write_json, write_lines


def one(**message: Any) -> Message:
    (found,) = messages_of([message])
    return found


def said(messages: tuple[Message, ...]) -> list[tuple[str, str | None]]:
    return [(m.role, m.content) for m in messages]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, None),
        ("x", "x"),
        (["a", "b"], "a\nb"),
        ([{"type": "text", "text": "a"}, {"type": "output_text", "text": "b"}], "a\nb"),
        ([{"type": "refusal", "refusal": "no"}], "no"),
        ({"type": "text", "text": "a"}, "a"),
        ({"content_type": "text", "parts": ["a", "b"]}, "a\nb"),
        ({"text": {"value": "a", "annotations": []}}, "a"),
        ({"colour": "red"}, '{"colour": "red"}'),
        (12.5, "12.5"),
        (True, "true"),
        ([], ""),
    ],
)
def test_content_in_any_shape(content: Any, text: str | None) -> None:
    assert one(role="assistant", content=content).content == text


REVIEWS = [{"type": "review", "text": "great", "rating": 5, "order_id": "W1"}, {"type": "review", "text": "bad"}]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"a": 1}, '{"a": 1}'),
        ([{"name": "x"}, {"name": "y"}], '[{"name": "x"}, {"name": "y"}]'),
        (["a", "b"], '["a", "b"]'),
        ([{"type": "text", "text": "a"}], "a"),
        ([{"type": "text", "text": "a", "annotations": [], "refusal": None}, {"type": "text", "text": "b"}], "a\nb"),
        (REVIEWS, json.dumps(REVIEWS)),
        ([{"type": "text", "text": "a", "order": "W1"}], '[{"type": "text", "text": "a", "order": "W1"}]'),
        ([{"type": "text", "text": "a"}, {"text": "b"}], '[{"type": "text", "text": "a"}, {"text": "b"}]'),
        ([{"type": ["text"], "text": "a"}], '[{"type": ["text"], "text": "a"}]'),
        (7, "7"),
        (False, "false"),
    ],
)
def test_results_of_tools_are_kept_as_json(content: Any, text: str) -> None:
    assert one(role="tool", content=content).content == text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"content": REVIEWS}, json.dumps(REVIEWS)),
        ({"content": None, "output": [{"type": "text", "text": "a"}]}, "a"),
        ({"text": "a"}, "a"),
        ({"rows": [1]}, '{"rows": [1]}'),
        ({"content": [{"type": "tool_result", "output": "a"}]}, '[{"type": "tool_result", "output": "a"}]'),
        ({"is_error": False}, ""),
    ],
)
def test_results_in_blocks_are_kept_whole(fields: dict[str, Any], text: str) -> None:
    found = one(role="user", content=[{"type": "tool_result", "tool_use_id": "t", **fields}])
    assert (found.role, found.content, found.tool_call_id) == ("tool", text, "t")


FLAGGED: list[dict[str, Any]] = [
    {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "t", "content": "No seats.", "is_error": True}],
    },
    {"role": "user", "content": [{"type": "tool_result", "content": "No seats.", "isError": True}]},
    {"role": "tool", "content": "No seats.", "is_error": True},
    {"role": "tool", "content": "No seats.", "is_error": "true"},
    {"role": "tool", "content": [{"type": "tool_result", "content": "No seats."}], "is_error": True},
    {"role": "tool", "content": "No seats.", "error": True},
    {"type": "ToolMessage", "data": {"content": "No seats.", "status": "error", "tool_call_id": "t"}},
]


@pytest.mark.parametrize("row", FLAGGED)
def test_a_result_that_the_log_calls_an_error_is_one(row: dict[str, Any]) -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "t", "function": {"name": "add_seats", "arguments": "{}"}}]}
    messages = messages_of([call, row])
    assert (messages[1].content, messages[1].failed) == ("No seats.", True)
    (read,) = calls_of(messages)
    assert read.failed and not read.succeeded
    assert message_features(messages)[1].result == ResultFeatures("No seats.", True, False)


@pytest.mark.parametrize("key", ["tool_response", "tool_result"])
def test_data_of_a_tool_are_no_flag(key: str) -> None:
    data = {"error": True, "status": "error", "content": "Shipped.", "id": "9"}
    (found,) = messages_of([{"role": "user", "content": [{key: data}]}])
    assert (found.content, found.failed) == ("Shipped.", None)


@pytest.mark.parametrize("flag", [False, None, "no", 0])
def test_a_result_that_is_not_flagged_is_read_by_its_words(flag: object) -> None:
    (plain,) = messages_of([{"role": "tool", "content": "No seats.", "is_error": flag, "status": "success"}])
    assert plain.failed is None and "failed" not in plain.model_dump()
    assert messages_of([{"role": "assistant", "content": "Done.", "error": True}])[0].failed is None


@pytest.mark.parametrize(
    ("part", "text", "count"),
    [
        ({"type": "text", "text": "a", "id": "1", "index": 0, "rating": None}, "a", {}),
        ({"type": "markdown", "text": "a"}, "a", {}),
        ({"type": "text", "text": None, "content": "a"}, "a", {}),
        ({"type": "text", "text": "a", "rating": 5}, "a", {EXTRA: 1}),
        ({"type": "review", "text": "a", "rating": 5}, '{"type": "review", "text": "a", "rating": 5}', {PARTS: 1}),
        ({"text": "a", "rating": 5}, '{"text": "a", "rating": 5}', {PARTS: 1}),
    ],
)
def test_a_text_part_with_further_fields(part: dict[str, Any], text: str, count: dict[str, int]) -> None:
    omitted: Counter[str] = Counter()
    (found,) = messages_of([{"role": "user", "content": [part]}], omitted)
    assert (found.content, dict(+omitted)) == (text, count)


def test_what_an_episode_cannot_hold_is_counted() -> None:
    omitted: Counter[str] = Counter()
    rows = [
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]},
        {"role": "assistant", "content": "b", "reasoning_content": "hm"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "odd", "data": 1}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"transcript": "spoken"}}]},
    ]
    texts = [text for _, text in said(messages_of(rows, omitted))]
    assert texts == ["a", "b", '[image_url]\n{"type": "odd", "data": 1}', "spoken"]
    assert +omitted == Counter({THOUGHTS: 2, MEDIA: 1, PARTS: 1})


def test_a_refusal_beside_the_content_is_said() -> None:
    assert one(role="assistant", content=None, refusal="No.").content == "No."
    assert one(role="assistant", content="a", refusal="No.").content == "a\nNo."


def test_blocks_of_calls_and_results() -> None:
    rows = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "get", "input": {"a": 1}}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "and?"},
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "got"}]},
            ],
        },
    ]
    call, result, more = messages_of(rows)
    assert call.tool_calls is not None and call.tool_calls[0].function.parsed() == {"a": 1} and call.content is None
    assert (result.role, result.content, result.tool_call_id) == ("tool", "got", call.tool_calls[0].id)
    assert (more.role, more.content) == ("user", "and?")


CALLS: list[list[dict[str, Any]]] = [
    [  # legacy
        {"role": "assistant", "content": None, "function_call": {"name": "get", "arguments": '{"a": 1}'}},
        {"role": "function", "name": "get", "content": "got"},
    ],
    [  # JSON text, without ids
        {"role": "assistant", "tool_calls": '[{"name": "get", "args": {"a": 1}}]'},
        {"role": "tool", "content": "got"},
    ],
    [  # bare, of a message's own type
        {"type": "ai", "content": "", "tool_calls": [{"name": "get", "args": {"a": 1}, "id": "z"}]},
        {"type": "tool", "content": "got", "tool_call_id": "z"},
    ],
    [  # items instead of messages
        {"type": "function_call", "name": "get", "arguments": '{"a": 1}', "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": "got"},
    ],
    [  # parts
        {"role": "model", "parts": [{"functionCall": {"name": "get", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "get", "response": "got"}}]},
    ],
    [  # LangChain's messages_to_dict
        {"type": "ai", "data": {"content": "", "tool_calls": [{"name": "get", "args": {"a": 1}, "id": "z"}]}},
        {"type": "tool", "data": {"content": "got", "tool_call_id": "z"}},
    ],
    [  # LangChain's dumps
        {
            "lc": 1,
            "type": "constructor",
            "id": ["langchain", "schema", "messages", "AIMessageChunk"],
            "kwargs": {"content": "", "tool_calls": [{"name": "get", "args": {"a": 1}, "id": "z"}]},
        },
        {"lc": 1, "type": "constructor", "id": ["x", "ToolMessage"], "kwargs": {"content": "got", "tool_call_id": "z"}},
    ],
    [  # custom tools of the Responses API
        {"type": "custom_tool_call", "name": "get", "input": '{"a": 1}', "call_id": "c"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "got"},
    ],
    [  # results of Gemini in a role of their own
        {"role": "model", "parts": [{"functionCall": {"name": "get", "args": {"a": 1}}}]},
        {"role": "function", "parts": [{"functionResponse": {"name": "get", "response": "got"}}]},
    ],
    [  # what data frames fill in
        {"role": "assistant", "tool_calls": [{"name": "get", "args": {"a": 1}}, None], "function_call": "nan"},
        {"role": "tool", "content": "got", "tool_calls": False},
    ],
    [  # a Python literal, and the name beside the wrapper
        {"role": "assistant", "tool_calls": [{"id": "", "function": "get", "arguments": "{'a': 1}"}]},
        {"role": "tool", "tool_call_id": "", "content": "got"},
    ],
]


@pytest.mark.parametrize("rows", CALLS)
def test_calls_of_every_dialect(rows: list[dict[str, Any]]) -> None:
    call, result = messages_of(rows)
    assert call.tool_calls is not None
    (made,) = call.tool_calls
    assert (made.function.name, made.function.parsed()) == ("get", {"a": 1})
    assert (result.role, result.content, result.tool_call_id) == ("tool", "got", made.id)


def test_a_call_that_langchain_could_not_read_is_kept_and_counted() -> None:
    omitted: Counter[str] = Counter()
    invalid = [{"name": "get", "args": '{"a": ', "id": "c", "error": "x"}]
    rows = [{"type": "ai", "content": "", "tool_calls": [], "invalid_tool_calls": invalid}]
    (message,) = messages_of(rows, omitted)
    assert message.tool_calls is not None and message.tool_calls[0].function.arguments == '{"a": '
    assert omitted == {UNREADABLE_ARGUMENTS: 1}


def test_labels_do_not_depend_on_how_arguments_are_written(tmp_path: Path) -> None:
    """The same dialogue with arguments as JSON and with ids, and as Python's ``str(dict)`` without ids."""
    arguments = {"parcel": "P7", "reason": "lost", "insured": True}
    labels = []
    for form in ("json", "python"):
        text = json.dumps(arguments) if form == "json" else str(arguments)
        call: dict[str, Any] = {"type": "function", "function": {"name": "cancel_parcel", "arguments": text}}
        ids = {"id": "c1"} if form == "json" else {}
        turns = [
            {"role": "user", "content": "Please cancel my parcel P7, it is lost."},
            {"role": "assistant", "content": None, "tool_calls": [{**call, **ids}]},
            {"role": "tool", "content": '{"status": "cancelled"}', **({"tool_call_id": "c1"} if ids else {})},
            {"role": "assistant", "content": "It is cancelled."},
        ]
        gold = {"actions": [{"name": "cancel_parcel", "kwargs": {**arguments, "parcel": "P8"}}], "outputs": []}
        info = {"task": gold, "reward_info": {"reward": 0.0}}
        path = write_json(
            tmp_path / form / "m_fc_depot.json", [{"task_id": 1, "reward": 0.0, "info": info, "traj": turns}]
        )
        imported(path, tmp_path / form / "out")
        found = tmp_path / form / "labels"
        assert main(["diagnose", str(tmp_path / form / "out"), "--judge", "none", "--out", str(found)]) == 0
        labels.append([label.model_copy(update={"episode_id": ""}) for label in read_failures(found)])
    assert labels[0] == labels[1] and labels[0]
    assert any("P7" in finding.quote and "P8" in finding.quote for finding in labels[0][0].evidence)


def test_columns_instead_of_rows(tmp_path: Path) -> None:
    columns = {"role": ["user", "assistant"], "content": ["a", "b"], "tool_calls": [None, None]}
    assert said(messages_of(columns)) == [("user", "a"), ("assistant", "b")]
    row = {"conversations": {"from": ["human", "gpt"], "value": ["a", "b"]}}
    (episode,) = imported(write_lines(tmp_path / "x.jsonl", [row]), tmp_path / "out")
    assert said(episode.messages) == [("user", "a"), ("assistant", "b")]


def test_words_under_other_names() -> None:
    rows = [{"role": "user", "text": "a"}, {"role": "agent", "message": "b"}, {"role": "customer", "content": "c"}]
    assert said(messages_of(rows)) == [("user", "a"), ("assistant", "b"), ("user", "c")]
    assert said(messages_of([{"role": "assistant", "name": "bot"}])) == [("assistant", None)]


@pytest.mark.parametrize(
    "row",
    [
        {"content": "", "text": "Hello"},
        {"content": [], "message": "Hello"},
        {"content": "Hel", "parts": [{"type": "text", "text": "Hello"}]},
        {"content": "Hello", "parts": []},
        {"content": "", "value": 0.5, "text": "Hello"},
    ],
)
def test_an_empty_field_or_a_part_of_the_words_hides_no_words(row: dict[str, Any]) -> None:
    assert said(messages_of([{"role": "user", **row}])) == [("user", "Hello")]


@pytest.mark.parametrize(
    "arguments", ['{"n": NaN, "o": 1e400}', {"n": float("nan"), "o": float("inf")}, "{'n': 1e999}"]
)
def test_numbers_that_json_lacks_are_null(arguments: Any) -> None:
    omitted: Counter[str] = Counter()
    found = json.loads(arguments_text(arguments, omitted), parse_constant=pytest.fail)
    assert set(found.values()) == {None} and not omitted


def test_ids_that_are_empty_or_given_twice() -> None:
    def call(name: str, call_id: str) -> dict[str, Any]:
        return {"id": call_id, "function": {"name": name, "arguments": "{}"}}

    rows = [
        {"role": "assistant", "tool_calls": [call("a", ""), call("b", "")]},
        {"role": "tool", "name": "b", "content": "of b"},
        {"role": "tool", "name": "a", "content": "of a"},
        {"role": "assistant", "tool_calls": [call("a", "0")]},
        {"role": "tool", "tool_call_id": "0", "content": "first"},
        {"role": "assistant", "tool_calls": [call("a", "0")]},
        {"role": "tool", "tool_call_id": "0", "content": "second"},
        {"role": "tool", "tool_call_id": "lost", "content": "orphan"},
    ]
    found = messages_of(rows)
    names = {made.id: made.function.name for m in found for made in m.tool_calls or ()}
    assert len(names) == 4
    results = {m.content: m.tool_call_id for m in found if m.role == "tool"}
    assert names[results["of a"] or ""] == "a" and names[results["of b"] or ""] == "b"
    assert results["first"] == "0" and results["second"] in names and results["second"] != "0"
    assert results["orphan"] == "lost"


@pytest.mark.parametrize(
    ("written", "text", "unread"),
    [
        ('{"a": 1}', '{"a": 1}', 0),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}', 0),
        ("{'a': True, 'b': None}", '{"a": true, "b": null}', 0),
        (json.dumps('{"a": 1}'), '{"a": 1}', 0),
        ({"a": 1}, '{"a": 1}', 0),
        (None, "{}", 0),
        ("", "", 0),
        ("{'a': __import__('os')}", "{'a': __import__('os')}", 1),
        ("a=1", "a=1", 1),
        ('{"a": 1', '{"a": 1', 1),
    ],
)
def test_arguments(written: Any, text: str, unread: int) -> None:
    omitted: Counter[str] = Counter()
    assert arguments_text(written, omitted) == text
    assert omitted[UNREADABLE_ARGUMENTS] == unread


@pytest.mark.parametrize(
    ("value", "success"),
    [("true", True), ("False", False), ("success", True), ("FAILED", False), ("0", False), (1, True), (0.4, False)],
)
def test_verdicts_as_text(tmp_path: Path, value: Any, success: bool) -> None:
    (episode,) = imported(write_lines(tmp_path / "x.jsonl", [{"messages": SAID, "success": value}]), tmp_path / "out")
    assert episode.outcome.status == ("success" if success else "failure")


def test_a_word_that_is_no_verdict() -> None:
    with pytest.raises(BadInput, match="neither success nor failure"):
        verdict("perhaps", "success")


@pytest.mark.parametrize(
    "tools",
    [
        [{"type": "function", "function": {"name": "get", "description": "d", "parameters": {"type": "object"}}}],
        '[{"name": "get", "description": "d", "input_schema": {"type": "object"}}]',
        ['{"name": "get", "description": "d", "parameters": "{\\"type\\": \\"object\\"}"}'],
        {"get": {"description": "d", "parameters": {"type": "object"}}},
    ],
)
def test_tools_of_every_dialect(tools: Any) -> None:
    (tool,) = tools_of(tools)
    assert (tool.name, tool.description, tool.schema_dict()) == ("get", "d", {"type": "object"})


def test_messages_as_text_and_functions_as_tools(tmp_path: Path) -> None:
    row = {"messages": json.dumps(SAID), "functions": [{"name": "get"}], "success": True, "task_id": "NaN"}
    (episode,) = imported(write_lines(tmp_path / "x.jsonl", [row]), tmp_path / "out")
    assert len(episode.messages) == 2 and [tool.name for tool in episode.tools] == ["get"]


DUMP = {
    "reward": 0.0,
    "messages": [{"role": "system", "content": "# Retail agent policy"}, *SAID],
    "info": {
        "task": {"user_id": "u", "instruction": "Cancel it.", "actions": [], "outputs": ["54.04", 7]},
        "reward_info": {"reward": 0.0, "info": {"r_actions": 1.0, "r_outputs": 0.0}},
    },
    "total_cost": None,
}


def test_dumps_of_the_harness_without_task_ids(tmp_path: Path) -> None:
    other = json.loads(json.dumps(DUMP))
    other["info"]["task"]["instruction"] = "Return it."
    found = imported(write_json(tmp_path / "x.json", [DUMP, other, DUMP]), tmp_path / "out")
    assert [e.source.importer for e in found] == ["tau-bench"] * 3
    assert found[0].task_id == found[2].task_id != found[1].task_id and [e.trial for e in found] == [0, 0, 1]
    assert found[0].required_outputs == ("54.04", "7") and found[0].domain == "retail"
    bare = {**DUMP, "info": {}}
    (episode,) = imported(write_json(tmp_path / "y.json", [bare]), tmp_path / "bare")
    assert (episode.task_id, episode.required_outputs, episode.outcome.status) == ("y:0", None, "error")


SETS: dict[str, dict[str, Any]] = {
    "calls as turns": {
        "conversations": [
            {"from": "human", "value": "Hi"},
            {"from": "function_call", "value": '{"name": "get", "arguments": {"a": 1}}'},
            {"from": "observation", "value": '{"b": 2}'},
            {"from": "gpt", "value": "Done"},
        ],
        "system": "Be kind.",
        "tools": '[{"name": "get", "description": "d", "parameters": {}}]',
    },
    "calls in brackets": {
        "system": 'You can invoke:\n[{"name": "get", "description": "d"}]. Go.',
        "conversations": [
            {"from": "user", "value": "Hi"},
            {"from": "assistant", "value": "[get(a=1)]"},
            {"from": "tool", "value": '{"b": 2}'},
            {"from": "assistant", "value": "Done"},
        ],
    },
    "calls in markup": {
        "conversations": [
            {"from": "system", "value": '<tools>\n[{"type": "function", "function": {"name": "get"}}]\n</tools>'},
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": '<tool_call>\n{"name": "get", "arguments": {"a": 1}}\n</tool_call>'},
            {"from": "tool", "value": '<tool_response>\n{"name": "get", "content": {"b": 2}}\n</tool_response>'},
            {"from": "gpt", "value": "Done"},
        ]
    },
}


@pytest.mark.parametrize("name", SETS)
def test_sets_for_fine_tuning(tmp_path: Path, name: str) -> None:
    (episode,) = imported(write_json(tmp_path / "x.json", [SETS[name]]), tmp_path / "out")
    assert [m.role for m in episode.messages] == ["system", "user", "assistant", "tool", "assistant"]
    call, result = episode.messages[2:4]
    assert call.tool_calls is not None and call.content is None
    assert (call.tool_calls[0].function.name, call.tool_calls[0].function.parsed()) == ("get", {"a": 1})
    assert (result.content, result.tool_call_id) == ('{"b": 2}', call.tool_calls[0].id)
    assert [tool.name for tool in episode.tools] == ["get"] and episode.outcome.reason == "no outcome in the log"


def test_names_with_blanks_in_brackets(tmp_path: Path) -> None:
    calls = '[Market Trends API(kind="A(b), c=1", n=2), news.get()]'
    row = {"conversations": [{"from": "user", "value": "Hi"}, {"from": "assistant", "value": calls}]}
    (episode,) = imported(write_json(tmp_path / "x.json", [row]), tmp_path / "out")
    made = episode.messages[1].tool_calls or ()
    assert [(c.function.name, c.function.parsed()) for c in made] == [
        ("Market Trends API", {"kind": "A(b), c=1", "n": 2}),
        ("news.get", {}),
    ]


def _call(name: str, id_: str | None) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": "{}"}}


def _answers(rows: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(call.name, call.result) for call in calls_of(tuple(messages_of(rows)))]


@pytest.mark.parametrize(
    ("rows", "answers"),
    [
        pytest.param(
            [
                {"role": "assistant", "tool_calls": [_call("f", "a"), _call("g", "a")]},
                {"role": "tool", "tool_call_id": "a", "content": "R1"},
                {"role": "tool", "tool_call_id": "a", "content": "R2"},
            ],
            [("f", "R1"), ("g", "R2")],
            id="one id twice in a turn",
        ),
        pytest.param(
            [
                {"role": "assistant", "tool_calls": [_call("f", "a")]},
                {"role": "tool", "tool_call_id": "a", "content": "R1"},
                {"role": "assistant", "tool_calls": [_call("g", "a")]},
                {"role": "tool", "tool_call_id": "a", "content": "R2"},
            ],
            [("f", "R1"), ("g", "R2")],
            id="one id in two turns",
        ),
        pytest.param(
            [
                {"role": "assistant", "tool_calls": [_call("f", None)]},
                {"role": "user", "content": "Well?"},
                {"role": "assistant", "tool_calls": [_call("f", None)]},
                {"role": "tool", "content": "R2"},
            ],
            [("f", None), ("f", "R2")],
            id="no ids, the first call unanswered",
        ),
        pytest.param(
            [
                {"role": "assistant", "tool_calls": [_call("f", None)]},
                {"role": "tool", "tool_call_id": "zzz", "content": "R1"},
            ],
            [("f", "R1")],
            id="an id at the result only",
        ),
        pytest.param(
            [
                {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{}"},
                {"type": "function_call", "id": "fc_2", "call_id": "b", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "id": "o_1", "call_id": "b", "output": "R2"},
                {"type": "function_call_output", "id": "o_2", "call_id": "a", "output": "R1"},
            ],
            [("f", "R1"), ("f", "R2")],
            id="items with an id of their own",
        ),
        pytest.param(
            [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool-call", "id": None, "name": None, "toolCallId": key, "toolName": "f", "input": {}}
                        for key in "ab"
                    ],
                },
                {
                    "role": "tool",
                    "content": [{"type": "tool-result", "toolCallId": key, "output": f"R{key}"} for key in "ba"],
                },
            ],
            [("f", "Ra"), ("f", "Rb")],
            id="parts of the AI SDK",
        ),
        pytest.param(
            [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_call", "id": key, "tool_call": {"name": "f", "args": {}, "id": None}}
                        for key in "ab"
                    ],
                },
                *({"role": "tool", "tool_call_id": key, "content": f"R{key}"} for key in "ba"),
            ],
            [("f", "Ra"), ("f", "Rb")],
            id="an id beside what holds the name",
        ),
        pytest.param(
            [
                {
                    "role": "assistant",
                    "tool_calls": [_call("f", "1")],
                    "function_call": {"name": "f", "arguments": "{}"},
                },
                {"role": "tool", "tool_call_id": "1", "content": "R"},
            ],
            [("f", "R")],
            id="a call in both the old and the new field",
        ),
    ],
)
def test_results_go_to_their_calls(rows: list[dict[str, Any]], answers: list[tuple[str, str | None]]) -> None:
    assert _answers(rows) == answers


@pytest.mark.parametrize("place", ["tool", "function", "parameters"])
def test_a_role_beside_the_schema_is_kept(place: str) -> None:
    function: dict[str, Any] = {"name": "frob", "parameters": {"type": "object"}}
    tool: dict[str, Any] = {"type": "function", "function": function}
    {"tool": tool, "function": function, "parameters": function["parameters"]}[place]["x-fama-role"] = "read"
    (spec,) = tools_of([tool])
    assert spec.schema_dict() == {"type": "object", "x-fama-role": "read"}


@pytest.mark.parametrize("kind", [*sorted(THOUGHT_KINDS), "reasoning.text", "reasoning.summary"])
def test_thoughts_are_no_words_in_a_log_nor_in_a_live_reply(kind: str) -> None:
    parts = [{"type": kind, "text": "hm"}, {"type": "text", "text": "Hello"}]
    omitted = Counter[str]()
    assert read_logged_content(parts, "assistant", omitted).text == "Hello" and omitted == {THOUGHTS: 1}
    live = read_content(parts)
    assert (live.text, live.thoughts, live.unread) == (["Hello"], ["hm"], [])
    assert read_content([{"type": "thought", "thought": "hm"}]).thoughts == ["hm"]


@pytest.mark.parametrize("thought", [None, False])
def test_fields_that_a_part_leaves_empty_say_nothing_of_its_kind(thought: bool | None) -> None:
    """Gemini's clients write all of them: the answer was a call without a name in a log, and JSON in a live reply."""
    empty = {"function_call": None, "function_response": None, "inline_data": None, "thought": thought}
    omitted = Counter[str]()
    assert read_logged_content([{**empty, "text": "Hello"}], "assistant", omitted).text == "Hello" and not omitted
    assert read_content([{**empty, "text": "Hello"}]).text == ["Hello"]
    assert read_content([{**empty, "thought": True, "text": "hm"}]).thoughts == ["hm"]
    called = {**empty, "function_call": {"name": "f", "args": {}}, "text": None}
    assert [one.name for one in read_logged_content([called], "assistant", omitted).calls] == ["f"]


SYSTEMS: list[dict[str, Any]] = [
    {"system": "Be kind.", "messages": SAID},
    {"system": [{"type": "text", "text": "Be kind."}], "messages": json.dumps(SAID)},
    {"system_prompt": "Be kind.", "system": None, "messages": SAID},
    {"system": "Not this.", "messages": [{"role": "developer", "content": "Be kind."}, *SAID]},
]


@pytest.mark.parametrize("row", SYSTEMS)
def test_the_words_of_the_system_beside_the_messages(tmp_path: Path, row: dict[str, Any]) -> None:
    """As requests of Anthropic hold them; they were dropped in silence."""
    (episode,) = imported(write_lines(tmp_path / "x.jsonl", [{**row, "success": True}]), tmp_path / "out")
    assert said(episode.messages) == [("system", "Be kind."), ("user", "Hello"), ("assistant", "Hi")]


def test_an_episode_that_ended_in_an_error_has_no_reward(tmp_path: Path) -> None:
    rows = [{"messages": SAID, "error": "timeout", "reward": 0}, {"messages": SAID[:1], "success": True, "reward": 1}]
    failed, good = imported(write_lines(tmp_path / "x.jsonl", rows), tmp_path / "out")
    assert (failed.outcome.status, failed.reward, good.reward) == ("error", None, 1.0)


def test_a_turn_of_a_set_keeps_what_stands_beside_its_calls(tmp_path: Path) -> None:
    """Thoughts beside a call in markup were not counted, and calls of the turn's own were lost."""
    own = {"tool_calls": [{"id": "t", "function": {"name": "set", "arguments": "{}"}}]}
    markup = '<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call>'
    turns = [
        {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": markup, "reasoning_content": "hm"},
        {"from": "gpt", "value": markup, **own},
    ]
    (episode,) = imported(write_json(tmp_path / "x.json", [{"conversations": turns}]), tmp_path / "out")
    calls = [[call.function.name for call in m.tool_calls or ()] for m in episode.messages]
    assert calls == [[], ["get"], ["set"]] and episode.messages[2].content == markup
    assert episode.source.omitted == {THOUGHTS: 1}
