"""JSON objects in the text of a model, read leniently."""

import ast
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any

from fama.text.clean import clean_value
from fama.text.json_numbers import MODEL_DECODER, RepeatedKey, one_value

_MAX_STARTS = 64
_MAX_DEPTH = 64
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
#: The beginning of what is meant as an object: a brace, a key and a colon.
_OBJECT = re.compile(r"\{\s*(?:\"[^\"\n]*\"|'[^'\n]*'|\w+)\s*:")
#: The name of a tool with a brace in it: an opening that the model was given, and behind which it began anew.
_BEGUN_ANEW = re.compile(r"\{\s*\"(?:tool|name|function|action)\"\s*:\s*\"[^\"{]*\{")


def objects(text: str, repair: bool = True) -> Iterator[Any]:
    """Yield JSON objects in the text, outermost first, left to right; none with NaN, Infinity or a number as large.

    With ``repair``, doubled braces, single quotes, trailing commas and missing closing braces are understood. An open
    list is not: items of it may be missing. What stands inside an object that cannot be read, or inside a text of
    one, is no answer: it may be a value of an argument, or what somebody will not do. An object that gives a key two
    values ends the search.
    """
    start, tried = text.find("{"), 0
    while start >= 0 and tried < _MAX_STARTS:
        tried += 1
        try:
            value, end = _decode(text, start, repair)
        except RepeatedKey:
            return
        # An object that is no action may hold one, e.g. {"tool_calls": [{...}]}: look inside as well.
        yield from map(_storable, _with_inner(value))
        start = text.find("{", end)


def first_object(text: str, repair: bool = True) -> dict[str, Any] | None:
    """Return the object at the first brace of a text; None where it cannot be read, whatever stands inside or behind.

    So of arguments that are broken no part is taken for the whole.
    """
    start = text.find("{")
    if start < 0:
        return None
    try:
        value = _storable(_decode(text, start, repair)[0])
    except RepeatedKey:
        return None
    return value if isinstance(value, dict) else None


def _with_inner(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a value, outer ones before those inside them."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
        if isinstance(value, dict | list):
            waiting += reversed(list(value.values() if isinstance(value, dict) else value))


def _decode(text: str, start: int, repair: bool) -> tuple[Any, int]:
    """Return the object at ``start``, None when it cannot be read, and where the search for others goes on.

    Raises:
        RepeatedKey: it gives a key two values.
    """
    try:
        found: tuple[Any, int] = MODEL_DECODER.raw_decode(text, start)
        return found
    except RepeatedKey:
        raise
    except (ValueError, RecursionError):
        pass
    end, missing = _balanced(text, start)
    meant = _OBJECT.match(text, start) and not _BEGUN_ANEW.match(text, start)
    behind = end if meant else start + 1  # any other brace is a sign in words
    if not repair or missing is None or "]" in missing:
        return None, behind
    raw = text[start:end] + missing
    candidates = [raw, _TRAILING_COMMA.sub(r"\1", raw)]
    if raw.startswith("{{"):
        single = raw.replace("{{", "{").replace("}}", "}")
        halved, tail = _balanced(single, 0)
        candidates += [raw[1:-1], single[:halved] + (tail or "")]
    value = _first_value(candidates)
    return value, behind if value is None else end


def _first_value(candidates: list[str]) -> Any:
    """Return the value of the first candidate that is JSON, else of the first that is a literal of Python.

    Raises:
        RepeatedKey: an object in it gives a key two values.
    """
    for candidate in candidates:
        try:
            return MODEL_DECODER.decode(candidate)
        except RepeatedKey:
            raise
        except (ValueError, RecursionError):
            continue
    for candidate in candidates:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes in a model's text are no concern of the reader
                value = _literal(candidate)
            MODEL_DECODER.decode(json.dumps(value, allow_nan=False))  # 1 and "1" are one key of JSON
        except RepeatedKey:
            raise
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        return value
    return None


def _literal(text: str) -> Any:
    """Return the value of a literal of Python.

    Raises:
        RepeatedKey: an object in it gives a key two values.
        ValueError, SyntaxError: it is no literal.
    """
    tree = ast.parse(text, mode="eval")
    check_literal(tree)
    return ast.literal_eval(tree)


def check_literal(tree: ast.AST) -> None:
    """Refuse a piece of Python in which an object or a call's arguments give a key two values.

    Raises:
        RepeatedKey: names the key.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            given = [(ast.dump(key), value) for key, value in zip(node.keys, node.values, strict=True) if key]
        elif isinstance(node, ast.Call):
            given = [(keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg]
        else:
            continue
        one_value([(key, ast.dump(value)) for key, value in given])


def unfinished(text: str) -> bool:
    """Return whether a text is an object that has no end."""
    start = len(text) - len(text.lstrip())
    if not text.startswith("{", start):
        return False
    try:
        json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):
        return _balanced(text, start)[1] != ""
    return False


def _balanced(text: str, start: int) -> tuple[int, str | None]:
    """Return the end of the bracketed span at ``start``, and the closing brackets that are missing there.

    None is missing where a text inside it has no end.
    """
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
    return len(text), None if quote else "".join(reversed(open_brackets))


def _storable(value: Any) -> Any:
    try:
        json.dumps(value)
        return clean_value(value)
    except (ValueError, RecursionError):
        return None
