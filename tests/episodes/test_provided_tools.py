"""Calls that a message holds twice, and tools that the provider of a model runs within the agent's own turn."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fama.dialogue.calls import calls_of
from fama.episodes.foreign.logged_answers import answered
from fama.episodes.foreign.logged_content import MEDIA, PARTS, THOUGHTS
from fama.episodes.foreign.logged_messages import messages_of
from fama.episodes.records import Message
from tests.support.foreign_logs import SAID, imported, write_lines

ASKED = {"role": "user", "content": "Where is W1?"}


def read(*rows: dict[str, Any]) -> list[tuple[str, str | None, list[tuple[str, str]]]]:
    """Return role, words and calls of every message."""
    return [
        (m.role, m.content, [(call.function.name, call.function.arguments) for call in m.tool_calls or ()])
        for m in messages_of(list(rows))
    ]


def block(**fields: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": "t", "name": "get", "input": {"a": 1}, **fields}


LISTED = {"type": "tool_call", "id": "t", "name": "get", "args": {"a": 1}}


@pytest.mark.parametrize(
    "inside",
    [
        block(),
        block(input={}, partial_json='{"a": 1}'),
        block(id=None),
        {"type": "function_call", "id": "fc_1", "call_id": "t", "name": "get", "arguments": '{"a": 1}'},
    ],
    ids=["Anthropic", "streamed", "without an id", "Responses"],
)
def test_a_call_in_the_content_and_in_its_own_field_is_one(inside: dict[str, Any]) -> None:
    """LangChain keeps both: the agent called everything twice, once without a result."""
    row = {"type": "ai", "content": [{"type": "text", "text": "One moment."}, inside], "tool_calls": [LISTED]}
    messages = messages_of([ASKED, row, {"type": "tool", "content": "got", "tool_call_id": "t"}])
    (call,) = calls_of(messages)
    assert (call.name, call.arguments, call.result) == ("get", {"a": 1}, "got")
    assert [m.content for m in messages] == ["Where is W1?", "One moment.", "got"]


def test_different_calls_in_both_places_are_kept() -> None:
    others = [block(id=None), block(id=None), block(id="u", input={"a": 2})]
    listed = [{**LISTED, "args": {"a": 1}}, {**LISTED, "id": "v", "args": {"a": 3}}]
    ((_, _, calls),) = read({"role": "assistant", "content": others, "tool_calls": listed})
    assert [json.loads(arguments)["a"] for _, arguments in calls] == [1, 1, 2, 3]


@pytest.mark.parametrize(
    "early",
    [
        {"tool_calls": [{"id": "t", "type": "function", "function": {"name": "get", "arguments": '{"a": 1}'}}]},
        {"function_call": {"name": "get", "arguments": '{"a": 1}'}},
        '{"function_call": {"name": "get", "arguments": {"a": 1}}}',
    ],
)
def test_calls_in_the_form_of_early_langchain(early: Any) -> None:
    row = {"type": "ai", "data": {"content": "", "additional_kwargs": early}}
    assert read(row) == [("assistant", "", [("get", '{"a": 1}')])]
    both = {"type": "ai", "content": "", "additional_kwargs": early, "tool_calls": [LISTED]}
    assert read(both) == [("assistant", "", [("get", '{"a": 1}')])]
    broken = {"name": "get", "args": "{", "id": "t"}
    assert read({**both, "tool_calls": [], "invalid_tool_calls": [broken]}) == [("assistant", "", [("get", "{")])]


def test_messages_of_llamaindex() -> None:
    inside = {"block_type": "tool_call", "tool_call_id": "t", "tool_name": "get", "tool_kwargs": {"a": 1}}
    beside = {"tool_calls": [{"id": "t", "function": {"name": "get", "arguments": '{"a": 1}'}}]}
    hm, text = {"block_type": "thinking", "content": "hm"}, {"block_type": "text", "text": "One moment."}
    result = {
        "role": "tool",
        "blocks": [{"block_type": "text", "text": "got"}],
        "additional_kwargs": {"tool_call_id": "t"},
    }
    for fields in ({"blocks": [hm, text, inside]}, {"blocks": [hm, text], "additional_kwargs": beside}):
        omitted = Counter[str]()
        messages = messages_of([ASKED, {"role": "assistant", **fields}, result], omitted)
        assert [m.content for m in messages[1:]] == ["One moment.", "got"] and omitted == {THOUGHTS: 1}
        assert messages[2].tool_call_id == "t"
        assert [(call.name, call.arguments, call.result) for call in calls_of(messages)] == [("get", {"a": 1}, "got")]


FOUND = [{"type": "web_search_result", "url": "u", "title": "W1 is sent"}]
SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "W1"}}
PROVIDED: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "Anthropic": (
        [SEARCH, {"type": "web_search_tool_result", "tool_use_id": "s", "content": FOUND}],
        "web_search",
        json.dumps(FOUND),
    ),
    "Anthropic's MCP": (
        [
            {"type": "mcp_tool_use", "id": "s", "name": "find", "server_name": "x", "input": {"q": "W1"}},
            {"type": "mcp_tool_result", "tool_use_id": "s", "content": [{"type": "text", "text": "sent"}]},
        ],
        "find",
        "sent",
    ),
    "Inspect": (
        [
            {
                **{"type": "tool_use", "tool_type": "mcp_call", "id": "s", "name": "find", "context": None},
                **{"arguments": '{"q": "W1"}', "result": "sent", "error": None},
            }
        ],
        "find",
        "sent",
    ),
    "AI SDK on pages": (
        [
            {"type": "step-start"},
            {
                "type": "tool-invocation",
                "toolInvocation": {
                    **{"state": "result", "toolCallId": "s", "toolName": "find"},
                    **{"args": {"q": "W1"}, "result": {"status": "sent"}},
                },
            },
        ],
        "find",
        '{"status": "sent"}',
    ),
    "AI SDK 5 on pages": (
        [{"type": "tool-find", "toolCallId": "s", "state": "output-available", "input": {"q": "W1"}, "output": "sent"}],
        "find",
        "sent",
    ),
    "AI SDK": (
        [
            {"type": "tool-call", "toolCallId": "s", "toolName": "find", "input": {"q": "W1"}},
            {"type": "tool-result", "toolCallId": "s", "output": {"type": "text", "value": "sent"}},
        ],
        "find",
        "sent",
    ),
}


@pytest.mark.parametrize("name", PROVIDED)
def test_results_in_the_agents_turn_stand_behind_their_calls(name: str) -> None:
    parts, tool, result = PROVIDED[name]
    text = {"type": "text", "text": "I look."}
    last = block(id="c")
    rows = [ASKED, {"role": "assistant", "content": [text, *parts, {**text, "text": "It is sent."}, last]}]
    messages = messages_of([*rows, {"role": "tool", "tool_call_id": "c", "content": "got"}])
    assert [(m.role, m.content) for m in messages[1:]] == [
        *(("assistant", "I look."), ("tool", result)),
        *(("assistant", "It is sent."), ("tool", "got")),
    ]
    found = [(call.name, call.arguments, call.result) for call in calls_of(messages)]
    assert found == [(tool, {"q": "W1"}, result), ("get", {"a": 1}, "got")]


def test_a_provided_tool_that_failed_is_flagged() -> None:
    part = {"type": "tool_use", "id": "s", "name": "find", "arguments": "{}", "result": "", "error": "no network"}
    _, result = messages_of([{"role": "assistant", "content": [part]}])
    assert (result.role, result.content, result.failed) == ("tool", "no network", True)


def test_parts_of_bedrock() -> None:
    rows = [
        {"role": "assistant", "content": [{"text": "hm"}, {"toolUse": {"toolUseId": "t", "name": "get", "input": {}}}]},
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "a"}, {"json": {"b": 1}}]}}],
        },
    ]
    omitted = Counter[str]()
    call, result = messages_of(rows, omitted)
    assert call.content == "hm" and call.tool_calls is not None and not omitted
    assert result == Message(role="tool", content='a\n{"b": 1}', tool_call_id="t")
    failed = {"toolUseId": "t", "content": [{"text": "No seats."}], "status": "error"}
    (refused,) = messages_of([{"role": "user", "content": [{"toolResult": failed}]}])
    assert (refused.content, refused.failed) == ("No seats.", True)


@pytest.mark.parametrize("kind", ["json", "text", "content", "error-json"])
def test_outputs_of_the_ai_sdk_are_what_the_tool_gave(kind: str) -> None:
    value: Any = {"text": "sent", "content": [{"type": "text", "text": "sent"}]}.get(kind, {"status": "sent"})
    part = {"type": "tool-result", "toolCallId": "t", "output": {"type": kind, "value": value}}
    (result,) = messages_of([{"role": "tool", "content": [part]}])
    assert result.content == ("sent" if kind in ("text", "content") else '{"status": "sent"}')
    assert result.failed is (True if kind == "error-json" else None)


def test_items_on_tools_of_the_provider_do_not_refuse_the_conversation() -> None:
    items = [
        {"type": "reasoning", "summary": []},
        {"type": "web_search_call", "id": "w", "status": "completed"},
        {"type": "mcp_call", "id": "m", "name": "get", "arguments": '{"a": 1}', "output": "got", "error": None},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is sent."}]},
    ]
    omitted = Counter[str]()
    for messages in (messages_of([ASKED, *items], omitted), answered([ASKED], {"output": items}, omitted)):
        assert [(m.role, m.content) for m in messages] == [
            *(("user", "Where is W1?"), ("assistant", None)),
            *(("tool", "got"), ("assistant", "It is sent.")),
        ]
        assert [(call.name, call.result) for call in calls_of(messages)] == [("get", "got")]
    assert omitted[PARTS] == 2


def test_tools_of_the_provider_are_counted_not_refused(tmp_path: Path) -> None:
    tools = [
        {"type": "web_search"},
        {"type": "mcp", "server_label": "x"},
        {"type": "function", "function": {"name": "f"}},
    ]
    path = write_lines(tmp_path / "x.jsonl", [{"messages": SAID, "success": True, "tools": tools}])
    (episode,) = imported(path, tmp_path / "out")
    assert [tool.name for tool in episode.tools] == ["f"]
    assert episode.source.omitted == {"tools of the provider": 2}


PIXELS = "iVBORw0KGgo" * 1000
TEXT_PART: dict[str, Any] = {"type": "text", "text": "It is broken."}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXELS}},
        {"type": "image", "data": PIXELS, "mimeType": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXELS}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXELS}"},
        {"type": "file", "file": {"file_data": PIXELS}},
    ],
)
def test_an_image_in_a_result_is_counted_and_no_text(part: dict[str, Any]) -> None:
    """Its bytes were the result's words, which helpers read and judges paid for."""
    shown = f"It is broken.\n[{part['type']}]"
    called = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": "{}"}}]}
    omitted: Counter[str] = Counter()
    plain = {"role": "tool", "tool_call_id": "c", "content": [TEXT_PART, part]}
    assert messages_of([called, plain], omitted)[-1].content == shown
    block = {"type": "tool_result", "tool_use_id": "c", "content": [TEXT_PART, part]}
    assert messages_of([called, {"role": "user", "content": [block]}], omitted)[-1].content == shown
    assert omitted == Counter({MEDIA: 2})


