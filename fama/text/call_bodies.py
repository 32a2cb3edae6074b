"""Bodies of tool calls in markup: JSON, XML parameters, key and value pairs, a call as in Python."""

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fama.text.bracket_calls import BracketCall, read_calls
from fama.text.clean import clean_value
from fama.text.json_numbers import MODEL_DECODER, RepeatedKey, one_value
from fama.text.json_objects import check_literal, first_object, objects
from fama.text.named_calls import NamedCall, Tools, named_call, tool_name, typed

_FENCE = re.compile(r"^```[\w-]*")
_OUTER_TOKENS = re.compile(r"^(?:\s*<\|[\w/]{1,40}\|>)+|(?:<\|[\w/]{1,40}\|>\s*)+$")
_ELEMENT = re.compile(
    r"<(?:\w+:)?(?:function|invoke)(?:=|\s+name=)\s*[\"']?(?P<name>[^\"'<>\n]{1,200}?)[\"']?\s*>"
    r"(?P<body>.*?)</(?:\w+:)?(?:function|invoke)\s*>",
    re.DOTALL,
)
_PARAMETER = re.compile(
    r"<(?:\w+:)?parameter(?:=|\s+name=)\s*[\"']?(?P<key>[^\"'<>\n]{1,200}?)[\"']?(?:\s+string=[\"'](?P<string>\w+)[\"'])?\s*>"
    r"(?P<value>.*?)</(?:\w+:)?parameter\s*>",
    re.DOTALL,
)
_NAMED_TAG = re.compile(r"<(?P<key>[\w.-]{1,200})>(?P<value>.*?)</(?P=key)\s*>", re.DOTALL)
_MOST_TAGS = 200
_PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_HEADED = re.compile(
    r"(?:function\s*<\|tool_sep\|>\s*|call:)?(?P<name>[\w.:-]{1,200}?)(?:\s*\[CALL_ID\][\w-]*)?"
    r"(?:\s*(?:<\|tool_sep\|>|<\|tool_call_argument_begin\|>|\[ARGS\]))?(?:\s*```\w*)?\s*(?P<arguments>\{.*)",
    re.DOTALL,
)
_IDENTIFIER = re.compile(r"[\w.:-]{1,200}")
_BETWEEN = re.compile(r"[\s;,]*")
_BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_]\w*)\s*:")
_PRINT = re.compile(r"^print\((.*)\)$", re.DOTALL)
_OF_OBJECT = re.compile(r"(?P<name>[\w.-]{1,200})\(\s*(?P<object>\{.*\})\s*\)", re.DOTALL)

Body = tuple[NamedCall, ...]


def read_call_body(body: str, tools: Tools, closed: bool) -> Body:
    """Return the calls of a markup's inside; none if it cannot be read. One that was not ``closed`` is not repaired."""
    body = _OUTER_TOKENS.sub("", body).strip()
    if (fence := _FENCE.match(body)) is not None:
        body = body[fence.end() :].removesuffix("```").strip()
    for read in _READERS:
        calls = read(body, tools, closed)
        if calls:
            return calls
    return ()


def read_elements(body: str, tools: Tools, closed: bool = True) -> Body:
    """Read ``<function=name><parameter=key>value</parameter></function>``, ``<invoke name="name">…``, or JSON in it."""
    calls = []
    for element in _ELEMENT.finditer(body):
        name = tool_name(element["name"], tools)
        if name is None:
            return ()
        inside, schema = element["body"], tools.get(name, {})
        found = list(_PARAMETER.finditer(inside))
        if not found and inside.strip():
            value = _named_tags(inside, schema) or first_object(inside)
            if value is None:
                return ()
            calls.append(NamedCall(name, value))
            continue
        if _PARAMETER.sub("", inside).strip():
            return ()
        if (values := _values((p["key"], _trimmed(p["value"])) for p in found)) is None:
            return ()
        untyped = {p["key"] for p in found if p["string"] == "false"}
        plain = {key: value for key, value in values.items() if key not in untyped}
        other = {key: value for key, value in values.items() if key in untyped}
        unknown = {"properties": {key: {"type": "any"} for key in other}}
        calls.append(NamedCall(name, {**typed(plain, schema), **typed(other, unknown)}))
    return tuple(calls)


def read_named_element(body: str, tools: Tools) -> Body:
    """Read ``<name><key>value</key></name>`` or JSON inside, where ``name`` is a tool."""
    found = _NAMED_TAG.fullmatch(body.strip())
    if found is None or found["key"] not in tools:
        return ()
    inside = found["value"].strip()
    arguments = _named_tags(inside, tools[found["key"]]) or first_object(inside) if inside else {}
    return () if arguments is None else (NamedCall(found["key"], arguments),)


