"""Spans of OpenTelemetry: attributes as instrumentations of the OpenAI client write them, in three forms of files."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.foreign_logs import imported, write_json, write_lines

Flat = dict[str, Any]
SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
TOOL = {"name": "get_order", "description": "Look an order up.", "parameters": SCHEMA}
GIVEN = '{"order_id": "A1"}'
#: As opentelemetry-instrumentation-openai 0.62 writes them.
STANDARD: Flat = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "small",
    "gen_ai.request.temperature": 0.2,
    "gen_ai.input.messages": json.dumps(
        [
            {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Where is A1?"}]},
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "name": "get_order", "id": "c1", "arguments": {"order_id": "A1"}}],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "shipped"}]},
        ]
    ),
    "gen_ai.tool.definitions": json.dumps([{"type": "function", **TOOL}]),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "On its way."}], "finish_reason": "stop"}]
    ),
}
#: As it wrote them before.
NUMBERED: Flat = {
    "gen_ai.request.model": "small",
    "gen_ai.request.temperature": 0.2,
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Be kind.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": '[{"type": "text", "text": "Where is A1?"}]',
    "gen_ai.prompt.2.role": "assistant",
    "gen_ai.prompt.2.tool_calls.0.id": "c1",
    "gen_ai.prompt.2.tool_calls.0.name": "get_order",
    "gen_ai.prompt.2.tool_calls.0.arguments": GIVEN,
    "gen_ai.prompt.3.role": "tool",
    "gen_ai.prompt.3.tool_call_id": "c1",
    "gen_ai.prompt.3.content": "shipped",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "On its way.",
    "gen_ai.completion.1.role": "assistant",
    "gen_ai.completion.1.content": "Another choice.",
    "llm.request.functions.0.name": "get_order",
    "llm.request.functions.0.description": "Look an order up.",
    "llm.request.functions.0.parameters": json.dumps(SCHEMA),
}
CALL = "llm.input_messages.2.message.tool_calls.0.tool_call"
#: As openinference-instrumentation-openai 0.1.66 writes them.
INFERENCE: Flat = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "small",
    "llm.invocation_parameters": '{"model": "small", "temperature": 0.2}',
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be kind.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "Where is A1?",
    "llm.input_messages.2.message.role": "assistant",
    f"{CALL}.id": "c1",
    f"{CALL}.function.name": "get_order",
    f"{CALL}.function.arguments": GIVEN,
    "llm.input_messages.3.message.role": "tool",
    "llm.input_messages.3.message.content": "shipped",
    "llm.input_messages.3.message.tool_call_id": "c1",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "On its way.",
    "llm.tools.0.tool.json_schema": json.dumps({"type": "function", "function": TOOL}),
}
CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Where is A1?"},
    {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "get_order", "arguments": GIVEN}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "shipped"},
]
LANGFUSE: Flat = {
    "langfuse.observation.model.name": "small",
    "gen_ai.request.temperature": 0.2,
    "langfuse.observation.input": json.dumps({"tools": [{"type": "function", "function": TOOL}], "messages": CHAT}),
    "langfuse.observation.output": "On its way.",
}
#: The columns of a table, as Phoenix exports it: lists of objects with dotted names.
COLUMNS: Flat = {
    "llm.model_name": "small",
    "llm.invocation_parameters": '{"temperature": 0.2}',
    "llm.input_messages": [
        {"message.role": "system", "message.content": "Be kind."},
        {"message.role": "user", "message.content": "Where is A1?"},
        {
            "message.role": "assistant",
            "message.tool_calls": [
                {
                    "tool_call.id": "c1",
                    "tool_call.function.name": "get_order",
                    "tool_call.function.arguments": GIVEN,
                }
            ],
        },
        {"message.role": "tool", "message.content": "shipped", "message.tool_call_id": "c1"},
    ],
    "llm.output_messages": [{"message.role": "assistant", "message.content": "On its way."}],
    "llm.tools": [{"tool.json_schema": json.dumps({"type": "function", "function": TOOL})}],
}
DIALECTS = {"standard": STANDARD, "numbered": NUMBERED, "inference": INFERENCE, "langfuse": LANGFUSE, "table": COLUMNS}
FIRST: Flat = {"gen_ai.input.messages": json.dumps(CHAT[:2]), "gen_ai.output.messages": json.dumps([CHAT[2]])}


def sdk(attributes: Flat, number: int, parent: str | None = "0x0", **more: Any) -> dict[str, Any]:
    """A span as the SDK's console exporter writes it."""
    context = {"trace_id": "0xabc", "span_id": f"0x{number}", "trace_state": "[]"}
    times = {"start_time": f"2026-11-30T22:43:0{number}.1Z", "end_time": "2026-11-30T22:44:00.1Z"}
    span = {"name": "chat", "context": context, "parent_id": parent, **times, "status": {"status_code": "UNSET"}}
    return {**span, "attributes": attributes, "events": [], **more}


def otlp(span: dict[str, Any]) -> dict[str, Any]:
    def value(of: Any) -> Any:
        if isinstance(of, list):
            return {"arrayValue": {"values": [value(one) for one in of]}}
        if isinstance(of, dict):
            return {"kvlistValue": {"values": [{"key": key, "value": value(one)} for key, one in of.items()]}}
        return {"doubleValue": of} if isinstance(of, float) else {"stringValue": of}

    ids = {"traceId": span["context"]["trace_id"], "spanId": span["context"]["span_id"]}
    parent = {} if span["parent_id"] is None else {"parentSpanId": span["parent_id"]}
    pairs = [{"key": key, "value": value(of)} for key, of in span["attributes"].items()]
    return {**ids, **parent, "name": "chat", "startTimeUnixNano": span["context"]["span_id"], "attributes": pairs}


