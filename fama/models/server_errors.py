"""Errors of servers: their words, the kind of failure, and the time to wait."""

import email.utils
import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from fama.redaction import redact
from fama.text.clean import clean

_MESSAGE_KEYS = (
    *("message", "error_message", "error_msg", "errmsg", "msg", "detail", "details", "error_description", "reason"),
    *("description", "status_msg", "statusmessage", "exception", "title"),
)
_HOLDER_KEYS = ("error", "errors", "detail", "base_resp", "fault")
_TAGS = re.compile(r"<style.*?</style>|<script.*?</script>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_MAX_DEPTH = 8

_OVERFLOW = re.compile(
    r"context[ _-]?(?:size|length|window)|context (?:the )?overflow|exceed_context|max_model_len|"
    r"max(?:imum)? (?:model|prompt) length|"
    r"max_(?:completion_)?tokens must be (?:at least 1|greater than 0), got (?:-|0)|"
    r"prompt (?:\([^)]*\) )?(?:is )?too long|input is too long|"
    r"too many (?:input )?tokens\b|token count .{0,40}exceeds|input length .{0,40}exceeds|exceeded model token limit|"
    r"`?inputs`? tokens \+ `?max_new_tokens`?|`?inputs`? must have less than|range of input length|"
    r"context shift is disabled|free space in the kv cache|max_seq_len|max_num_tokens|session length|\u8d85\u957f|"
    r"prompt length .{0,40}exceeds|token count is .{0,40}only supports|"
    r"reduce the length of (?:the|your) (?:messages|prompt|input)|longer than the (?:model|maximum)",
    re.IGNORECASE,
)
#: Words that name a JSON schema in what servers say of it.
SCHEMA_WORDS = ("response_format", "schema", "grammar", "guided")
#: What servers say of a parameter that they do not take, each with its name (OpenAI and others, LiteLLM, xAI, OpenAI
#: again, Google, pydantic as Mistral has it, Groq, Anthropic three times), of a field that they miss (Google,
#: DeepSeek), of the order of roles (templates of Gemma and Mistral, Mistral's own endpoint), of messages without words
#: (Anthropic twice, Amazon), and of JSON schemas.
_CONTESTING = (
    r"unsupported parameters?\W{1,9}(\w{1,40})",
    r"does not support (?:the )?parameters?\W{1,9}(\w{1,40})",
    r"argument not supported on this model\W{1,9}(\w{1,40})",
    r"unrecognized request arguments? supplied\W{1,9}(\w{1,40})",
    r"unknown (?:name|field|parameter)\W{1,9}(\w{1,40})",
    r"\b(\w{1,40})\W{1,9}extra inputs are not permitted",
    r"property\W{1,9}(\w{1,40})\W{1,9}is unsupported",
    r"\b(top_p)\W{1,9}cannot both be specified",
    r"\b(\w{1,40})\W{1,9}is deprecated for this model",
    r"\b(stop)_sequences\W{1,9}each stop sequence must contain non-whitespace",
    r"missing (?:a |the )?\W?(thought_signature|reasoning_content)\b",
    r"\b(reasoning_content)\b.{1,60}must be passed back",
    r"conversation (role)s must alternate",
    r"unexpected (role) '?user'? after role '?tool",
    r"\b(system) role (?:is )?not supported",
    r"text (content) blocks must (?:be non-empty|contain non-whitespace)",
    r"must have non-empty (content)\b",
    r"text field in the (content)block object\b.{0,80}\bis blank",
    rf"({'|'.join(SCHEMA_WORDS)})",
)
_CONTESTED = tuple(re.compile(words, re.IGNORECASE) for words in _CONTESTING)
_OVERFLOW_NEVER = frozenset({401, 402, 403, 404, 429})
_RETRIED = frozenset({408, 409, 425, 429})
_EXHAUSTED = re.compile(
    r"insufficient_(?:quota|balance|funds|credits)|budget_?exceeded|billing|account_deactivated",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"invalid_api_key|authentication|unauthenticated|unauthori[sz]ed|permission|forbidden|invalid_request|not_found",
    re.IGNORECASE,
)
_TOO_FAST = re.compile(r"rate_?limit|too_?many_?requests|throttl", re.IGNORECASE)
#: Values in an ``error`` object that report none.
_FINE = frozenset({"", "0", "200", "ok", "success", "none", "null", "no_error", "false"})
_DELAY_KEYS = {"retrydelay": 1.0, "retry_delay": 1.0, "retry_after": 1.0, "retryafter": 1.0}
_DELAY_KEYS |= {
    "estimated_time": 1.0,
    "retryafterseconds": 1.0,
    "retry_after_seconds": 1.0,
    "retry_after_ms": 0.001,
    "retryafterms": 0.001,
}
_UNITS = {"ms": 0.001, "milliseconds": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0}
_UNITS |= {"m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0}
_AMOUNT = r"\d{1,9}(?:\.\d{1,9})?"
_UNIT = r"milliseconds|ms|seconds?|sec|minutes?|min|s|m|h"
_PIECE = re.compile(rf"({_AMOUNT})\s*({_UNIT})?(?![a-z])", re.IGNORECASE)
_DURATION = re.compile(rf"(?:{_AMOUNT}\s?(?:{_UNIT})\s?)+", re.IGNORECASE)
#: Seconds since 1970 in 2001; no server asks to wait that long.
_LONG_AGO = 1e9
_TRY_AGAIN = re.compile(
    r"(?:(?:try again|retry|wait)\s+(?:in|after|for)|wait|available in)\s+(?:about\s+)?"
    rf"((?:{_AMOUNT}\s?(?:{_UNIT})\s?)+)(?![a-z])",
    re.IGNORECASE,
)


def parse_error_body(text: str) -> Any:
    """Return a body as JSON; as text without tags where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(_TAGS.sub(" ", text).split())


def error_words(body: Any) -> str:
    """Return the server's own words in an error body of any shape; its JSON where there are none."""
    words = list(dict.fromkeys(_words(body, 0)))
    if not words and body not in (None, "", {}, []):
        words = [json.dumps(body, ensure_ascii=False, default=str)]
    return one_line("; ".join(words))


def one_line(text: str, limit: int = 300) -> str:
    """Return a text as one line of at most ``limit`` characters."""
    line = " ".join(redact(clean(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def find_error(tree: Any) -> Any:
    """Return the error object in the body of an answer that says 200, or in a choice; None where there is none."""
    if not isinstance(tree, dict):
        return None
    error, base = tree.get("error"), tree.get("base_resp")
    if isinstance(base, dict) and not _fine(base.get("status_code")):  # MiniMax
        return base
    if isinstance(error, dict):
        code = error.get("code", error.get("status"))
        fine = _empty(error) if _fine(code) and code in (None, "") else _fine(code)
        return None if fine else error
    if isinstance(error, str | list):
        return None if _empty(error) else tree
    return tree if error is True or tree.get("object") == "error" else None


def _fine(value: Any) -> bool:
    return not value or str(value).strip().lower() in _FINE


def _empty(error: Any) -> bool:
    """Return whether an error says nothing at any level: servers fill its fields with null beside a good choice."""
    if isinstance(error, dict):
        return all(map(_empty, error.values()))
    return all(map(_empty, error)) if isinstance(error, list) else _fine(error)


def error_status(error: Any, status: int) -> int:
    """Return the HTTP status that an error object names, else the answer's; a 200 with an error counts as a 502."""
    for holder in (error, error.get("error") if isinstance(error, dict) else None):
        code = holder.get("code", holder.get("status_code")) if isinstance(holder, dict) else None
        if re.fullmatch(r"[45]\d\d", str(code)):
            return int(str(code))
    return status if status >= 400 else 502


def is_overflow(status: int, words: str, body: Any = None) -> bool:
    """Return whether the prompt was longer than the model's context."""
    return status not in _OVERFLOW_NEVER and _OVERFLOW.search(" ".join((words, *_codes(body, 0)))) is not None


def contested_fields(words: str) -> list[str]:
    """Return the fields of a request or message that a server says it does not take as they are; none without such."""
    return [found[1].lower() for pattern in _CONTESTED for found in pattern.finditer(words)]


def is_final(status: int, body: Any, wait: float | None = None) -> bool:
    """Return whether trying again is of no use: a wrong request, a refused key, an exhausted quota.

    ``wait`` is what the answer asks to wait. It wins over a type that refuses, as a status or a code does that says too
    many requests: proxies give these the type ``invalid_request_error``.
    """
    if status < 500 and status not in _RETRIED:
        return True
    codes = " ".join(_codes(body, 0))
    told = wait_hint({}, body)
    if _EXHAUSTED.search(codes):
        return told is None
    asked_to_wait = status == 429 or wait is not None or told is not None or _TOO_FAST.search(codes) is not None
    return not asked_to_wait and _REFUSED.search(codes) is not None


def wait_hint(headers: Mapping[str, str], body: Any) -> float | None:
    """Return the seconds that the server asks to wait, from its headers or its body; None where it does not say."""
    for seconds in _hints(headers, body):
        if seconds is not None and math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def _hints(headers: Mapping[str, str], body: Any) -> Iterator[float | None]:
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        yield _number(headers.get(name), 0.001)
    after = headers.get("retry-after")
    yield _number(after, 1.0)
    if after:
        yield _until(after)
        yield _duration(after, 1.0) if _DURATION.fullmatch(after.strip()) else None
    yield from _body_hints(body, 0)


def _until(date: str) -> float | None:
    """Return the seconds up to a date of HTTP or of ISO 8601; None for anything else."""
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        try:
            return max(0.0, read(date.strip()).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _reset(value: Any) -> float | None:
    """Return the seconds up to a reset: a time since 1970 in seconds or milliseconds, or seconds from now."""
    number = _number(value, 1.0)
    if number is None or number < _LONG_AGO:
        return number
    return max(0.0, (number / 1000 if number >= 1000 * _LONG_AGO else number) - time.time())


def _body_hints(body: Any, depth: int) -> Iterator[float | None]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(body, dict):
        for key, value in body.items():
            unit = _DELAY_KEYS.get(str(key).lower().replace("-", "_"))
            if str(key).lower() == "x-ratelimit-reset":
                yield _reset(value)
            elif unit is not None:
                value = value.get("seconds") if isinstance(value, dict) else value
                yield _number(value, unit) if not isinstance(value, str) else _duration(value, unit)
            else:
                yield from _body_hints(value, depth + 1)
    elif isinstance(body, list):
        for value in body:
            yield from _body_hints(value, depth + 1)
    elif isinstance(body, str):
        found = _TRY_AGAIN.search(body)
        yield _duration(found[1], 1.0) if found else None


def _duration(text: str, unit: float) -> float | None:
    pieces = _PIECE.findall(text)
    return sum(float(n) * (_UNITS[word.lower()] if word else unit) for n, word in pieces) if pieces else None


def _number(value: Any, unit: float) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value) * unit
    except (TypeError, ValueError, OverflowError):
        return None


def _words(body: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(body, str):
        inner = parse_error_body(body) if body.lstrip().startswith(("{", "[")) else body
        if isinstance(inner, str):
            yield from filter(None, [inner.strip()])
        else:
            yield from _words(inner, depth + 1)
    elif isinstance(body, list):
        for item in body[:3]:
            yield from _words(item, depth + 1)
    elif isinstance(body, dict):
        yield from _object_words(body, depth)


def _object_words(body: dict[str, Any], depth: int) -> Iterator[str]:
    lowered = {str(key).lower(): value for key, value in body.items()}
    place = lowered.get("loc")
    if isinstance(place, list) and isinstance(lowered.get("msg"), str):
        yield f"{'.'.join(map(str, place))}: {lowered['msg']}"
        return
    for key in _HOLDER_KEYS:
        if isinstance(lowered.get(key), str | dict | list):
            yield from _words(lowered[key], depth + 1)
    if isinstance(lowered.get("message"), dict):  # Mistral
        yield from _words(lowered["message"], depth + 1)
    for key in _MESSAGE_KEYS:
        if isinstance(lowered.get(key), str | list) and lowered[key] and key not in (*_HOLDER_KEYS, "details"):
            yield from _words(lowered[key], depth + 1)
            break
    metadata = lowered.get("metadata")
    if isinstance(metadata, dict):
        yield from _words(metadata.get("raw"), depth + 1)


def _codes(body: Any, depth: int) -> Iterator[str]:
    """Yield values of ``code``, ``type`` and ``status`` at any level."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(body, list):
        for item in body:
            yield from _codes(item, depth + 1)
    elif isinstance(body, dict):
        for key, value in body.items():
            if key in ("code", "type", "status", "error_type") and isinstance(value, str):
                yield value
            elif isinstance(value, dict | list):
                yield from _codes(value, depth + 1)
