"""Content of foreign messages: text, parts, Anthropic blocks, Gemini parts, or any JSON value."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fama.episodes.foreign.fields import name_of
from fama.episodes.foreign.logged_calls import ForeignCall, called_in
from fama.episodes.foreign.part_kinds import TEXT_KINDS, THOUGHT_KINDS, is_stated, is_thought

#: What an episode has no place for; counted by these names.
THOUGHTS, MEDIA, PARTS = "thoughts", "images, sounds and files", "parts of an unknown kind"
EXTRA = "text parts with further fields"
_MEDIA = ("image", "audio", "video", "file", "document", "media", "inline_data", "inlineData", "fileData")
_INPUTS = frozenset({"input_image", "input_audio", "input_file"})
#: Fields that say of what kind encoded data is.
_MIME = ("mimeType", "mime_type", "mediaType", "media_type")
#: Fields of a document whose words are given: it is read without them.
_DOCUMENT_FIELDS = frozenset({"type", "source", "title", "name", "format", "context", "citations", "cache_control"})
_CALLS = frozenset(
    "tool_use server_tool_use mcp_tool_use toolUse tool_call tool-call function_call functionCall".split()
)
_RESULTS = frozenset(
    {"tool_result", "tool-result", "tool_response", "tool_call_response", "function_call_output"}
    | {"function_response", "functionResponse", "toolResult"}
)
#: Results of tools that a provider runs itself: Anthropic names them ``web_search_tool_result`` and the like.
_PROVIDED = "_tool_result"
_RESULT_IDS = ("tool_use_id", "toolUseId", "tool_call_id", "call_id", "toolCallId", "id")
#: A part of the AI SDK that says nothing.
_STEP = "step-start"
#: Fields of a call with its result, by the names that two versions of the AI SDK give them.
_INVOKED = (
    ("id", "toolCallId", "toolCallId"),
    ("name", "toolName", "toolName"),
    ("input", "args", "input"),
    ("result", "result", "output"),
    ("error", "errorText", "errorText"),
)
#: Fields of the AI SDK's outputs.
_TYPED = frozenset({"type", "value", "providerOptions"})
_RESULT_LABELS = frozenset({*_RESULT_IDS, "type", "name", "toolName", "is_error", "isError", "cache_control"})
#: Fields of a text part that say nothing of their own.
_TEXT_FIELDS = frozenset(
    {"type", "block_type", "text", "annotations", "citations", "logprobs", "cache_control", "_meta"}
)
_TEXT_FIELDS |= {"providerOptions", "providerMetadata"}
#: Those of a text that was said; in a tool's data they are data.
_SAID_FIELDS = _TEXT_FIELDS | {"id", "index", "content", "refusal", "role", "extras", "thought", "thoughtSignature"}


@dataclass(frozen=True)
class Result:
    """A tool's result inside a message; ``call_id`` and ``name`` are None where the log gives none.

    ``failed`` says that the log flags it.
    """

    call_id: str | None
    name: str | None
    text: str
    failed: bool = False


@dataclass
class LoggedContent:
    """Content of a message. ``texts`` is None where the message says nothing at all."""

    texts: list[str] | None = None
    calls: list[ForeignCall] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    @property
    def text(self) -> str | None:
        """Return the words, a line per part."""
        return None if self.texts is None else "\n".join(self.texts)

    def say(self, text: str) -> None:
        """Add words."""
        self.texts = [*(self.texts or []), text]


def read_logged_content(value: Any, role: str, omitted: Counter[str]) -> LoggedContent:
    """Return the words, calls and results of a message's content; what has no place is counted, never lost silently."""
    content = LoggedContent()
    if value is None:
        return content
    if role == "tool" and not _has_parts(value):
        content.say(as_text(value))
        return content
    if isinstance(value, dict) and isinstance(value.get("parts"), list):
        value = value["parts"]
    for part in value if isinstance(value, list) else [value]:
        _read_part(part, content, omitted)
    if content.texts is None and not content.calls and not content.results:
        content.texts = []
    return content


def as_text(value: Any) -> str:
    """Return a text as it is, anything else as JSON text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _has_parts(value: Any) -> bool:
    """Return whether a list holds typed parts, and not the data that a tool gave."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(part, dict) and (_kind(part) in _RESULTS or _is_shown(part)) for part in value)
    )


