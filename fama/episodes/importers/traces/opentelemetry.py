"""OpenTelemetry spans of a model's calls: OTLP JSON, or one span per record as SDKs and Phoenix write them.

The messages stand in attributes, under one of three conventions: OpenTelemetry's (``gen_ai.input.messages``, before
``gen_ai.prompt.0.content``), OpenInference's (``llm.input_messages.0.message.content``) and Langfuse's
(``langfuse.observation.input``).
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fama.episodes.foreign.fields import absent, from_text, name_of
from fama.episodes.foreign.streams import LogRecord, read_records
from fama.episodes.importers.traces.langfuse import answer_of, request_of, tools_of_input
from fama.episodes.importers.traces.traced_calls import TOLD, TracedCall, traced_episodes
from fama.episodes.records import Episode

_LACKING = "no span with messages in its attributes; let the agent's tracing capture the content of messages"
_THREADS = (
    "gen_ai.conversation.id",
    "session.id",
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
)
_MODELS = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "langfuse.observation.model.name")
_TOOLS = ("gen_ai.tool.definitions", "llm.tools", "llm.request.functions")
#: The event that holds messages where the span itself does not.
_DETAILS = "gen_ai.client.inference.operation.details"
#: A status of error, as numbers and names.
_ERRORS = frozenset({"2", "ERROR", "STATUS_CODE_ERROR", "STATUSCODE.ERROR"})
#: Levels that the dots of a name may make; conventions have eight.
_LEVELS = 20
_SCALARS = ("stringValue", "intValue", "doubleValue", "boolValue")


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the conversations of spans: exports of OTLP JSON, or one span per record.

    Spans hold no outcome: it is an attribute ``success`` or ``reward`` of the root span, its status of error, else an
    error at the harness. Options ``benchmark``, ``domain``, ``backbone`` and ``strategy`` fill what spans lack.

    Raises:
        BadInput: the file cannot be read or no span has messages.
    """
    yield from traced_episodes("opentelemetry", path, _nodes(path), _LACKING, options)


def _nodes(path: Path) -> Iterator[LogRecord | TracedCall]:
    for record in read_records(path):
        spans = [] if record.fault or not isinstance(record.value, dict) else list(_spans(record.value))
        yield from (_node(record.place, span) for span in spans)
        if not spans:
            yield record


