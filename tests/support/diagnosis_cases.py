"""Hand-made episodes for the diagnosis tests."""

import json
from typing import Any, Literal

from fama.episodes.records import (
    Episode,
    FunctionCall,
    GoldAction,
    Message,
    Outcome,
    ToolCall,
    ToolSpec,
)

POLICY = "You are an agent of a shop.\n- Verify the customer first.\n- Ask for a yes before a change."


def user(text: str) -> Message:
    return Message(role="user", content=text)


def agent(text: str) -> Message:
    return Message(role="assistant", content=text)


def call(name: str, result: Any, **arguments: Any) -> list[Message]:
    """A call and its result; a text result is given as it is."""
    text = result if isinstance(result, str) else json.dumps(result)
    made = ToolCall(id=f"id_{name}", function=FunctionCall(name=name, arguments=json.dumps(arguments)))
    return [
        Message(role="assistant", tool_calls=(made,)),
        Message(role="tool", content=text, tool_call_id=f"id_{name}"),
    ]


def gold(name: str, **arguments: Any) -> GoldAction:
    return GoldAction(name=name, arguments=json.dumps(arguments))


def tool(name: str, **parameters: Any) -> ToolSpec:
    schema = {"type": "object", "properties": parameters, "required": list(parameters)}
    return ToolSpec(name=name, description=name, parameters=json.dumps(schema))


def episode(
    *parts: Message | list[Message],
    actions: tuple[GoldAction, ...] | None = None,
    status: Literal["success", "failure"] = "failure",
    reason: str = "done",
    domain: str = "retail",
    benchmark: str = "tau-bench",
    tools: tuple[ToolSpec, ...] = (),
    detail: dict[str, float] | None = None,
    name: str = "e1",
    instruction: str | None = None,
) -> Episode:
    """An episode whose message 0 is the policy."""
    messages = [Message(role="system", content=POLICY)]
    for part in parts:
        messages += part if isinstance(part, list) else [part]
    return Episode(
        id=name,
        benchmark=benchmark,
        domain=domain,
        task_id="7",
        backbone="m",
        strategy="fc",
        messages=tuple(messages),
        tools=tools,
        outcome=Outcome(status=status, reason=reason),
        reward=float(status == "success"),
        reward_detail=detail or {},
        gold_actions=actions,
        instruction=instruction,
    )


def identified() -> list[Message]:
    """The usual opening: who speaks, messages 1 to 4."""
    return [
        user("Hi, I am Mia Li, zip 10001. Please return the brass lamp."),
        *call("find_user_id_by_name_zip", "mia_li_3668", first_name="Mia", last_name="Li", zip="10001"),
        agent("Thank you, I found you."),
    ]


ORDER = {
    "order_id": "#W100",
    "items": [
        {"item_id": "4001", "name": "lamp", "color": "brass", "price": 20.5},
        {"item_id": "4002", "name": "lamp", "color": "black", "price": 21.5},
    ],
}
RETURN = "return_delivered_order_items"