def _is_shown(part: Any) -> bool:
    """Return whether a part of a tool's result is a text or a medium for the model, and not the tool's data."""
    return isinstance(part, dict) and (_is_text(part) or _is_media(part))


def _is_text(part: dict[str, Any]) -> bool:
    """Return whether an object is a text part and nothing else."""
    return _named_kind(part) in TEXT_KINDS and isinstance(part.get("text"), str) and not _further(part, _TEXT_FIELDS)


def _is_media(part: dict[str, Any]) -> bool:
    """Return whether an object gives an image, a sound or a file, and is not a tool's data about one."""
    kind, source = _named_kind(part) or "", part.get("source")
    if kind in _INPUTS:
        return True
    if not kind.startswith(_MEDIA):
        return False
    if isinstance(source, dict) and (source.get("type") in ("text", "content") or {"text", "content"} & source.keys()):
        return _written(source) is not None and not _further(part, _DOCUMENT_FIELDS)
    encoded = isinstance(part.get("data"), str) and any(isinstance(part.get(key), str) for key in _MIME)
    return encoded or any(isinstance(part.get(key), dict) for key in ("source", kind))


def _written(source: dict[str, Any]) -> str | None:
    """Return the words of a document, as Anthropic and Bedrock write what was found; None where it has none."""
    parts = source.get("content")
    if isinstance(parts, list) and parts and all(isinstance(part, dict) and _is_text(part) for part in parts):
        return "\n".join(part["text"] for part in parts)
    texts = (parts, source.get("text"), source.get("data") if source.get("type") == "text" else None)
    return next((text for text in texts if isinstance(text, str)), None)


def _shown(part: dict[str, Any], omitted: Counter[str]) -> str:
    """Return what is shown of a part of a tool's result: its words, or its kind, which is counted."""
    if _is_text(part):
        return str(part["text"])
    source = part.get("source")
    words = _written(source) if isinstance(source, dict) else None
    if words is None:
        omitted[MEDIA] += 1
        return f"[{_kind(part)}]"
    title = part.get("title") or part.get("name")
    return f"{title}\n{words}" if isinstance(title, str) else words


def _further(part: dict[str, Any], known: frozenset[str]) -> bool:
    return any(is_stated(value) for key, value in part.items() if key not in known)


def _named_kind(part: dict[str, Any]) -> str | None:
    """Return the kind that a part names, LlamaIndex's as ``block_type``; None where it names none."""
    return name_of(part.get("type")) or name_of(part.get("block_type"))


def _kind(part: dict[str, Any]) -> str:
    kind = _named_kind(part)
    if kind is not None:
        return kind
    keys = (*_CALLS, *_RESULTS, *_MEDIA, *THOUGHT_KINDS, "refusal", "text")
    return next((key for key in keys if is_stated(part.get(key))), "")


def _read_part(part: Any, content: LoggedContent, omitted: Counter[str]) -> None:
    if part is None:
        return
    if not isinstance(part, dict):
        content.say(as_text(part))
        return
    part = _invoked(part)
    kind = _kind(part)
    if kind == _STEP:
        return
    inner = part.get(kind) if isinstance(part.get(kind), dict) else part
    assert isinstance(inner, dict)  # noqa: S101 - for the type checker
    if kind in _CALLS:
        call = called_in(part, inner, omitted)
        content.calls.append(call)
        if holds_result(part):
            given, error = part.get("result"), part.get("error")
            told = as_text((error or "") if given in (None, "") else given)
            content.results.append(Result(call.id, call.name, told, bool(error)))
    elif kind == "toolResult":
        content.results.append(_result(_of_bedrock(inner), True, omitted))
    elif kind in _RESULTS or kind.endswith(_PROVIDED):
        content.results.append(_result(inner, inner is part, omitted))
    elif is_thought(kind) or part.get("thought") is True:
        omitted[THOUGHTS] += 1
    elif kind.startswith(_MEDIA) or kind in _INPUTS:
        spoken = inner.get("transcript")
        content.say(spoken if isinstance(spoken, str) else _shown(part, omitted))
    elif (words := _words(part)) is not None and not _further(part, _SAID_FIELDS):
        content.say(words)
    elif words is not None and _named_kind(part) in TEXT_KINDS:
        omitted[EXTRA] += 1
        content.say(words)
    else:
        omitted[PARTS] += 1
        content.say(as_text(part))