def row(span: dict[str, Any]) -> dict[str, Any]:
    """A span as a row of Phoenix's table."""
    columns = {f"attributes.{key}": of for key, of in span["attributes"].items()}
    place = {"context.trace_id": span["context"]["trace_id"], "parent_id": span["parent_id"]}
    return {"name": "chat", "start_time": span["start_time"], "status_code": "OK", **place, **columns}


def written(folder: Path, form: str, spans: list[dict[str, Any]]) -> Path:
    if form == "sdk":
        return write_lines(folder / "spans.jsonl", spans)
    if form == "table":
        return write_json(folder / "spans.json", [row(span) for span in spans])
    groups = [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [otlp(span)]}]} for span in spans]
    exports = [{"resourceSpans": groups}] if form == "otlp" else [{"resourceSpans": [one]} for one in groups]
    return (
        write_lines(folder / "spans.jsonl", exports) if form == "lines" else write_json(folder / "s.json", exports[0])
    )


@pytest.mark.parametrize("form", ["sdk", "otlp", "lines", "table"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_trace_is_the_conversation_of_its_last_call(tmp_path: Path, form: str, dialect: str) -> None:
    spans = [sdk(DIALECTS[dialect], 2), sdk(FIRST, 1), sdk({}, 0, None)]
    (episode,) = imported(written(tmp_path, form, spans), tmp_path / "out")
    said = [(m.role, m.content, m.tool_call_id) for m in episode.messages]
    assert said == [
        ("system", "Be kind.", None),
        ("user", "Where is A1?", None),
        ("assistant", None, None),
        ("tool", "shipped", "c1"),
        ("assistant", "On its way.", None),
    ]
    (call,) = episode.messages[2].tool_calls or ()
    assert (call.id, call.function.name, call.function.parsed()) == ("c1", "get_order", {"order_id": "A1"})
    (tool,) = episode.tools
    assert (tool.name, tool.description, tool.schema_dict()) == ("get_order", "Look an order up.", SCHEMA)
    assert (episode.task_id, episode.backbone, episode.settings) == ("0xabc", "small", "temperature=0.2")
    assert episode.source.importer == "opentelemetry" and episode.outcome.reason == "no outcome in the log"


def test_a_root_says_how_it_ended_and_traces_of_a_session_are_one(tmp_path: Path) -> None:
    thread = {"session.id": "s1"}
    other: dict[str, Any] = {"context": {"trace_id": "0xdef"}}
    spans = [
        sdk({**FIRST, **thread}, 1),
        sdk({**INFERENCE, **thread}, 2, **other),
        sdk({"success": True}, 0, None, **other),
        sdk(FIRST, 3, context={"trace_id": "0x9"}),
        sdk({}, 0, None, context={"trace_id": "0x9"}, status={"status_code": "ERROR", "description": "timed out"}),
    ]
    whole, failed = imported(written(tmp_path, "sdk", spans), tmp_path / "out")
    assert (whole.task_id, len(whole.messages), whole.outcome.status) == ("s1", 5, "success")
    assert (failed.outcome.status, failed.outcome.reason) == ("error", "timed out")


def test_instructions_that_stand_apart_come_first(tmp_path: Path) -> None:
    told = json.dumps([{"type": "text", "content": "Be kind."}])
    for place, said in (("apart", CHAT[1:2]), ("twice", CHAT[:2])):
        asked = {"gen_ai.input.messages": json.dumps(said), "gen_ai.system_instructions": told}
        (episode,) = imported(written(tmp_path / place, "sdk", [sdk(asked, 1)]), tmp_path / place / "out")
        assert [(m.role, m.content) for m in episode.messages] == [("system", "Be kind."), ("user", "Where is A1?")]


def test_messages_may_stand_in_an_event_of_the_span(tmp_path: Path) -> None:
    events = [
        {"name": "exception", "attributes": FIRST},
        {"name": "gen_ai.client.inference.operation.details", "attributes": STANDARD},
    ]
    (episode,) = imported(
        written(tmp_path, "sdk", [sdk({"gen_ai.request.model": "big"}, 1, events=events)]), tmp_path / "out"
    )
    assert (len(episode.messages), episode.backbone) == (5, "big")


@pytest.mark.parametrize(
    "odd",
    [
        {"gen_ai": 5, "llm": [], "session": None},
        {"gen_ai.prompt." + "a." * 5_000 + "b": 1},
        {"gen_ai.prompt.²": {"role": "user"}, "gen_ai.prompt.0": 3},
        {"llm.input_messages.0": {"message": 4}, "llm.tools": [7], "llm.invocation_parameters": "[1]"},
        {"gen_ai.input.messages": "[", "gen_ai.output.messages": "{}", "langfuse.observation.input": "null"},
    ],
)
def test_odd_attributes_are_no_messages_or_a_fault_of_their_own_trace(tmp_path: Path, odd: Flat) -> None:
    spans = [sdk(odd, 1), sdk(STANDARD, 2, context={"trace_id": "0xdef"})]
    broken, whole = imported(written(tmp_path, "sdk", spans), tmp_path / "out")
    assert (broken.outcome.boundary, len(whole.messages)) == ("harness", 5)
    assert (broken.outcome.reason or "").startswith("unreadable record: ")


def test_spans_without_messages_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "sdk", [sdk({"gen_ai.request.model": "small"}, 1), sdk({}, 0, None)])
    assert imported(path, tmp_path / "out", code=2) == []
    said = capsys.readouterr().err
    assert "spans.jsonl:1: no span with messages in its attributes; let the agent's tracing capture" in said
    assert said.count("\n") == 1 and not (tmp_path / "out").exists()
    assert imported(write_json(tmp_path / "empty.json", {"resourceSpans": []}), tmp_path / "out", code=2) == []
