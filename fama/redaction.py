"""The redactor of keys, at every door where text is written, logged, printed or shortened.

It replaces the values of keys in use by ``***``: those of the environment variables that settings name, and those that
clients were given. In addresses it replaces names, passwords and parameters that hold keys, whosesoever they are.
"""

import json
import logging
import os
import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
#: Keys that local servers are given are words such as ``none``; those are no secrets.
_SHORTEST = 8
#: How long an error of others may be in a message.
_ERROR = 200
#: Environment variables whose values are keys; settings add those of ``api_key_env``.
_variables = {"OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY"}
_values: set[str] = set()

_NO_SPACE = r"[^\s/?#@\"'<>\\]"
#: A password before the host of any address; in one of the web also a name alone, which may be a key.
_USER = re.compile(
    rf"\b((?:https?|wss?)://){_NO_SPACE}{{1,1000}}@|\b([a-z][a-z0-9+.-]{{1,30}}://)[^\s/?#@:\"'<>\\]{{0,200}}:{_NO_SPACE}{{1,1000}}@",
    re.IGNORECASE,
)
_PARAMETER = re.compile(
    r"([?&;](?:(?:api|access|auth|subscription|secret|client|private|account|session|x|ocp|apim)[-_]?)*"
    r"(?:key|token|secret|password|passwd|pwd|sig|signature|auth|credential|authorization)=)[^&\s\"'<>#\\]+",
    re.IGNORECASE,
)
_HINTS = ("://", "?", "&")


def know_variable(name: str) -> None:
    """Redact the value of this environment variable from now on."""
    _variables.add(name)


def know_value(value: str) -> None:
    """Redact this key from now on; too short ones are no secrets."""
    if _is_secret(value):
        _values.add(value)


def redact(text: str) -> str:
    """Return a text without keys: those in use, and what stands for one in an address."""
    return _in_addresses(redact_values(text))


def redact_values(text: str) -> str:
    """Return a text without the keys in use, also where they are quoted for an address or for JSON."""
    for key in _keys():
        if key in text:
            text = text.replace(key, MASK)
    return text


def redact_tree(value: Any) -> Any:
    """Return a JSON value without keys in any text, names of fields included.

    Raises:
        RecursionError: it has too many levels.
    """
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact_tree(key): redact_tree(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact_tree(item) for item in value]
    return value


def redact_json(text: str) -> str:
    """Return the text of a JSON value without keys; unchanged where there is none.

    Only texts inside it are changed, so it stays JSON.
    """
    if redact(text) == text:
        return text
    try:
        return json.dumps(redact_tree(json.loads(text)), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return redact(text)


class RedactingFormatter(logging.Formatter):
    """Formats records of a log without keys, those in tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return redact(super().format(record))


def shortened(error: object, limit: int = _ERROR) -> str:
    """Return words of others as one line of at most ``limit`` characters; keys go before it is cut."""
    return " ".join(redact(str(error)).split())[:limit]


def _is_secret(value: str) -> bool:
    """Return whether a value is long enough and can be told from a number in a file."""
    return len(value) >= _SHORTEST and not value.isdigit()


def _keys() -> tuple[str, ...]:
    """Return the keys in use in every form in which they may stand in a text, the longest first."""
    known = _values | {value for name in _variables if _is_secret(value := os.environ.get(name, ""))}
    return _forms(frozenset(known))


@lru_cache(maxsize=8)
def _forms(keys: frozenset[str]) -> tuple[str, ...]:
    forms = {form for key in keys for form in (key, quote(key, safe=""), quote_plus(key), json.dumps(key)[1:-1])}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _in_addresses(text: str) -> str:
    if not any(hint in text for hint in _HINTS):
        return text
    text = _USER.sub(lambda found: f"{found[1] or found[2]}{MASK}@", text)
    return _PARAMETER.sub(rf"\1{MASK}", text)
