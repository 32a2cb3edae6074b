"""Ids, amounts, dates and e-mail addresses in text and in tool output, normalised for comparison."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from fama.episodes.foreign.logged_calls import literal
from fama.episodes.state import VisibleState
from fama.text.json_numbers import TooDeep, not_deep

# The lookbehind keeps the search linear: a run of a million letters is tried from its start only.
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_CODED = r"#?\b(?:[A-Za-z]+[_-])+[A-Za-z]*\d[\w-]*|#?\b[A-Z]{1,6}[-_]?\d{2,}\w*"
#: Forms that only an identifier or an address has. Detectors blame for them; ``ids_in`` only offers, and takes more.
IDENTIFIER = re.compile(rf"{_CODED}|\b\d{{7,}}\b|[\w.+-]{{1,64}}@[\w-]+\.[\w.]+")
#: Values that a user simulator was told and must not make up: identifiers, codes, postcodes, e-mail addresses.
TOLD_VALUE = re.compile(rf"{_CODED}|\b\d{{5,}}\b|[\w.+-]{{1,64}}@[\w-]+\.\w+|\b(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{{6}}\b")
_TOKEN = re.compile(r"[^\s\"'“”‘’`(){}\[\],;:=<>|*!?\\–—]+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_DEEPEST = 12
#: Longer numbers are ids; as numbers they would be rounded, and two of them be the same.
_PRECISION = 28
_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})(?!\d)")
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_MONTH_DAY = re.compile(rf"\b{_MONTH}\s+{_DAY}\b(?:,?\s+(\d{{4}})\b)?", re.IGNORECASE)
_DAY_MONTH = re.compile(rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}\b(?:,?\s+(\d{{4}})\b)?", re.IGNORECASE)


def normal_token(token: str) -> str:
    """Return one value without its formatting, to compare with another: ``#W12`` → ``w12``, ``$51.00`` → ``51``."""
    text = token.strip(".,…~").lstrip("#$€£¥").rstrip("%€£¥").strip(".").lower()
    if len(text) <= _PRECISION and _NUMBER.fullmatch(text):
        return format(Decimal(text).normalize(), "f")
    return text


def normal_text(text: str) -> str:
    """Return a whole text in the form in which values are searched in it: lower case, no hashes, one kind of blank.

    Other than ``normal_token``, it keeps the digits as written: in running text nothing says where a number ends.
    """
    return _THOUSANDS.sub("", " ".join(text.casefold().replace("#", " ").split()))


def _is_fact(token: str) -> bool:
    return any(sign.isdigit() for sign in token) or "@" in token


def _tokens(text: str) -> Iterator[str]:
    for token in _TOKEN.findall(text):
        if _is_fact(token) and (clean := normal_token(token)):
            yield clean


def _written_dates(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield dates in words as (key, span); the key is ``2024-05-27`` or, without a year, ``05-27``."""
    for pattern, day_first in ((_MONTH_DAY, False), (_DAY_MONTH, True)):
        for match in pattern.finditer(text):
            month, day = (match[2], match[1]) if day_first else (match[1], match[2])
            key = f"{MONTHS.index(month[:3].lower()) + 1:02d}-{int(day):02d}"
            yield (f"{match[3]}-{key}" if match[3] else key), match.span()


def stated_facts(text: str) -> list[str]:
    """Return the facts that a note states, normalised: tokens with a digit or an ``@``, and dates in words."""
    facts: list[str] = []
    rest = text
    for key, (start, end) in _written_dates(text):
        facts.append(key)
        rest = rest[:start] + " " * (end - start) + rest[end:]
    return facts + list(_tokens(_THOUSANDS.sub("", rest)))


@lru_cache(maxsize=512)
def known_facts(text: str) -> frozenset[str]:
    """Return every form in which a text's facts may be restated."""
    found = {*_tokens(text), *_tokens(_THOUSANDS.sub("", text))}
    for key, _span in _written_dates(text):
        found |= {key, key[-5:]}
    for year, month, day in _ISO.findall(text):
        found |= {f"{year}-{month}-{day}", f"{month}-{day}"}
    return frozenset(found)


def visible_texts(state: VisibleState) -> Iterator[str]:
    """Yield all texts of the state: policy, tools, messages and the arguments of past calls."""
    yield state.policy
    for tool in state.tools:
        yield f"{tool.name} {tool.description} {tool.parameters}"
    for message in state.messages:
        if message.content:
            yield message.content
        for call in message.tool_calls or ():
            yield f"{call.function.name} {call.function.arguments}"


@lru_cache(maxsize=2_000)
def ids_in(text: str) -> tuple[str, ...]:
    """Return tokens that look like ids, as written: digits with letters or signs, or four digits and more."""
    found: list[str] = []
    for token in _TOKEN.findall(text):
        clean = token.strip(".,…~")
        digits = sum(sign.isdigit() for sign in clean)
        plain = clean.lstrip("$€£¥").replace(".", "", 1)
        amount = clean[:1] in "$€£¥" or ("." in clean and plain.isdigit())
        if not digits or amount or "@" in clean or _ISO.match(clean):
            continue
        mixed = any(sign.isalpha() for sign in clean) and not re.fullmatch(
            r"\d+(?:st|nd|rd|th|%|am|pm|x)", clean.lower()
        )
        if (mixed and len(clean) >= 3) or (clean[:1] == "#" and digits) or (clean.isdigit() and digits >= 4):
            found.append(clean)
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=256)
def data_of(text: str | None) -> Any:
    """Return the value of a tool's output, JSON or a Python literal, None for plain text. Shared: not to be changed."""
    stripped = (text or "").strip()
    if not stripped or stripped[0] not in "[{":
        return None
    try:
        return not_deep(json.loads(stripped))
    except TooDeep:
        return None
    except (ValueError, RecursionError):
        return literal(stripped)


class Leaf(NamedTuple):
    """A scalar of nested data: where it stands (``items[0].color``), the name it has there (``color``), its value."""

    path: str
    key: str
    value: Any


def leaves(value: Any) -> Iterator[Leaf]:
    """Yield the scalars of nested data; depth is bounded.

    Scalars in a list have the list's path and key. A string that holds JSON counts as what it holds: some agents
    write their arguments so.
    """
    return _leaves(value, "", "", 0)


def _leaves(value: Any, path: str, key: str, depth: int) -> Iterator[Leaf]:
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name), str(name), depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]" if isinstance(inner, dict) else path, key, depth + 1)
    elif isinstance(value, str) and (held := data_of(value)) is not None:
        yield from _leaves(held, path, key, depth + 1)
    else:
        yield Leaf(path, key, value)


@lru_cache(maxsize=256)
def leaves_of(text: str | None) -> tuple[Leaf, ...]:
    """Return the scalars of a tool's output."""
    return tuple(leaves(data_of(text)))


def quote(text: str, limit: int = 80) -> str:
    """Return text of a user or a tool as data: one line, in double quotes, cut at ``limit`` characters."""
    clean = "".join(sign if sign.isprintable() else " " for sign in text)
    clean = re.sub(r"\s+", " ", clean).replace('"', "'").replace("“", "'").replace("”", "'").strip()
    if len(clean) > limit:
        clean = clean[: limit - 1].rsplit(" ", 1)[0] + "…"
    return f'"{clean}"'
