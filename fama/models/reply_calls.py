"""Tool calls of a reply, in every form that servers give them, and every form in which they give none."""

import json
from typing import Any

from fama.episodes.foreign.logged_calls import entries_in, name_and_arguments
from fama.episodes.records import FunctionCall, ToolCall
from fama.text.clean import clean


def reply_calls(message: dict[str, Any], parts: list[dict[str, Any]]) -> tuple[ToolCall, ...]:
    """Return the calls of a reply's message: ``tool_calls``, else the legacy field, else those among its ``parts``.

    Servers that give a call in two of these places repeat it.
    """
    written = entries_in(message.get("tool_calls")) or entries_in(message.get("function_call")) or entries_in(parts)
    return tuple(_tool_call(call, n) for n, call in enumerate(written))


def _tool_call(call: Any, n: int) -> ToolCall:
    """Return a call; one without a name gets an empty one, which is a parse failure later."""
    call = call if isinstance(call, dict) else {"arguments": call}
    name, arguments = name_and_arguments(call)
    id_ = call.get("id")
    return ToolCall(
        id=clean(id_) if isinstance(id_, str) and id_ else f"call_{n}",
        function=FunctionCall(name=clean(name or ""), arguments=clean(_text(arguments))),
    )


def _text(arguments: Any) -> str:
    """Return arguments as JSON text; a text stays as the model wrote it, but for null, which is none."""
    if arguments is None or (isinstance(arguments, str) and arguments.strip() == "null"):
        return "{}"
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
