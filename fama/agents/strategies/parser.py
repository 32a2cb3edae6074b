"""A lenient action parser: what small models write, turned into an action or a typed failure."""

import ast
import json
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fama.envs.base import Action
from fama.episodes.records import ToolCall
from fama.episodes.state import RESPOND

_NAME_KEYS = ("tool", "name", "function", "tool_name", "action")
_ARGUMENT_KEYS = ("arguments", "args", "parameters", "params", "input", "action_input")
_TEXT_KEYS = ("text", "content", "message", "response")
_ENVELOPE_KEYS = frozenset({"id", "type", "thought"})
_MAX_STARTS = 64
_MAX_DEPTH = 64
_MAX_LENGTH = 20_000
_DECODER = json.JSONDecoder(strict=False)
_THINKING = re.compile(r"^.*?</think>", re.DOTALL)
_ACTION_LINE = re.compile(r"^[ \t>*]*action[ \t*]*:[ \t*]*", re.IGNORECASE | re.MULTILINE)
_ACTION_INPUT = re.compile(r"^[ \t>*]*action[ _]input[ \t*]*:[ \t*]*", re.IGNORECASE | re.MULTILINE)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_NAME = re.compile(r"`?([A-Za-z_][\w.-]*)`?")


@dataclass(frozen=True)
class ParseFailure:
    """The reason that a reply holds no action, in words that the model can act on."""

    reason: str


def parse_text(text: str, tools: Iterable[str] = (), prose: bool = False) -> Action | ParseFailure:
    """Read one action from a reply's text.

    Takes bare and fenced JSON with text around it, ``Action:`` lines, doubled braces, single quotes,
    trailing commas and missing closing braces; of several actions the first counts. ``tools`` are the
    known tool names: with them an object such as ``{"name": "get_order"}`` counts without arguments.
    With ``prose``, text that holds no action is said to the user. Never raises.
    """
    text = clean(_THINKING.sub("", text[:_MAX_LENGTH], count=1)).strip()
    if not text:
        return ParseFailure("the reply is empty")
    known = {*tools, RESPOND}
    marker = _ACTION_LINE.search(text)
    if marker is not None:
        rest = text[marker.end() :]
        action = _first_action(rest, known) or _named_lines(rest, known)
        if action is not None:
            return action
    action = _first_action(text, known)
    if action is not None:
        return action
    if prose and marker is None:
        return Action(tool=None, text=text)
    if "{" in text:
        return ParseFailure('the JSON is broken or names no tool; write {"tool": NAME, "arguments": {...}} on one line')
    return ParseFailure('no JSON action found; write {"tool": NAME, "arguments": {...}} on one line')


def parse_calls(calls: Iterable[ToolCall]) -> Action | ParseFailure | None:
    """Return the first of a reply's native tool calls; None when there is none. Never raises."""
    for call in calls:
        if not call.function.name.strip():
            return ParseFailure("the tool call has no name")
        raw = clean(call.function.arguments).strip() or "{}"
        if len(raw) > _MAX_LENGTH:
            return ParseFailure(f"the arguments of {call.function.name} are longer than {_MAX_LENGTH} characters")
        arguments = next((value for value in _objects(raw) if isinstance(value, dict)), None)
        if arguments is None:
            return ParseFailure(f"the arguments of {call.function.name} are not a JSON object")
        return _action(clean(call.function.name.strip()), arguments)
    return None


