"""Messages of τ²-bench: turns of text runs, and the ticks of voice runs."""

from typing import Any

from fama.episodes.foreign.fields import absent, cite, listed
from fama.errors import BadInput


def simulation_messages(simulation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a simulation's messages, several results of one message apart; of a voice run, made from its ticks.

    Raises:
        BadInput: a message is no object with a role.
    """
    rows = listed(simulation.get("messages"), "messages")
    if not rows and not absent(simulation.get("ticks")):
        rows = _of_ticks(listed(simulation["ticks"], "ticks"))
    found: list[dict[str, Any]] = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("role"), str):
            raise BadInput(f"messages[{index}] is {cite(row)}, no message with a role; is this a simulation of tau2?")
        inner = row.get("tool_messages")
        found += (
            [{"role": "tool", **one} for one in inner if isinstance(one, dict)] if isinstance(inner, list) else [row]
        )
    return found


def _of_ticks(ticks: list[Any]) -> list[dict[str, Any]]:
    """Return turns in the order in which they began; both sides may speak in one tick."""
    found: list[dict[str, Any]] = []
    speaking: dict[str, dict[str, Any] | None] = {}
    for tick in ticks:
        if not isinstance(tick, dict):
            raise BadInput(f"a tick is {cite(tick)}, not an object; is this a simulation of tau2?")
        for role, side in (("assistant", "agent"), ("user", "user")):
            chunk, calls = tick.get(f"{side}_chunk"), listed(tick.get(f"{side}_tool_calls"), "tool_calls")
            content = chunk.get("content") if isinstance(chunk, dict) else None
            turn = speaking.get(role)
            if isinstance(content, str) and content:
                if turn is None:
                    turn = found[-1] if found and _goes_on(found[-1], role) else {"role": role, "content": ""}
                    found += [] if found and turn is found[-1] else [turn]
                turn["content"] += content
            speaking[role] = turn if content else None
            if calls:
                found.append({"role": role, "content": None, "tool_calls": calls})
                speaking[role] = None
            results = listed(tick.get(f"{side}_tool_results"), "tool_results")
            found += [{"requestor": role, **one, "role": "tool"} for one in results if isinstance(one, dict)]
    return found


def _goes_on(row: dict[str, Any], role: str) -> bool:
    return row["role"] == role and not row.get("tool_calls")


def of_user_tools(message: dict[str, Any]) -> bool:
    """Return whether a message is a tool call of the user and no words, or its result."""
    if message["role"] == "tool":
        return message.get("requestor") == "user"
    return message["role"] == "user" and bool(message.get("tool_calls")) and not message.get("content")


def chat_message(message: dict[str, Any]) -> dict[str, Any]:
    """Return a chat message; a tool's result carries the id of its call."""
    row = {"role": message["role"], "content": message.get("content")}
    if message["role"] == "tool":
        return {**row, "tool_call_id": message.get("id"), "is_error": message.get("error") is True}
    calls = message.get("tool_calls")
    return {**row, "content": row["content"] or None, "tool_calls": calls} if calls else row