def _invoked(part: dict[str, Any]) -> dict[str, Any]:
    """Return a tool's part of the messages that the AI SDK shows on pages as a call with its result; else the part."""
    kind = name_of(part.get("type")) or ""
    held = part.get("toolInvocation") if kind == "tool-invocation" else part
    shown = kind == "dynamic-tool" or (kind.startswith("tool-") and kind not in _CALLS | _RESULTS)
    if not shown or not isinstance(held, dict) or name_of(held.get("toolCallId")) is None:
        return part
    found = {key: held.get(first, held.get(other)) for key, first, other in _INVOKED}
    return {
        "type": "tool_call",
        "name": kind.removeprefix("tool-"),
        **{k: v for k, v in found.items() if v is not None},
    }


def holds_result(part: Any) -> bool:
    """Return whether a part is a tool's result, or a call with its result, as Inspect writes tools of a provider."""
    if not isinstance(part, dict):
        return False
    part = _invoked(part)
    kind = _kind(part)
    if kind in _CALLS:
        return part.get("result") is not None or bool(part.get("error"))
    return kind in _RESULTS or kind.endswith(_PROVIDED)


def _words(part: dict[str, Any]) -> str | None:
    """Return the words of a part that is a text; None where it has none."""
    value = next((part[key] for key in ("text", "refusal", "content") if part.get(key) is not None), None)
    value = value.get("value") if isinstance(value, dict) else value
    return value if isinstance(value, str) else None


def _result(part: dict[str, Any], labelled: bool, omitted: Counter[str]) -> Result:
    """Return a result; ``labelled`` says that its part has labels beside the data, and is not the data alone."""
    ids = (part.get(key) for key in _RESULT_IDS)
    keys = (key for key in ("content", "output", "response", "result", "text") if part.get(key) is not None)
    rest = {key: value for key, value in part.items() if key not in _RESULT_LABELS and value is not None}
    value: Any = next((part[key] for key in keys), rest or "")
    if isinstance(value, dict) and name_of(part.get("type")) == "tool-result" and value.keys() <= _TYPED:
        value = value.get("value", value)  # the AI SDK's, whose type says what the value is
    if isinstance(value, list) and value and all(map(_is_shown, value)):
        value = "\n".join(_shown(piece, omitted) for piece in value)
    name = name_of(part.get("name")) or name_of(part.get("toolName"))
    call_id = next((found for one in ids if (found := name_of(one))), None)
    return Result(call_id, name, as_text(value), labelled and is_flagged(part))


def _of_bedrock(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result of Bedrock with its parts in the common form: they have no types, and data under ``json``."""
    rows = result.get("content")
    if not isinstance(rows, list) or not all(isinstance(part, dict) for part in rows):
        return result
    return {**result, "content": [_with_type(part) for part in rows]}


def _with_type(part: dict[str, Any]) -> dict[str, Any]:
    if part.keys() == {"json"}:
        return {"type": "text", "text": as_text(part["json"])}
    if len(part) == 1 and isinstance(given := next(iter(part.values())), dict):
        kind = next(iter(part))
        return {"type": kind, **given} if kind in _MEDIA else part
    return {"type": "text", **part} if part.keys() == {"text"} else part


def is_flagged(result: dict[str, Any]) -> bool:
    """Return whether a tool's result is flagged as failed, beside its words.

    Anthropic and MCP name the flag ``is_error`` and ``isError``, τ²-bench ``error``; LangChain has a ``status``, the AI
    SDK an ``output`` of a type.
    """
    flags = [result.get(key) for key in ("is_error", "isError", "error")]
    output = result.get("output")
    typed = name_of(output.get("type")) if isinstance(output, dict) else None
    said = any(flag is True or str(flag).lower() == "true" for flag in flags)
    return said or result.get("status") == "error" or typed in ("error-text", "error-json")
