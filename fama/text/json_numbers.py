"""JSON without numbers that JSON has no word for: NaN, Infinity, and what is as large (``1e400``)."""

import json
import math
from typing import Any, NoReturn


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _finite_or_none(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


#: Reads what a model wrote, line breaks inside texts included; a number that JSON has no word for is a ValueError.
MODEL_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse, parse_float=_finite)


def load_finite(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is none, or holds a number that JSON has no word for.
        RecursionError: too many levels.
    """
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def load_nulled(text: str | bytes) -> Any:
    """Return the value of a JSON text in which numbers that JSON has no word for are null.

    Raises:
        ValueError: it is no JSON.
        RecursionError: too many levels.
    """
    return json.loads(text, parse_constant=lambda _: None, parse_float=_finite_or_none)