def _named_tags(inside: str, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return arguments whose tags are their names; None for anything else, or tags inside tags."""
    if inside.count("<") > _MOST_TAGS:
        return None
    values = _values((tag["key"], _trimmed(tag["value"])) for tag in _NAMED_TAG.finditer(inside))
    if not values or _NAMED_TAG.sub("", inside).strip() or any("</" in value for value in values.values()):
        return None
    return typed(values, schema)


def read_python(body: str, tools: Tools, closed: bool = True) -> Body:
    """Read ``[name(key=value)]``, ``name(key=value)``, or one of these per line, also inside ``print(...)``.

    So is ``name({"key": value})`` where a tool has that name.
    """
    printed = _PRINT.match(body.strip())
    given = _OF_OBJECT.fullmatch((printed[1] if printed else body).strip())
    if given and given["name"] in tools and (read := read_call_body(given["name"] + given["object"], tools, True)):
        return read
    lines = [body] if _calls(body) else [line for line in body.splitlines() if line.strip()]
    calls: list[NamedCall] = []
    for line in lines:
        shown = _PRINT.match(line.strip())
        found = _calls(shown[1] if shown else line)
        if not found:
            return ()
        for written, arguments in found:
            name = tool_name(written, tools)
            if name is None:
                return ()
            calls.append(NamedCall(name.removesuffix(".call"), clean_value(arguments)))
    return tuple(calls)


def _calls(text: str) -> tuple[BracketCall, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in a model's text are no concern of the reader
        if found := read_calls(text):
            try:
                check_literal(ast.parse(text.strip(), mode="eval"))
            except RepeatedKey:
                return ()
        return found


def _json(body: str, tools: Tools, closed: bool) -> Body:
    if not body.startswith(("{", "[")):
        return ()
    whole = _whole_json(body)
    if whole:
        calls = [named_call(value, tools) or _keyed(value, tools) for value in whole]
        if None not in calls:
            return tuple(call for call in calls if call is not None)
    for value in objects(body, repair=closed):
        call = named_call(value, tools)
        if call is not None:
            return (call,)
    return ()


def _keyed(value: Any, tools: Tools) -> NamedCall | None:
    """Read ``{"get_order": {"order_id": "W1"}}``, where that is a tool."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    name, arguments = next(iter(value.items()))
    return NamedCall(name, arguments) if name in tools and isinstance(arguments, dict) else None


def _whole_json(body: str) -> list[Any]:
    """Return the objects of a list, or of JSON values one after the other; none where something else stands between."""
    found: list[Any] = []
    position = 0
    while position < len(body):
        try:
            value, position = MODEL_DECODER.raw_decode(body, position)
        except (ValueError, RecursionError):
            return []
        found += value if isinstance(value, list) else [value]
        position = _BETWEEN.match(body, position).end()  # type: ignore[union-attr]  # it matches nothing, too
    return [clean_value(value) for value in found]


def _headed(body: str, tools: Tools, closed: bool) -> Body:
    found = _HEADED.fullmatch(body)
    name = tool_name(found["name"], tools) if found else None
    if found is None or name is None:
        return ()
    text = found["arguments"].replace('<|"|>', '"')
    arguments: Any = first_object(text, repair=False)
    if arguments is None and body.lstrip().startswith("call:"):
        arguments = first_object(_BARE_KEY.sub(r'\1"\2":', text), repair=False)
    if arguments is None and closed:
        arguments = first_object(text)
    return () if arguments is None else (NamedCall(name, arguments),)


def _pairs(body: str, tools: Tools, closed: bool) -> Body:
    written, mark, pairs = body.partition("<arg_key>")
    name = tool_name(written, tools) if closed and _IDENTIFIER.fullmatch(written.strip()) else None
    if name is None or _PAIR.sub("", mark + pairs).strip() or (not pairs and name not in tools):
        return ()
    values = _values((key.strip(), value.strip()) for key, value in _PAIR.findall(mark + pairs))
    return () if values is None else (NamedCall(name, typed(values, tools.get(name, {}))),)


def _values(written: Iterable[tuple[str, str]]) -> dict[str, str] | None:
    """Return the values of a markup's arguments; None where one is given two values."""
    try:
        return one_value(list(written))
    except RepeatedKey:
        return None


def _trimmed(value: str) -> str:
    """Return a value without the line breaks that the markup puts around it."""
    return value.removeprefix("\n").removesuffix("\n")


_READERS: tuple[Callable[[str, Tools, bool], Body], ...] = (read_elements, _json, _pairs, _headed, read_python)
