"""Answers beside a conversation: logs of requests and responses keep the agent's last turn in a field of its own."""

from collections import Counter
from typing import Any

from fama.episodes.foreign.fields import absent, cite, from_text, name_of, rows_of
from fama.episodes.foreign.logged_messages import is_row, messages_of
from fama.episodes.records import Message
from fama.errors import BadInput

FURTHER = "further answers beside the messages"
_FIELDS = ("response", "choices", "completion", "output")
#: What holds the message of a response, and what says something in a message.
_INSIDE = ("choices", "candidates", "body", "response", "output", "message")
#: What an agent's message says, and the names and arguments of its calls.
_Said = tuple[str, list[tuple[str, str]]]
_WORDS = ("content", "text", "parts", "tool_calls", "function_call", "refusal")


def answered(messages: Any, record: dict[str, Any], omitted: Counter[str]) -> tuple[Message, ...]:
    """Return the messages of a conversation, with the answer that its record keeps beside it.

    An answer that the messages hold is not repeated; one beside messages that end with the agent's is counted.

    Raises:
        BadInput: a message cannot be read, or no message is the agent's and its answer cannot be read.
    """
    rows = rows_of(messages, "messages")
    chat = messages_of(rows, omitted)
    for name in _FIELDS:
        value = record.get(name)
        if absent(value) or value in ([], {}):
            continue
        said, counts = _said(chat), Counter[str]()
        try:
            answer = _rows_in(value, counts)
            new = _said(messages_of(answer, counts))
        except BadInput:
            new = []
        if not new and not said:
            raise BadInput(f"field {name!r} is {cite(value)}, an answer of an unknown form; append it to 'messages'")
        if new and _are_held(new, said, chat):
            continue
        if not new or chat[-1].role == "assistant":
            omitted[FURTHER] += 1
            continue
        omitted.update(counts)
        rows = [*rows, *answer]
        chat = messages_of(rows)
    return chat


def _are_held(new: list[_Said], said: list[_Said], chat: tuple[Message, ...]) -> bool:
    """Return whether the messages hold an answer already: behind a user's or a tool's, what the agent said last."""
    return all(one in said for one in new) if chat[-1].role == "assistant" else said[-len(new) :] == new


def _said(chat: tuple[Message, ...]) -> list[_Said]:
    """Return what the agent says and calls, without ids."""
    return [
        ((m.content or "").strip(), [(call.function.name, call.function.arguments) for call in m.tool_calls or ()])
        for m in chat
        if m.role == "assistant"
    ]


def _rows_in(value: Any, omitted: Counter[str]) -> list[Any]:
    """Return the messages of an answer: a text, a message, parts or items of one, or a whole response.

    Raises:
        BadInput: it is none of these.
    """
    if isinstance(value, str):
        inner = from_text(value)
        if not isinstance(inner, dict) or not inner.keys() & {"choices", "candidates", "role"}:
            return [{"role": "assistant", "content": value}]
        value = inner
    if isinstance(value, dict):
        holder = next((value[key] for key in _INSIDE if isinstance(value.get(key), dict | list) and value[key]), None)
        if holder is not None:
            return _rows_in(holder, omitted)
        if any(value.get(key) is not None for key in _WORDS):
            return [{**value, "role": value.get("role") or "assistant"}]
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        if all(map(is_row, value)):
            return value
        if all(name_of(item.get("type")) for item in value):
            return [{"role": "assistant", "content": value}]
        omitted[FURTHER] += len(value) - 1
        return _rows_in(value[0], omitted)
    raise BadInput("an answer of an unknown form")
