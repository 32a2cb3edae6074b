"""The values of keys in use, and their removal from texts."""

import json
import os
import re
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "***"
#: Shorter keys are words such as ``none``, which local servers are given; those are no secrets.
_SHORTEST = 8
#: Longer ones of such words only, as ``not-needed`` and ``required``, are none either: the words stand in dialogues and
#: in names of fields.
_PLACEHOLDER = re.compile(
    r"(?:(?:a|an|any|anything|api|apikey|change|changeme|default|dummy|empty|example|fake|free|ignore|ignored|key|llama"
    r"|lm|lmstudio|local|localhost|my|necessary|needed|no|none|not|nothing|null|ollama|openai|password|placeholder|required|sample"
    r"|secret|server|sk|some|something|studio|test|the|token|unset|unused|used|value|vllm|whatever|your)(?:[-_. ]|$))+",
    re.IGNORECASE,
)
#: Environment variables whose values are keys; settings add those of ``api_key_env``.
_variables = {"OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY"}
_values: set[str] = set()


def know_variable(name: str) -> None:
    """Redact the value of this environment variable from now on."""
    _variables.add(name)


def know_value(value: str) -> None:
    """Redact this key from now on; too short ones and placeholders are no secrets."""
    if _is_secret(value):
        _values.add(value)


def redact_values(text: str, keys: tuple[str, ...] | None = None) -> str:
    """Return a text without the keys in use, also where they are quoted for an address or for JSON.

    ``keys`` are those of ``keys_in_use``, for many texts at once.
    """
    for key in keys_in_use() if keys is None else keys:
        if key in text:
            text = text.replace(key, MASK)
    return text


def _is_secret(value: str) -> bool:
    """Return whether a value is long enough and can be told from a number in a file, and from words of every day."""
    return len(value) >= _SHORTEST and not value.isdigit() and not _PLACEHOLDER.fullmatch(value)


def keys_in_use() -> tuple[str, ...]:
    """Return the keys in use in every form in which they may stand in a text, the longest first."""
    known = _values | {value for name in _variables if _is_secret(value := os.environ.get(name, ""))}
    return _forms(frozenset(known))


@lru_cache(maxsize=8)
def _forms(keys: frozenset[str]) -> tuple[str, ...]:
    forms = {form for key in keys for form in (key, quote(key, safe=""), quote_plus(key), json.dumps(key)[1:-1])}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))
