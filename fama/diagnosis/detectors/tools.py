"""Calls of tools that do not exist, and arguments that their schema does not allow."""

import re
from collections.abc import Iterator
from typing import Any

from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.episodes.records import Evidence, ToolSpec

_UNKNOWN = re.compile(r"\s*(error:?\s*)?unknown (action|tool|function)", re.IGNORECASE)
_SIGNATURE = re.compile(
    r"unexpected keyword|missing \d+ required|missing required|invalid arguments?|not of type", re.I
)
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield one finding per tool that does not exist, and one per call against its schema."""
    specs = {tool.name: tool for tool in trace.episode.tools}
    unknown: set[str] = set()
    for call in trace.calls:
        result = call.result or ""
        if (specs and call.name not in specs) or _UNKNOWN.match(result):
            if call.name not in unknown:
                unknown.add(call.name)
                yield Evidence(source="tool:unknown", category="CM", step=call.step, quote=call.quote())
            continue
        problem = (call.name in specs and violation(call, specs[call.name])) or (
            call.failed and _SIGNATURE.search(result) and "the tool refused its arguments"
        )
        if problem:
            quote = f"{problem}: {call.quote(140)}"
            yield Evidence(source="tool:schema", category="CM", step=call.step, quote=quote)


def violation(call: Call, tool: ToolSpec) -> str | None:
    """Return the first fault of a call against the names, types and enums of a tool's schema; None if there is none."""
    properties = tool.properties()
    missing = [name for name in tool.required() if name not in call.arguments]
    if missing:
        return f"{missing[0]} is missing"
    if not properties:
        return None
    further = tool.schema_dict().get("additionalProperties") not in (None, False)
    for name, value in call.arguments.items():
        if name not in properties:
            if further:
                continue
            return f"{name} is no argument"
        schema = properties[name]
        wanted, choices = schema.get("type"), schema.get("enum")
        if value is None and (schema.get("nullable") is True or (isinstance(choices, list) and None in choices)):
            continue
        if isinstance(wanted, str) and wanted in _TYPES and not _is(value, wanted):
            return f"{name} is not of type {wanted}"
        if choices and isinstance(choices, list) and value not in choices:
            return f"{name} is none of the allowed values"
    return None


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == "boolean"
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[wanted])
