"""The JSON of a client's request: checked within limits, and written again with other messages."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import JSONDecodeError
from operator import is_not
from typing import Any

from fama.advising.conversation import without_roles
from fama.serving.faults import Fault, bad_request
from fama.serving.settings import ServeLimits

_SPACE = re.compile(r"[ \t\n\r]*")
#: The fields of a request that hold tools.
_TOOLS = ("tools", "functions")
Span = tuple[int, int]


@dataclass(frozen=True)
class ChatBody:
    """A chat request: its object; and what goes on, its bytes, its text, and where in the text its messages stand.

    Roles that its tools state do not go on. Without any, the bytes are the client's.
    """

    tree: dict[str, Any]
    content: bytes
    text: str
    messages: tuple[Span, ...]

    def with_messages(self, messages: Sequence[Mapping[str, Any]], more: Mapping[str, Any]) -> bytes:
        """Return the request with other messages and with fields that it lacks; all else keeps its characters.

        Raises:
            ValueError: a message holds a number that JSON has no word for.
        """
        told = json.dumps(messages, allow_nan=False)
        text = _spliced(self.text, dict.fromkeys(self.messages, told))
        added = {name: value for name, value in more.items() if name not in self.tree}
        if added:
            text = f"{text[: text.rindex('}')]}, {json.dumps(added)[1:-1]}}}"
        return text.encode("utf-8", "surrogatepass")


def parse_body(body: bytes, limits: ServeLimits) -> ChatBody:
    """Return a chat request.

    Raises:
        Fault: 400: no JSON object, too deep, or its messages are no list of objects or too many.
    """
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        tree, spans = _read_object(text)
    except RecursionError:
        raise _too_deep(limits) from None
    except ValueError:
        raise bad_request("invalid_json", "the body is no JSON object") from None
    _check_depth(tree, limits)
    messages = tree.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise bad_request("invalid_messages", "messages: give a list of at least one chat message")
    if len(messages) > limits.messages:
        raise bad_request("too_many_messages", f"messages: {len(messages)}, at most {limits.messages} are taken")
    plain = {key: without_roles(tree[key]) for key in _TOOLS if isinstance(tree.get(key), list)}
    stated = [key for key, tools in plain.items() if any(map(is_not, tools, tree[key]))]
    if stated:
        text = _spliced(text, {span: json.dumps(plain[key]) for key in stated for span in spans[key]})
        body, (_, spans) = text.encode("utf-8", "surrogatepass"), _read_object(text)
    return ChatBody(tree, body, text, tuple(spans["messages"]))


def _spliced(text: str, told: Mapping[Span, str]) -> str:
    """Return a text with others at some of its places."""
    pieces, at = [], 0
    for (start, end), words in sorted(told.items()):
        pieces += [text[at:start], words]
        at = end
    return "".join([*pieces, text[at:]])


def _read_object(text: str) -> tuple[dict[str, Any], dict[str, list[Span]]]:
    """Return the object that a text is, and the places of its messages and tools; of equal names the last one counts.

    Raises:
        ValueError: it is no JSON object.
        RecursionError: it is too deep.
    """
    tree: dict[str, Any] = {}
    spans: dict[str, list[Span]] = {name: [] for name in ("messages", *_TOOLS)}
    at = _after(text, "{", 0)
    if text[at : at + 1] == "}":
        return tree, _ended(text, at, spans)
    while True:
        if text[at : at + 1] != '"':
            raise JSONDecodeError("no name", text, at)
        name, at = _DECODER.raw_decode(text, at)
        start = _after(text, ":", at)
        tree[name], end = _DECODER.raw_decode(text, start)
        if name in spans:
            spans[name].append((start, end))
        at = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        if text[at : at + 1] == "}":
            return tree, _ended(text, at, spans)
        at = _after(text, ",", at)


def _after(text: str, sign: str, at: int) -> int:
    """Return the place behind a sign, and behind the white space on both sides of it."""
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
    if text[at : at + 1] != sign:
        raise JSONDecodeError("unexpected", text, at)
    return _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]


def _ended(text: str, at: int, spans: dict[str, list[Span]]) -> dict[str, list[Span]]:
    if _SPACE.match(text, at + 1).end() != len(text):  # type: ignore[union-attr]
        raise JSONDecodeError("more than an object", text, at)
    return spans


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _check_depth(tree: Any, limits: ServeLimits) -> None:
    level: list[Any] = [tree]
    for _ in range(limits.depth):
        level = [
            inner
            for value in level
            for inner in (value.values() if type(value) is dict else value)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    raise _too_deep(limits)


def _too_deep(limits: ServeLimits) -> Fault:
    return bad_request("too_deep", f"the body has more than {limits.depth} levels")
