"""Scalars of foreign records: what is absent, numbers, verdicts and ids, whatever type they were written in."""

import json
import math
from typing import Any

from fama.errors import BadInput
from fama.text.json_numbers import load_nulled

_ABSENT = frozenset({"", "none", "null", "nan", "n/a", "na", "<na>"})
_TRUE = frozenset("true yes y t 1 1.0 success succeeded successful pass passed correct resolved solved ok".split())
_FALSE = frozenset("false no n f 0 0.0 failure fail failed incorrect unresolved unsolved wrong".split())


def absent(value: Any) -> bool:
    """Return whether a field says nothing: null, no finite number, an empty text or a word for one of them."""
    if isinstance(value, float):
        return not math.isfinite(value)
    return value is None or (isinstance(value, str) and value.strip().lower() in _ABSENT)


def number(value: Any, name: str) -> float | None:
    """Return a finite number, also from a text or a truth value; None where the field says nothing or is infinite.

    Raises:
        BadInput: it is no number.
    """
    if absent(value):
        return None
    try:
        found = float(value) if isinstance(value, str | int | float) else None
    except OverflowError:
        found = math.inf
    except ValueError:
        found = None
    if found is not None and not math.isfinite(found):
        return None
    if found is None:
        raise BadInput(f"field {name!r} is {cite(value)}, not a number; fix it or set it to null")
    return found


def number_or_none(value: Any) -> float | None:
    """Return a number that nothing depends on; None where it is none."""
    try:
        return number(value, "")
    except BadInput:
        return None


def positive(value: Any) -> float | None:
    """Return a price or a duration; None where it is none, or not above 0."""
    found = number_or_none(value)
    return found if found is not None and found > 0 else None


def whole(value: Any, name: str) -> int | None:
    """Return a whole number; None where the field says nothing.

    Raises:
        BadInput: it is no whole number.
    """
    if isinstance(value, int):
        return int(value)
    found = number(value, name)
    if found is not None and not found.is_integer():
        raise BadInput(f"field {name!r} is {cite(value)}, not a whole number; fix it or set it to null")
    return None if found is None else int(found)


#: More trials than any run has; a larger number is a time, a seed or an error.
MOST_TRIALS = 100_000


def trial_of(value: Any) -> int:
    """Return a trial's number; 0 where the field says nothing.

    Raises:
        BadInput: it is no whole number from 0 to ``MOST_TRIALS``.
    """
    found = whole(value, "trial") or 0
    if not 0 <= found <= MOST_TRIALS:
        raise BadInput(
            f"field 'trial' is {cite(value)}, not a number from 0 to {MOST_TRIALS}; fix it or set it to null"
        )
    return found


def rows_of(value: Any, name: str) -> list[Any]:
    """Return the rows of a table: a list, or the columns of one, as data frames export them.

    Raises:
        BadInput: it is neither, or columns differ in length.
    """
    value = from_text(value)
    if not isinstance(value, dict) or not value or not all(isinstance(column, list) for column in value.values()):
        return listed(value, name)
    if len({len(column) for column in value.values()}) > 1:
        raise BadInput(f"field {name!r} has columns of different length; is this the right format?")
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]


#: By how much a reward may miss 1, or another reward, and still be it: benchmarks multiply and average floats.
REWARD_TOLERANCE = 1e-6


def is_full(reward: float) -> bool:
    """Return True for a reward of 1, which is what benchmarks call a success."""
    return reward >= 1.0 - REWARD_TOLERANCE


def verdict(value: Any, name: str) -> bool | None:
    """Return a verdict from a truth value, a number or a word; None where the field says nothing.

    Raises:
        BadInput: it is a word or a value that says neither.
    """
    if absent(value):
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return is_full(float(value))
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise BadInput(f"field {name!r} is {cite(value)}, neither success nor failure; write true or false")


def name_of(value: Any) -> str | None:
    """Return an id or a name as text, a whole float without its fraction; None where the field says nothing."""
    if absent(value) or isinstance(value, dict | list):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def mapping(value: Any, name: str) -> dict[str, Any]:
    """Return an object, also from JSON text; empty where the field says nothing.

    Raises:
        BadInput: it is something else.
    """
    value = from_text(value)
    if absent(value):
        return {}
    if not isinstance(value, dict):
        raise BadInput(f"field {name!r} is {cite(value)}, not an object; is this the right format?")
    return value


def listed(value: Any, name: str) -> list[Any]:
    """Return a list, also from JSON text; empty where the field says nothing.

    Raises:
        BadInput: it is something else.
    """
    value = from_text(value)
    if absent(value):
        return []
    if not isinstance(value, list):
        raise BadInput(f"field {name!r} is {cite(value)}, not a list; is this the right format?")
    return value


def from_text(value: Any) -> Any:
    """Return what a JSON text holds where it holds an object or a list; anything else as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return load_nulled(value)
    except (ValueError, RecursionError):
        return value


def cite(value: Any) -> str:
    """Return a value for a message, short and on one line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:39] + "…"