def test_an_image_in_a_result_of_bedrock_is_counted_and_no_text() -> None:
    image = {"image": {"format": "png", "source": {"bytes": PIXELS}}}
    result = {"toolUseId": "t", "content": [{"text": "It is broken."}, image]}
    omitted: Counter[str] = Counter()
    (told,) = messages_of([{"role": "user", "content": [{"toolResult": result}]}], omitted)
    assert (told.content, omitted) == ("It is broken.\n[image]", Counter({MEDIA: 1}))


WRITTEN = "Refunds take 5 days."


@pytest.mark.parametrize(
    "part",
    [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": WRITTEN}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": WRITTEN}]}},
        {"type": "document", "source": {"type": "content", "content": WRITTEN}, "title": "Policy"},
    ],
)
def test_the_words_of_a_document_in_a_result_are_read(part: dict[str, Any]) -> None:
    omitted: Counter[str] = Counter()
    told = "\n".join([*(["Policy"] if "title" in part else []), WRITTEN, "It is broken."])
    called = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": "{}"}}]}
    plain = {"role": "tool", "tool_call_id": "c", "content": [part, TEXT_PART]}
    assert messages_of([called, plain], omitted)[-1].content == told
    block = {"type": "tool_result", "tool_use_id": "c", "content": [part, TEXT_PART]}
    assert messages_of([called, {"role": "user", "content": [block]}], omitted)[-1].content == told
    given = {"document": {"format": "txt", "name": "Policy", "source": {"text": WRITTEN}}}
    found = {"toolUseId": "t", "content": [given, {"text": "It is broken."}]}
    (bedrock,) = messages_of([{"role": "user", "content": [{"toolResult": found}]}], omitted)
    assert bedrock.content == f"Policy\n{WRITTEN}\nIt is broken." and not omitted


@pytest.mark.parametrize(
    "row",
    [
        {"type": "file", "file": "a.txt"},
        {"type": "image", "name": "front", "url": "https://shop.example/1.png"},
        {"type": "document", "source": "archive"},
        {"type": "media", "data": "x"},
        {"type": "article", "source": {"text": "Refunds take 5 days."}, "score": 0.5},
        {"source": {"content": "Refunds take 5 days."}},
        {"type": "document", "source": {"text": "Refunds take 5 days."}, "score": 0.5},
    ],
)
def test_a_tools_data_about_files_stays(row: dict[str, Any]) -> None:
    told = messages_of([{"role": "tool", "tool_call_id": "c", "content": [row]}])[-1].content
    assert told is not None and json.loads(told) == [row]
