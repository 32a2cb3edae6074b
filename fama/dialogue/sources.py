"""Sources of values: a user turn, a tool output, the policy and tools, the agent itself, or nowhere."""

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from fama.dialogue.facts import MONTHS, normal_text
from fama.episodes.records import Message, ToolSpec

SourceKind = Literal["user", "tool", "system", "agent"]
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_GAP = ".{0,2}"
_RUN = re.compile(r"[a-z0-9]+")
_RELATIVE = re.compile(
    r"today|tomorrow|yesterday|tonight|next|following|(mon|tues|wednes|thurs|fri|satur|sun)day|"
    r"days? (later|before|after)"
)


class Seen(NamedTuple):
    """One place where a value stood: what kind of message, and its index."""

    kind: SourceKind
    step: int


class Sources:
    """The texts of a conversation, to look values up in what stood before a step.

    ``told`` is what the user was told to say, for a log without the user's own words.
    """

    def __init__(self, messages: Sequence[Message], tools: Sequence[ToolSpec], told: str = "") -> None:
        specs = " ".join(f"{tool.description} {tool.parameters}" for tool in tools)
        self._texts = [(Seen("system", -1), normal_text(specs))]
        for step, message in enumerate(messages):
            kind: SourceKind = "agent" if message.role == "assistant" else message.role
            self._texts.append((Seen(kind, step), normal_text(message.content or "")))
        if told:
            self._texts.append((Seen("user", -1), normal_text(told)))
        self._with_word: dict[str, list[int]] = {}
        for place, (_, text) in enumerate(self._texts):
            for word in set(_RUN.findall(text)):
                self._with_word.setdefault(word, []).append(place)

    def find(self, value: Any, before: int) -> list[Seen]:
        """Return where the value stood before a step, oldest first."""
        places: set[int] = set()
        for form in filter(None, _forms(value)):
            places.update(place for place in self._candidates(form) if _holds(self._texts[place][1], form))
        return [self._texts[place][0] for place in sorted(places) if self._texts[place][0].step < before]

    def _candidates(self, form: str) -> Sequence[int]:
        """Return the texts that may hold a form: its runs of letters and digits stand whole in one that does."""
        words = [] if _GAP in form else _RUN.findall(form)
        return min((self._with_word.get(word, []) for word in words), key=len, default=range(len(self._texts)))

    def last(self, value: Any, before: int, *kinds: SourceKind) -> int | None:
        """Return the index of the last message of those kinds that held the value before a step."""
        steps = [seen.step for seen in self.find(value, before) if seen.kind in kinds]
        return steps[-1] if steps else None

    def supported(self, value: Any, before: int) -> bool:
        """Return whether a user, a tool or the policy had the value before a step; dates in words count."""
        if any(seen.kind != "agent" for seen in self.find(value, before)):
            return True
        date = _DATE.fullmatch(str(value).strip()[:10])
        return date is not None and self._worded(date, before)

    def _worded(self, date: re.Match[str], before: int) -> bool:
        month, day = int(date[2]), int(date[3])
        if not 1 <= month <= 12:
            return False
        name = MONTHS[month - 1]
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
    if isinstance(value, int):
        return [str(value), f"{value}.00"]
    if isinstance(value, float):
        whole = value.is_integer()
        return [str(int(value)), f"{value:.2f}"] if whole else [f"{value:.2f}", f"{Decimal(repr(value)):f}"]
    text = normal_text(str(value))
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
