"""Tool calls of a reply, in every form that servers give them, and every form in which they give none."""

import json
from typing import Any

from fama.episodes.foreign.calls import entries_in
from fama.episodes.foreign.fields import absent, from_text
from fama.episodes.records import FunctionCall, ToolCall
from fama.text.clean import clean

_HOLDERS = ("function", "custom")
_ARGUMENTS = ("arguments", "input", "parameters", "args")


def calls_of(message: dict[str, Any], parts: list[dict[str, Any]]) -> tuple[ToolCall, ...]:
    """Return the calls of a reply's message: ``tool_calls``, else the legacy field, else those among its ``parts``.

    Servers that give a call in two of these places repeat it.
    """
    written = entries_in(message.get("tool_calls")) or entries_in(message.get("function_call")) or entries_in(parts)
    return tuple(_tool_call(call, n) for n, call in enumerate(written))


def _tool_call(call: Any, n: int) -> ToolCall:
    """Return a call; one without a name gets an empty one, which is a parse failure later."""
    call = call if isinstance(call, dict) else {"arguments": call}
    name, arguments = _name_and_arguments(call)
    id_ = call.get("id")
    return ToolCall(
        id=clean(id_) if isinstance(id_, str) and id_ else f"call_{n}",
        function=FunctionCall(name=clean(name), arguments=clean(_text(arguments))),
    )


def _name_and_arguments(call: dict[str, Any]) -> tuple[str, Any]:
    """Return the name of a call, empty without one, and its arguments as they were given, None without any."""
    inner = next((from_text(call[key]) for key in _HOLDERS if call.get(key)), None)
    holder = inner if isinstance(inner, dict) else call
    name = holder.get("name") or (inner if isinstance(inner, str) else None)
    arguments = next((holder[key] for key in _ARGUMENTS if holder.get(key) is not None), None)
    return name if isinstance(name, str) and not absent(name) else "", arguments


def _text(arguments: Any) -> str:
    """Return arguments as JSON text; a text stays as the model wrote it, but for null, which is none."""
    if arguments is None or (isinstance(arguments, str) and arguments.strip() == "null"):
        return "{}"
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