def _spans(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the spans of a record: those of an export, else itself."""
    if "resourceSpans" not in record:
        if "attributes" in record or "context.trace_id" in record:
            yield record
        return
    for resource in _objects(record["resourceSpans"]):
        for scope in _objects(resource.get("scopeSpans")):
            yield from _objects(scope.get("spans"))


def _node(place: str, span: dict[str, Any]) -> TracedCall:
    tree = _tree(_attributes(span))
    held = span.get("context")
    context: dict[str, Any] = held if isinstance(held, dict) else {}
    traces = (span.get("traceId"), span.get("trace_id"), span.get("context.trace_id"), context.get("trace_id"))
    parents = (span.get("parentSpanId"), span.get("parent_id"), span.get("parent_span_id"))
    times = (span.get("startTimeUnixNano"), span.get("start_time"))
    return TracedCall(
        place,
        next(filter(None, map(name_of, traces)), place),
        len(_request(tree)),
        next((str(time) for time in times if not absent(time)), ""),
        partial(_fields, tree),
        name_of(_first(tree, _THREADS)),
        _told(span, tree) if all(map(absent, parents)) else {},
    )


def _told(span: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """Return what a root says of how the conversation ended."""
    told = {key: tree[key] for key in TOLD[1:] if not absent(tree.get(key))}
    status = span["status"] if isinstance(span.get("status"), dict) else {}
    code = status.get("code") or status.get("status_code") or span.get("status_code")
    if str(code).upper() in _ERRORS:
        words = (status.get("message"), status.get("description"), span.get("status_message"))
        told["error"] = next((text for text in words if not absent(text)), "the trace ended in an error")
    return told


def _fields(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a chat record."""
    given = from_text(_at(tree, "llm.invocation_parameters"))
    temperature = _at(tree, "gen_ai.request.temperature")
    if absent(temperature) and isinstance(given, dict):
        temperature = given.get("temperature")
    return {
        "messages": [*_request(tree), *_answer(tree)],
        "tools": [_tool(tool) for tool in _listed(_first(tree, _TOOLS))]
        or tools_of_input(_at(tree, "langfuse.observation.input")),
        "model": _first(tree, _MODELS),
        "temperature": temperature,
    }


def _request(tree: dict[str, Any]) -> list[Any]:
    """Return the messages that the model was given."""
    rows = _listed(_at(tree, "gen_ai.input.messages"))
    told = _listed(_at(tree, "gen_ai.system_instructions"))
    if rows and told and not any(isinstance(row, dict) and row.get("role") == "system" for row in rows):
        rows = [{"role": "system", "parts": told}, *rows]
    return (
        rows
        or [_indexed(row) for row in _listed(_at(tree, "gen_ai.prompt"))]
        or [_inferred(row) for row in _listed(_at(tree, "llm.input_messages"))]
        or request_of(_at(tree, "langfuse.observation.input"))
    )


def _answer(tree: dict[str, Any]) -> list[Any]:
    """Return what the model answered; of several choices the first."""
    rows = (
        _listed(_at(tree, "gen_ai.output.messages"))[:1]
        or [_indexed(row) for row in _listed(_at(tree, "gen_ai.completion"))[:1]]
        or [_inferred(row) for row in _listed(_at(tree, "llm.output_messages"))]
        or answer_of(_at(tree, "langfuse.observation.output"))
    )
    return [{"role": "assistant", **row} if isinstance(row, dict) else row for row in rows]


def _indexed(row: Any) -> Any:
    """Return a message whose lists were written as numbered attributes, its content perhaps as JSON text of parts."""
    if isinstance(row, dict):
        row = {key: _indexed(value) for key, value in row.items()}
        content = from_text(row.get("content"))
        if isinstance(content, list) and all(isinstance(part, dict) and "type" in part for part in content):
            row["content"] = content
        if row and all(key.isdecimal() for key in row):
            return _listed(row)
    return row


def _inferred(row: Any) -> Any:
    """Return a message of OpenInference, which wraps messages, parts and calls."""
    message = _inside(row, "message")
    if not isinstance(message, dict):
        return message
    parts = [_inside(part, "message_content") for part in _listed(message.get("contents"))]
    calls = [_inside(call, "tool_call") for call in _listed(message.get("tool_calls"))]
    said = {key: value for key, value in message.items() if key != "contents"}
    return {**said, "content": parts or message.get("content"), "tool_calls": calls}


def _tool(tool: Any) -> Any:
    """Return a tool's definition, which OpenInference wraps."""
    inner = _inside(tool, "tool")
    return inner.get("json_schema", inner) if isinstance(inner, dict) else inner


def _inside(value: Any, key: str) -> Any:
    """Return what an object wraps under a key, also as ``key.name``; the value itself where it wraps nothing."""
    tree = _tree(value) if isinstance(value, dict) else {}
    return tree.get(key, value)


def _attributes(span: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span and of its events that may hold messages in their place.

    They are pairs of OTLP, an object, or columns ``attributes.name`` of a table.
    """
    columns = {key.removeprefix("attributes."): span[key] for key in span if key.startswith("attributes.")}
    details = [event for event in _objects(span.get("events")) if event.get("name") == _DETAILS]
    return {
        key: value for holder in (*details, span) for key, value in _pairs(holder.get("attributes")).items()
    } | columns


def _pairs(given: Any) -> dict[str, Any]:
    if isinstance(given, list):
        return {str(pair.get("key")): _value(pair.get("value")) for pair in _objects(given)}
    return given if isinstance(given, dict) else {}


def _value(value: Any) -> Any:
    """Return a value of OTLP, which names its type."""
    if not isinstance(value, dict):
        return value
    if isinstance(pairs := value.get("kvlistValue"), dict):
        return _pairs(_listed(pairs.get("values")))
    if isinstance(rows := value.get("arrayValue"), dict):
        return [_value(row) for row in _listed(rows.get("values"))]
    return next((value[kind] for kind in _SCALARS if kind in value), None)


def _tree(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as a tree, from names with dots; below a value that is no object nothing is put."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".", _LEVELS)
        node: Any = tree
        for step in path:
            node = node.setdefault(step, {}) if isinstance(node, dict) else node
        if isinstance(node, dict) and not isinstance(node.get(last), dict):
            node[last] = value
    return tree


def _at(tree: dict[str, Any], name: str) -> Any:
    node: Any = tree
    for step in name.split("."):
        node = node.get(step) if isinstance(node, dict) else None
    return node


def _first(tree: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((value for name in names if not absent(value := _at(tree, name))), None)


def _listed(value: Any) -> list[Any]:
    """Return a list, also from JSON text or from numbered attributes; empty where it is none."""
    value = from_text(value)
    if isinstance(value, dict) and value and all(key.isdecimal() for key in value):
        return [value[key] for key in sorted(value, key=int)]
    return value if isinstance(value, list) else []


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in _listed(value) if isinstance(one, dict)]
