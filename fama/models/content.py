"""The content of a message and its tool calls, in every shape that servers give them."""

import json
from dataclasses import dataclass, field
from typing import Any

from fama.episodes.foreign.fields import absent
from fama.episodes.foreign.logged_calls import entries_in, name_and_arguments
from fama.episodes.foreign.part_kinds import TEXT_KINDS, THOUGHT_KINDS, is_stated, is_thought
from fama.episodes.records import FunctionCall, ToolCall
from fama.text.clean import clean

_CALL_TYPES = frozenset({"tool_use", "tool_call", "function_call", "function"})
_BARE_TEXT = frozenset({"text", "content", "value", "annotations", "role", "parts", "id", "index", "cache_control"})
_TEXT_KEYS = ("text", "content", "value", "parts")
#: Parts that point to sources and hold no words.
_WORDLESS = frozenset({"reference", "citation", "citations", "annotation", "annotations"})
_MAX_DEPTH = 20


@dataclass
class Content:
    """Text, thoughts, refusal and calls of a content; ``unread`` names kinds that are kept as JSON in the text."""

    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def read_content(value: Any) -> Content:
    """Read a content: nothing, a text, a number, an object, or a list of parts."""
    content = Content()
    _read(_parts_in(value), content, content.text, 0)
    return content


def _parts_in(value: Any) -> Any:
    """Return the parts that a text holds as JSON, where a server encoded them twice; any other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("[{"):
        return value
    try:
        parts = json.loads(value)
    except (ValueError, RecursionError):
        return value
    known = TEXT_KINDS | THOUGHT_KINDS
    typed = all(isinstance(part, dict) and part.get("type") in known for part in parts)
    return parts if typed else value


def read_thought(value: Any) -> str:
    """Return the text of a reasoning field in any shape; empty where it is a flag or a number."""
    content = Content()
    if _holds_words(value):
        _read(value, content, content.text, 0)
    return "\n".join((*content.text, *content.thoughts))


def read_refusal(value: Any) -> list[str]:
    """Return the words of a refusal, a text or parts of one; none where it is a flag, a number or empty."""
    content = Content()
    _refuse(value, content, 0)
    return content.refusals


def _holds_words(value: Any) -> bool:
    """Return whether a field may hold words: a flag, a number, nothing and a word for it do not."""
    return isinstance(value, str | list | dict) and bool(value) and not absent(value)


def _refuse(value: Any, content: Content, depth: int) -> None:
    for said in value if isinstance(value, list) else [value]:
        words = [said.get(key) for key in ("refusal", *_TEXT_KEYS)] if isinstance(said, dict) else [said]
        if any(map(_holds_words, words)):
            _read(said, content, content.refusals, depth + 1)


def _read(value: Any, content: Content, into: list[str], depth: int) -> None:
    if value is None:
        return
    if isinstance(value, str):
        into.append(clean(value))
    elif isinstance(value, list) and depth < _MAX_DEPTH:
        for part in value:
            _read(part, content, into, depth + 1)
    elif isinstance(value, dict) and depth < _MAX_DEPTH:
        _part(value, content, into, depth)
    else:
        into.append(clean(json.dumps(value)))


def _part(part: dict[str, Any], content: Content, into: list[str], depth: int) -> None:
    kind = str(part.get("type") or "").lower()
    if not kind and "refusal" in part:
        _refuse(part["refusal"], content, depth)
        part = {key: value for key, value in part.items() if key != "refusal"}
        if not part:
            return
    if kind == "refusal":
        _refuse(part.get("refusal", part.get("text")), content, depth)
    elif is_thought(kind) or _is_bare_thought(kind, part):
        keys = ("thinking", "reasoning", "text", "summary", "content", "reasoning_text", kind)
        words = next((part[key] for key in keys if part.get(key) and part[key] is not True), None)
        _read(words, content, content.thoughts, depth + 1)
    elif not kind and isinstance(call := part.get("functionCall", part.get("function_call")), dict):
        content.calls.append(call)
    elif kind in _CALL_TYPES and (isinstance(part.get("name"), str) or isinstance(part.get("function"), dict)):
        content.calls.append(part)
    elif kind in _WORDLESS and not isinstance(part.get("text"), str):
        return
    elif kind in TEXT_KINDS or kind == "message" or (not kind and _is_bare_text(part)):
        _text(part, content, into, depth)
    elif not kind:
        into.append(_json(part))  # an action that the server has read already
    else:
        content.unread.append(clean(kind))
        into.append(_json(part))


def _is_bare_thought(kind: str, part: dict[str, Any]) -> bool:
    return not kind and ("thinking" in part or part.get("thought") is True)


def _is_bare_text(part: dict[str, Any]) -> bool:
    return all(key in _BARE_TEXT for key, value in part.items() if is_stated(value))


def _text(part: dict[str, Any], content: Content, into: list[str], depth: int) -> None:
    key = next((key for key in _TEXT_KEYS if key in part), None)
    if key is None:
        into.append(_json(part))
    else:
        _read(part[key], content, into, depth + 1)


def _json(part: dict[str, Any]) -> str:
    return clean(json.dumps(part, ensure_ascii=False))


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
        function=FunctionCall(name=clean(name or ""), arguments=clean(_arguments_text(arguments))),
    )


def _arguments_text(arguments: Any) -> str:
    """Return arguments as JSON text; a text stays as the model wrote it, but for null, which is none."""
    if arguments is None or (isinstance(arguments, str) and arguments.strip() == "null"):
        return "{}"
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
