"""The redactor of keys, at every door where text is written, logged, printed or shortened.

It replaces the values of keys in use by ``***``: those of the environment variables that settings name, and those that
clients were given. In addresses it replaces names, passwords and parameters that hold keys, whosesoever they are.
"""

import json
import logging
import re
from typing import Any

from fama.redaction.api_keys import MASK, redact_values

#: How long an error of others may be in a message.
_ERROR = 200
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


def redact(text: str) -> str:
    """Return a text without keys: those in use, and what stands for one in an address."""
    return _in_addresses(redact_values(text))


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


def shortened(error: object, limit: int = _ERROR) -> str:
    """Return words of others as one line of at most ``limit`` characters; keys go before it is cut."""
    return " ".join(redact(str(error)).split())[:limit]


class RedactingFormatter(logging.Formatter):
    """Formats records of a log without keys, those in tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return redact(super().format(record))


def _in_addresses(text: str) -> str:
    if not any(hint in text for hint in _HINTS):
        return text
    text = _USER.sub(lambda found: f"{found[1] or found[2]}{MASK}@", text)
    return _PARAMETER.sub(rf"\1{MASK}", text)
