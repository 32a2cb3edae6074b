"""The values of keys in use, and their removal from texts."""

import json
import os
import re
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "***"
#: Keys that local servers are given are words such as ``none``; those are no secrets.
_SHORTEST = 8
#: Longer ones, such as ``not-needed`` and ``required``, may be an access word. They stand in texts and in names of
#: fields, too: what is said of an error is redacted, records are not.
_WORDS, _LONGEST_WORDS = re.compile(r"(?:[A-Za-z][a-z]*|[A-Z]+)(?:[-_. ](?:[A-Za-z][a-z]*|[A-Z]+))*"), 19
#: Environment variables whose values are keys; settings add those of ``api_key_env``.
_variables = {"OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY"}
_values: set[str] = set()


def know_variable(name: str) -> None:
    """Redact the value of this environment variable from now on."""
    _variables.add(name)


def know_value(value: str) -> None:
    """Redact this key from now on; too short ones are no secrets."""
    if _is_secret(value):
        _values.add(value)


def redact_values(text: str, keys: tuple[str, ...] | None = None) -> str:
    """Return a text without the keys in use, also where they are quoted for an address or for JSON.

    ``keys`` are those of ``keys_in_use``, for many texts at once; None are those that are no words.
    """
    for key in keys_in_use() if keys is None else keys:
        if key in text:
            text = text.replace(key, MASK)
    return text


def _is_secret(value: str) -> bool:
    """Return whether a value is long enough and can be told from a number in a file."""
    return len(value) >= _SHORTEST and not value.isdigit()


def keys_in_use(words: bool = False) -> tuple[str, ...]:
    """Return the keys in use in every form in which they may stand in a text, the longest first.

    ``words`` brings those that are plain words as well.
    """
    known = _values | {value for name in _variables if _is_secret(value := os.environ.get(name, ""))}
    return _forms(frozenset(known), words)


@lru_cache(maxsize=8)
def _forms(keys: frozenset[str], words: bool) -> tuple[str, ...]:
    kept = [key for key in keys if words or len(key) > _LONGEST_WORDS or not _WORDS.fullmatch(key)]
    forms = {form for key in kept for form in (key, quote(key, safe=""), quote_plus(key), json.dumps(key)[1:-1])}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))
