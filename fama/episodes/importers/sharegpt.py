"""Sets for fine-tuning that hold whole conversations: ShareGPT's form.

Tool use is read as APIGen-MT, ToolACE and Hermes write it. A turn is ``{"from", "value"}`` or ``{"role", "content"}``.
Calls stand in turns of their own (``function_call``), in markup (Hermes' ``<tool_call>``) or in brackets (ToolACE);
tools in ``tools`` or in the system prompt.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fama.episodes.foreign.fields import absent, cite, from_text, rows_of
from fama.episodes.foreign.logged_calls import ForeignCall, entries_in
from fama.episodes.foreign.logged_content import THOUGHTS
from fama.episodes.foreign.logged_messages import ROLES, as_call_row, with_system
from fama.episodes.foreign.logged_tools import tools_of
from fama.episodes.foreign.streams import read_records
from fama.episodes.importers.base import read_episodes_of
from fama.episodes.importers.openai_chat import chat_episode
from fama.episodes.records import Episode
from fama.errors import BadInput
from fama.text.bracket_calls import read_calls
from fama.text.markup import read_markup

_LISTED_TOOLS = re.compile(r"<tools>\s*(?P<tagged>.*?)\s*</tools>|(?P<bare>\[\s*\{)", re.DOTALL)
_RESPONSES = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)
#: A name before its brackets; ToolACE's hold blanks and slashes.
_NAMED = re.compile(r"(?:(?<=\[)|(?<=, )|^)\s*(?P<name>[^\[\](),='\"]+?)\s*\((?=[\w]+\s*=|\))")


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the conversations of a set; without ``success`` or ``reward`` the outcome is an error at the harness.

    Options ``benchmark``, ``domain``, ``backbone`` and ``strategy`` fill what records lack.

    Raises:
        BadInput: the file cannot be read, or no record holds a whole conversation.
    """

    def build(index: int, row: dict[str, Any]) -> Episode:
        omitted: Counter[str] = Counter()
        fields = {**row, "task_id": row.get("id") if absent(row.get("task_id")) else row["task_id"]}
        turns = _turns(row)
        system = "" if not turns or turns[0].get("role") != "system" else str(turns[0].get("content"))
        if absent(row.get("tools")) and absent(row.get("functions")):
            fields["tools"] = _tools_in(system)
        chat = [message for turn in turns for message in _messages(turn, omitted)]
        return chat_episode("sharegpt", path, index, fields, chat, options, omitted)

    yield from read_episodes_of("sharegpt", path, read_records(path), build, options)


def _turns(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the turns in chat form, the record's own system prompt first."""
    chat = row.get("messages") if absent(row.get("conversations")) else row["conversations"]
    if absent(chat):
        if "query" in row and "answers" in row:
            raise BadInput("holds a query and reference calls, no conversation; give a set of whole conversations")
        raise KeyError("conversations")
    turns = []
    for index, turn in enumerate(rows_of(chat, "conversations")):
        turn = from_text(turn)
        named = (turn.get("from") or turn.get("role")) if isinstance(turn, dict) else None
        if not isinstance(named, str) or named.lower() not in ROLES:
            raise BadInput(f"conversations[{index}]: unknown speaker {cite(named)}; write system, human, gpt or tool")
        content = turn.get("content") if turn.get("value") is None else turn["value"]
        turns.append({**turn, "from": None, "value": None, "role": named.lower(), "content": content})
    return with_system(turns, row)


def _messages(turn: dict[str, Any], omitted: Counter[str]) -> Iterator[dict[str, Any]]:
    role, content = turn["role"], turn.get("content")
    if not isinstance(content, str):
        yield turn
    elif role == "tool_call" or role == "function_call":
        found = from_text(content)
        yield {**turn, "role": role, "content": content if isinstance(found, str) else found}
    elif ROLES[role] == "tool":
        responses = _RESPONSES.findall(content) or [content]
        yield from ({**turn, "role": "tool", **_response(text)} for text in responses)
    elif ROLES[role] == "assistant":
        yield _assistant(turn, content, omitted)
    else:
        yield turn


def _assistant(turn: dict[str, Any], content: str, omitted: Counter[str]) -> dict[str, Any]:
    """Return the agent's turn with its calls, from brackets or markup; a text that cannot be read stays as it is."""
    if entries_in(turn.get("tool_calls")):
        return turn
    if calls := bracket_calls(content):
        return {**turn, **as_call_row(calls)}
    read_ = read_markup(content)
    if read_.problem:
        return turn
    omitted[THOUGHTS] += bool(read_.thought)
    if not read_.calls:
        return {**turn, "content": read_.words}
    found = [ForeignCall(None, call.name, json.dumps(call.arguments, ensure_ascii=False)) for call in read_.calls]
    return {**turn, **as_call_row(found, read_.words.strip() or None)}


def bracket_calls(text: str) -> list[ForeignCall]:
    """Return the calls of a text that is nothing but calls in brackets; names may hold blanks."""
    if not text.strip().startswith("["):
        return []
    names: list[str] = []

    def plain(match: re.Match[str]) -> str:
        names.append(match["name"].strip())
        return f"call_{len(names) - 1}("

    found = read_calls(_NAMED.sub(plain, text.strip()))
    if len(found) != len(names):
        return []
    return [
        ForeignCall(None, name, json.dumps(arguments, ensure_ascii=False))
        for name, (_, arguments) in zip(names, found, strict=True)
    ]


def _response(text: str) -> dict[str, Any]:
    """Return a tool's result; Hermes wraps it with the name of its tool."""
    value = from_text(text)
    if isinstance(value, dict) and set(value) <= {"name", "content", "tool_call_id"} and "content" in value:
        labels = {key: value[key] for key in ("name", "tool_call_id") if value.get(key) is not None}
        return {"content": value["content"], **labels}
    return {"content": text}


def _tools_in(system: str) -> list[Any] | None:
    """Return the tools that a system prompt lists as JSON, a list or a line each; None without any."""
    for match in _LISTED_TOOLS.finditer(system):
        text = match["tagged"] if match["tagged"] is not None else system[match.start() :]
        try:
            value, _ = json.JSONDecoder().raw_decode(text)
            if isinstance(value, dict):
                value = [json.loads(line) for line in text.splitlines() if line.strip()]
            tools_of(value)
        except (ValueError, BadInput):
            continue
        return list(value)
    return None
