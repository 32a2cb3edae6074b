"""Where a value came from: a user turn, a tool output, the policy and tools, the agent itself, or nowhere."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

from fama.dialogue.trace import Trace

Kind = Literal["user", "tool", "system", "agent"]
_COMMA = re.compile(r"(?<=\d),(?=\d{3}\b)")
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_GAP = ".{0,2}"
_RELATIVE = re.compile(
    r"today|tomorrow|yesterday|tonight|next|following|(mon|tues|wednes|thurs|fri|satur|sun)day|"
    r"days? (later|before|after)"
)


class Seen(NamedTuple):
    """One place where a value stood: what kind of message, and its index."""

    kind: Kind
    step: int


def normal(text: str) -> str:
    """Lower case, no hash signs, no thousands commas, one kind of blank."""
    return _COMMA.sub("", " ".join(text.casefold().replace("#", " ").split()))


class Provenance:
    """Looks values up in what stood before a step of an episode."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    @cached_property
    def _texts(self) -> list[tuple[Seen, str]]:
        found = []
        for step, message in enumerate(self.trace.episode.messages):
            kind: Kind = "agent" if message.role == "assistant" else message.role
            text = message.content or ""
            found.append((Seen(kind, step), normal(text)))
        if not self.trace.has_dialogue:  # the user's own words are not in the log; what it was told to say may be
            found.append((Seen("user", -1), normal(self.trace.episode.instruction or "")))
        specs = " ".join(f"{tool.description} {tool.parameters}" for tool in self.trace.episode.tools)
        return [(Seen("system", -1), normal(specs)), *found]

    def places(self, value: Any, before: int) -> list[Seen]:
        """Where the value stood before a step, oldest first."""
        forms = [form for form in _forms(value) if form]
        return [seen for seen, text in self._texts if seen.step < before and any(_holds(text, form) for form in forms)]

    def last(self, value: Any, before: int, *kinds: Kind) -> int | None:
        """Index of the last message of those kinds that held the value before a step."""
        steps = [seen.step for seen in self.places(value, before) if seen.kind in kinds]
        return steps[-1] if steps else None

    def supported(self, value: Any, before: int) -> bool:
        """Whether a user, a tool or the policy had the value before a step; dates in words count."""
        if any(seen.kind != "agent" for seen in self.places(value, before)):
            return True
        date = _DATE.fullmatch(str(value).strip()[:10])
        return bool(date) and self._worded(date, before)  # type: ignore[arg-type]

    def _worded(self, date: re.Match[str], before: int) -> bool:
        month, day = int(date[2]), int(date[3])
        if not 1 <= month <= 12:
            return False
        name = _MONTHS[month - 1]
        spoken = re.compile(rf"\b{name}[a-z]*\.? {day}\b|\b{day}(st|nd|rd|th)?( of)? {name}|\b0?{month}[/.-]0?{day}\b")
        for seen, text in self._texts:
            if seen.kind == "agent" or seen.step >= before:
                continue
            if spoken.search(text) or re.search(rf"\b{day}(st|nd|rd|th)\b", text):
                return True
            if seen.kind == "user" and _RELATIVE.search(text):
                return True
        return False


def _forms(value: Any) -> list[str]:
    if isinstance(value, bool):
        return []
    if isinstance(value, int | float):
        whole = float(value).is_integer()
        return [str(int(value)), f"{value:.2f}"] if whole else [f"{value:.2f}", f"{Decimal(repr(value)):f}"]
    text = normal(str(value))
    digits = re.sub(r"\D", "", text)
    forms = [text]
    if len(digits) == 10 and re.fullmatch(r"[\d\s()+.-]+", text):  # a telephone number, however it is set
        forms.append(rf"{digits[:3]}{_GAP}{digits[3:6]}.?{digits[6:]}")
    if re.fullmatch(r"[a-z]{1,5}[-_ ]?\d{3,}", text):  # an identifier whose prefix people leave out
        forms += [digits, re.sub(r"\W", "", text)]
    return forms


@lru_cache(maxsize=4096)
def _pattern(form: str) -> re.Pattern[str]:
    body = form if _GAP in form else re.escape(form)
    return re.compile(rf"(?<![a-z0-9]){body}(?![a-z0-9])")


def _holds(text: str, form: str) -> bool:
    return (_GAP in form or form in text) and bool(_pattern(form).search(text))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Scalars of nested arguments with their paths; lists of scalars share their list's path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]" if isinstance(inner, dict) else path)
    elif isinstance(value, str) and value[:1] in "[{" and value[-1:] in "]}":
        try:
            yield from leaves(json.loads(value), path)
        except ValueError:
            yield path, value
    else:
        yield path, value