def clean(text: str) -> str:
    """Return the text without lone surrogates, which no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _action(name: str, arguments: dict[str, Any]) -> Action | ParseFailure:
    if name != RESPOND:
        return Action(tool=name, arguments=arguments)
    words = next((arguments[key] for key in _TEXT_KEYS if key in arguments), None)
    if not isinstance(words, str) or not words.strip():
        return ParseFailure(f'{RESPOND} needs the argument "text" with what to say')
    return Action(tool=None, text=words.strip())


def _first_action(text: str, known: set[str]) -> Action | ParseFailure | None:
    for value in _objects(text):
        action = _from_object(value, known)
        if action is not None:
            return action
    return None


def _from_object(value: Any, known: set[str]) -> Action | ParseFailure | None:
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    if isinstance(inner, dict):
        return _from_object(inner, known)
    key = next((key for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    if key is None:
        return None
    name = value[key].strip()
    holder = next((key for key in _ARGUMENT_KEYS if key in value), None)
    if not name or (holder is None and key not in ("tool", "tool_name") and name not in known):
        return None
    arguments: Any = (
        value[holder] if holder else {k: v for k, v in value.items() if k != key and k not in _ENVELOPE_KEYS}
    )
    if isinstance(arguments, str):
        inner_text = arguments.strip() or "{}"
        arguments = next((item for item in _objects(inner_text) if isinstance(item, dict)), arguments)
        if name == RESPOND and isinstance(arguments, str):
            arguments = {"text": arguments}
    if arguments is None or arguments == []:
        arguments = {}
    if not isinstance(arguments, dict):
        return ParseFailure(f"the arguments of {name} are not a JSON object")
    return _action(name, arguments)


def _named_lines(text: str, known: set[str]) -> Action | ParseFailure | None:
    """Read ``Action: name`` with ``Action Input: {...}`` below, as in the ReAct paper's prompts."""
    match = _NAME.match(text)
    marker = _ACTION_INPUT.search(text)
    if match is None or (marker is None and match[1] not in known):
        return None
    rest = text[marker.end() :] if marker else ""
    arguments = next((value for value in _objects(rest) if isinstance(value, dict)), None)
    if arguments is None:
        arguments = {"text": rest.strip()} if match[1] == RESPOND else {}
    return _action(match[1], arguments)


def _objects(text: str) -> Iterator[Any]:
    """Yield the JSON objects in the text, outermost first, left to right, repaired where that is safe."""
    start, tried = text.find("{"), 0
    while start >= 0 and tried < _MAX_STARTS:
        tried += 1
        value = _decode(text, start)
        if value is not None:
            yield _clean_value(value)
        # An object that is no action may hold one, e.g. {"tool_calls": [{...}]}: look inside as well.
        start = text.find("{", start + 1)


def _decode(text: str, start: int) -> Any:
    """Return the object at ``start``, None when it cannot be read."""
    try:
        return _DECODER.raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        pass
    end, missing = _balanced(text, start)
    raw = text[start:end] + missing
    candidates = [raw, _TRAILING_COMMA.sub(r"\1", raw)]
    if raw.startswith("{{"):
        single = raw.replace("{{", "{").replace("}}", "}")
        halved, tail = _balanced(single, 0)
        candidates += [raw[1:-1], single[:halved] + tail]
    for candidate in candidates:
        try:
            return _DECODER.decode(candidate)
        except (ValueError, RecursionError):
            continue
    for candidate in candidates:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes in a model's text are no concern of the reader
                value = ast.literal_eval(candidate)
            json.dumps(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        return value
    return None


def _balanced(text: str, start: int) -> tuple[int, str]:
    """Return the end of the bracketed span at ``start``, and the closing brackets that are missing there."""
    open_brackets: list[str] = []
    quote = ""
    position = start
    while position < len(text):
        sign = text[position]
        if quote:
            if sign == "\\":
                position += 1
            elif sign == quote:
                quote = ""
        elif sign == '"' or (sign == "'" and text[position - 1 : position] in ("", " ", "{", "[", ":", ",", "(")):
            quote = sign
        elif sign in "{[":
            open_brackets.append("}" if sign == "{" else "]")
            if len(open_brackets) > _MAX_DEPTH:
                break
        elif sign in "}]":
            if not open_brackets or open_brackets.pop() != sign:
                return position + 1, ""
            if not open_brackets:
                return position + 1, ""
        position += 1
    return len(text), "" if quote else "".join(reversed(open_brackets))


def _clean_value(value: Any) -> Any:
    try:
        text = json.dumps(value, ensure_ascii=False)
        return value if text.isascii() else json.loads(clean(text))
    except (ValueError, RecursionError):
        return None
