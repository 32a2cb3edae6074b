"""Requests of an agent for orders, each longer than the one before, and how advice on them is compared."""

import json
from typing import Any

from fama.advising.advice import Advice
from fama.settings import HelperSettings

PATTERNS = HelperSettings(reading="patterns")
SYSTEM = {"role": "system", "content": "Look an order up before you cancel it. Ask for a yes before every change."}
USER = {"role": "user", "content": "Please cancel my order W1, I do not need it."}


def tool(name: str, *arguments: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {one: {"type": "string"} for one in arguments}, "required": [*arguments]}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}


TOOLS = [tool("get_order", "order_id"), tool("cancel_order", "order_id")]


def called(name: str, content: str = "{}", call: str = "c1", **arguments: str) -> list[dict[str, Any]]:
    calls = [{"id": call, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}]
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": call, "content": content},
    ]


BUSY = [SYSTEM, USER, *called("get_order", '{"error": "busy, try again"}', order_id="W1")]
LOOKED_UP = [SYSTEM, USER, *called("get_order", '{"order_id": "W1", "status": "pending"}', order_id="W1")]
AGREED = [
    *LOOKED_UP,
    {"role": "assistant", "content": "Shall I cancel order W1?"},
    {"role": "user", "content": "Yes, please."},
]


def outcome(advice: Advice) -> tuple[Any, ...]:
    return advice.subset, advice.notes, advice.rejected, advice.session
