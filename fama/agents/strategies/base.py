"""The strategy contract: history in, prompt out; reply in, action out. And what strategies share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol

from fama.agents.strategies.parser import ParseFailure
from fama.envs.base import Action
from fama.episodes.records import ROLE_KEY, Message, ToolCall, ToolSpec
from fama.episodes.state import RESPOND
from fama.models.base import ChatReply
from fama.models.prefix import shown
from fama.registry import Registry

Placement = Literal["assistant", "user", "system"]
Chat = dict[str, Any]


@dataclass(frozen=True)
class Prompt:
    """One request's content. ``note_prefix`` is the part of ``prefill`` that is a note, not the model's words."""

    messages: tuple[Chat, ...]
    prefill: str = ""
    tools: tuple[Chat, ...] = ()
    stop: tuple[str, ...] = ()
    note_prefix: str = ""

    def without_note(self, text: str) -> str:
        """Return a reply's text without the note that opens it, also where the white space around that differs."""
        if text.startswith(self.note_prefix):
            return text[len(self.note_prefix) :]
        note, bare = self.note_prefix.strip(), text.lstrip()
        behind = bare[len(note) :]
        return behind.lstrip() if bare.startswith(note) and not behind[:1].isalnum() else text

    def repaired(self, reply: str, complaint: str) -> "Prompt":
        """Return the prompt of the repair round: the bad reply and a complaint at its end, the note not repeated."""
        extra = ({"role": "assistant", "content": shown(reply)}, {"role": "user", "content": complaint})
        prefill = self.prefill.removeprefix(self.note_prefix)
        return replace(self, messages=(*self.messages, *extra), prefill=prefill, note_prefix="")


class Written(NamedTuple):
    """The reply of a backbone for an action: text and native calls, without a note or a prefill of its own."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()


class Strategy(Protocol):
    """Writes prompts for a backbone and reads its replies.

    Leaving the note away, the prompt of a turn is a prefix of the next turn's, so that a server's
    prefix cache holds. Notes are not part of ``messages``.
    """

    name: str
    template: str

    def prompt(
        self,
        messages: Sequence[Message],
        policy: str,
        tools: Sequence[ToolSpec],
        demonstrations: Sequence[Sequence[Message]] = (),
        note: str = "",
        placement: Placement = "assistant",
    ) -> Prompt:
        """Return the prompt of the coming decision. ``messages`` has no system message."""
        ...

    def parse(self, reply: ChatReply, prompt: Prompt, tools: Sequence[ToolSpec]) -> Action | ParseFailure:
        """Return the reply's action; the ``text`` of a tool call is the thought before it."""
        ...

    def write(self, message: Message) -> Written:
        """Return a reply that ``parse`` reads as an assistant's message: what is left of a recorded one."""
        ...


STRATEGIES: Registry[type[Strategy]] = Registry(
    "strategies",
    {
        "act": "fama.agents.strategies.act:Act",
        "react": "fama.agents.strategies.react:React",
        "fc": "fama.agents.strategies.fc:FunctionCalling",
    },
)


#: Levels of lists in lists that a signature shows.
_DEEPEST = 8


class Turn(NamedTuple):
    """One rendered chat turn."""

    role: str
    content: str


def action_json(name: str, arguments: dict[str, Any]) -> str:
    """Return an action as one line of JSON, the only form in which text strategies show and expect one."""
    return json.dumps({"tool": name, "arguments": arguments}, ensure_ascii=False)


@lru_cache(maxsize=8192)
def message_actions(message: Message) -> tuple[str, ...]:
    """Return an assistant message as action lines: its tool calls, or its words as ``respond``."""
    if message.tool_calls:
        return tuple(action_json(call.function.name, call.function.parsed()) for call in message.tool_calls)
    return (action_json(RESPOND, {"text": message.content or ""}),)


def user_turn(message: Message) -> Turn:
    """Return a user's or tool's message as a user turn of a text strategy."""
    who = "Tool result" if message.role == "tool" else "Customer"
    return Turn("user", f"{who}: {message.content or ''}")


@lru_cache(maxsize=1024)
def signature(tool: ToolSpec) -> str:
    """Return a tool in one line: ``name(argument: type, other?: type) - description``."""
    required = set(tool.required())
    parts = []
    for name, value in tool.properties().items():
        optional = "" if name in required else "?"
        hint = f" ({value['description']})" if value.get("description") else ""
        parts.append(f"{name}{optional}: {_kind(value)}{hint}")
    return f"{tool.name}({', '.join(parts)}) - {' '.join(tool.description.split())}"


def tool_json(tool: ToolSpec) -> Chat:
    """Return a tool in the OpenAI form of native function calling, without its role: servers refuse unknown keys."""
    schema = {key: value for key, value in tool.schema_dict().items() if key != ROLE_KEY}
    function = {"name": tool.name, "description": tool.description, "parameters": schema}
    return {"type": "function", "function": function}


def place_note(messages: list[Chat], note: str, placement: Placement) -> str:
    """Put a note at the end of the prompt; return what it puts before the assistant's own words.

    ``messages`` is changed in place when the note goes to the last turn or to a system turn.
    """
    if not note:
        return ""
    line = f"Note: {' '.join(note.split())}"
    if placement == "assistant":
        return f"{line}\n"
    if placement == "system":
        messages.append({"role": "system", "content": line})
    else:
        messages[-1] = {**messages[-1], "content": _with_line(messages[-1].get("content"), line)}
    return ""


def _with_line(content: Any, line: str) -> Any:
    """Return a message's content with a line at its end: a text, or a list of parts with one more."""
    if isinstance(content, dict):
        content = [content]
    if isinstance(content, list | tuple):
        return [*content, {"type": "text", "text": line}]
    return f"{content or ''}\n\n{line}"


def _kind(value: Any, depth: int = 0) -> str:
    """Return a parameter's type in words; ``any`` where its schema says none or is no schema."""
    if not isinstance(value, dict) or depth > _DEEPEST:
        return "any"
    if isinstance(value.get("enum"), list):
        return "|".join(json.dumps(option) for option in value["enum"])
    kind = value.get("type") or "any"
    if kind == "array":
        return f"list[{_kind(value.get('items'), depth + 1)}]"
    return "|".join(map(str, kind)) if isinstance(kind, list) else str(kind)
