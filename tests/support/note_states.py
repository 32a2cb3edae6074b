"""A small made-up domain (a library) and a way to write conversations in it, for tests of helpers."""

import asyncio
import json
from typing import Any

from fama.episodes.keys import EpisodeKey
from fama.episodes.records import FunctionCall, Message, Note, ToolCall, ToolSpec
from fama.episodes.state import VisibleState, turn_of
from fama.helpers.base import Helper, HelperContext

KEY = EpisodeKey("test", "library", "t1", 0, "nobody", "act")

POLICY = """You serve readers of a public library.
1. First verify the reader by card PIN. Do nothing before.
2. Before any change, tell the reader what you will do and wait for an explicit yes.
3. Only loans with status "active" can be renewed, at most 3 renewals.
4. Loans marked reserved cannot be renewed.
5. Ask for the pickup branch before you move a hold.
"""


def tool(name: str, description: str, *required: str, **choices: list[str]) -> ToolSpec:
    """A tool whose parameters are all required strings; ``choices`` have an enumeration."""
    properties: dict[str, Any] = {key: {"type": "string"} for key in required}
    properties |= {key: {"type": "string", "enum": words} for key, words in choices.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolSpec(name=name, description=description, parameters=json.dumps(schema))


TOOLS = (
    tool("find_reader", "Find a reader by e-mail.", "email"),
    tool("verify_reader", "Verify a reader by PIN.", "reader_id", "pin"),
    tool("list_loans", "List the loans of a reader.", "reader_id"),
    tool("get_loan", "Show one loan.", "loan_id"),
    tool("renew_loan", "Renew a loan.", "loan_id"),
    tool("cancel_hold", "Cancel a hold.", "hold_id"),
    tool("move_hold", "Move a hold to another branch.", "hold_id", "branch"),
    tool("close_case", "Close the case.", outcome=["resolved", "refused"]),
)


class Chat:
    """A conversation under construction."""

    def __init__(self, policy: str = POLICY, tools: tuple[ToolSpec, ...] = TOOLS) -> None:
        self.policy = policy
        self.tools = tools
        self.messages: list[Message] = []
        self.noted: list[tuple[int, Note]] = []

    def user(self, text: str) -> "Chat":
        """A user turn."""
        self.messages.append(Message(role="user", content=text))
        return self

    def say(self, text: str) -> "Chat":
        """Words of the agent."""
        self.messages.append(Message(role="assistant", content=text))
        return self

    def call(self, name: str, result: Any, **arguments: Any) -> "Chat":
        """A tool call and its result, given as data or text."""
        made = ToolCall(id=f"c{len(self.messages)}", function=FunctionCall(name=name, arguments=json.dumps(arguments)))
        text = result if isinstance(result, str) else json.dumps(result)
        self.messages.append(Message(role="assistant", tool_calls=(made,)))
        self.messages.append(Message(role="tool", content=text, tool_call_id=made.id, name=name))
        return self

    def verified(self, wish: str) -> "Chat":
        """A user with a wish, who has been verified."""
        self.user(wish).say("Your e-mail and PIN, please?").user("It is ada@mail.example, PIN 7741.")
        self.call("find_reader", {"reader_id": "R100"}, email="ada@mail.example")
        return self.call("verify_reader", {"verified": True}, reader_id="R100", pin="7741")

    def state(self) -> VisibleState:
        """The state before the next decision."""
        return VisibleState(self.policy, self.tools, tuple(self.messages), turn_of(self.messages), tuple(self.noted))

    def note(self, helper: Helper) -> str | None:
        """The helper's note for the next decision; it is remembered as given."""
        text = asyncio.run(helper.note(self.state(), HelperContext())).text
        if text is not None:
            self.noted.append((self.state().turn, Note(helper=helper.name, text=text, tokens=0)))
        return text


LOANS = {
    "loans": [
        {"loan_id": "L11", "title": "Moby Dick", "status": "active"},
        {"loan_id": "L22", "title": "Dracula", "status": "active"},
        {"loan_id": "L33", "title": "Emma", "status": "overdue"},
    ]
}


def busy_state() -> VisibleState:
    """A state between two requests, after a long list."""
    chat = Chat().verified("Renew loan L11.").user("And cancel hold H5, please.")
    return chat.call("list_loans", {**LOANS, "pad": "x " * 400}, reader_id="R100").state()
