"""JSON of others: without numbers that JSON has no word for (NaN, ``1e400``), and not nested without end."""

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

import orjson

#: Levels that a JSON value of others may have; more are no data.
MOST_LEVELS = 200
_OPTION_LEVELS = 50


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _finite_or_none(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def finite_value(value: Any, depth: int = 0) -> Any:
    """Return options of a config as they are.

    Raises:
        ValueError: a number in them is none, so that they could not be written as JSON, or they nest without end.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no finite number")
    if depth > _OPTION_LEVELS:
        raise ValueError(f"more than {_OPTION_LEVELS} levels")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        finite_value(inner, depth + 1)
    return value


class RepeatedKey(ValueError):
    """An object of a JSON text gives a key twice; of two values the last one would win unseen."""


class TooDeep(ValueError):
    """A JSON value has more levels than code that calls itself for each can take."""


def one_value(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of a JSON text from its pairs. ``1`` and ``true`` are two values, though equal in Python.

    Raises:
        RepeatedKey: a key is given two values.
    """
    found = dict(pairs)
    for key, value in pairs if len(found) < len(pairs) else ():
        if found[key] is not value and json.dumps(found[key], sort_keys=True) != json.dumps(value, sort_keys=True):
            raise RepeatedKey(f"the key {key[:80]!r} is given two values")
    return found


#: Reads what a model wrote, line breaks inside texts included; a number that JSON has no word for is a ValueError, and
#: so is a key with two values.
MODEL_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=one_value)


def load_finite(text: str, keys_once: bool = True) -> Any:
    """Return the value of a JSON text. Without ``keys_once``, the last value of a key counts.

    Raises:
        ValueError: it is none, holds a number that JSON has no word for, or gives a key two values.
        RecursionError: too many levels.
    """
    hook = one_value if keys_once else None
    return not_deep(json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=hook))


def load_nulled(text: str | bytes, keys_once: bool = False) -> Any:
    """Return the value of a JSON text in which numbers that JSON has no word for are null.

    Raises:
        RepeatedKey: with ``keys_once``, an object gives a key twice.
        ValueError: it is no JSON.
        RecursionError: too many levels.
    """
    hook = _once if keys_once else None
    return not_deep(
        json.loads(text, parse_constant=lambda _: None, parse_float=_finite_or_none, object_pairs_hook=hook)
    )


def check_keys(text: str | bytes) -> None:
    """Refuse a JSON text in which an object gives a key twice.

    Raises:
        RepeatedKey: names the key.
        ValueError: it is no JSON.
        RecursionError: too many levels.
    """
    if not _comes_back(text):
        json.loads(text, object_pairs_hook=_once, parse_constant=str, parse_float=str, parse_int=str)


def _comes_back(text: str | bytes) -> bool:
    """Return whether a text, read and written again, is the same: what is written has no key twice.

    It holds for every line that this package wrote, and takes a third of the time of looking at each object.
    """
    try:
        same: bool = orjson.dumps(orjson.loads(text)) == (text.encode() if isinstance(text, str) else text).strip()
    except (ValueError, TypeError, RecursionError):  # no JSON, or JSON that it does not read or write
        return False
    return same


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise RepeatedKey(f"the key {twice[:80]!r} is given twice")
    return found


def not_deep(value: Any) -> Any:
    """Return a JSON value as it is; code that walks or writes it may call itself for every level.

    Raises:
        TooDeep: it has more than ``MOST_LEVELS``.
    """
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        if not level:
            return value
    raise TooDeep(f"more than {MOST_LEVELS} levels inside each other")


def _inside(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
