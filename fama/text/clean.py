"""Characters and keys that no log may hold, replaced at every edge where text comes in."""

import math
import re
from typing import Any

from fama.redaction.api_keys import keys_in_use, redact_values
from fama.text.json_numbers import MOST_LEVELS

#: Control characters except tab, line feed, vertical tab, form feed, carriage return and next line.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_REPLACEMENT = "\ufffd"
#: More than any value has that came in as JSON, with what it is put into here.
_MAX_DEPTH = MOST_LEVELS + 20


def clean(text: str, keys: tuple[str, ...] | None = None) -> str:
    """Join surrogate pairs; replace lone surrogates by a question mark, control characters by U+FFFD, keys by ``***``.

    Lone surrogates fit into no UTF-8 file; control characters steer terminals and end strings in other tools; of a key
    that a server repeats a part would stay where quotes and notes are cut. ``keys`` as in ``redact_values``.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        text = joined.encode("utf-8", "replace").decode("utf-8")
    return redact_values(_CONTROL.sub(_REPLACEMENT, text), keys)


def clean_value(value: Any) -> Any:
    """Clean every text of a JSON value, keys included; no numbers and infinite ones are null.

    What lies deeper than 220 levels is dropped; JSON of others is refused at 200.
    """
    return _clean_value(value, 0, keys_in_use())


def _clean_value(value: Any, depth: int, keys: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return clean(value, keys)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= _MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return {
            clean(key, keys) if isinstance(key, str) else key: _clean_value(inner, depth + 1, keys)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean_value(item, depth + 1, keys) for item in value]
    return value
