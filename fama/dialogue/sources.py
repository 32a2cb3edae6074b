"""Sources of values: a user turn, a tool output, the policy and tools, the agent itself, or nowhere."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

from fama.dialogue.facts import MONTHS, normal_text
from fama.episodes.records import Message, ToolSpec

SourceKind = Literal["user", "tool", "system", "agent"]
_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
#: A date with the year at the end: nobody can tell whether the month or the day comes first.
_DATE_BACKWARDS = re.compile(r"(?<!\d)(\d{1,2})[-/.](\d{1,2})[-/.]((?:19|20)\d{2})(?!\d)")
_RUN = re.compile(r"[a-z0-9]+")
_MONTH = f"({'|'.join(MONTHS)})"
_MONTH_DAY = re.compile(rf"\b{_MONTH}[a-z]*\.? ([0-9]{{1,2}})\b")
_DAY_MONTH = re.compile(rf"\b([0-9]{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH}")
_NUMBERS = re.compile(r"\b([0-9]{1,3})[/.-](?=([0-9]{1,3})\b)")
_DATE_LENGTH = len("2024-05-27")
_CHINESE = re.compile(r"([0-9]{1,2}) ?月 ?([0-9]{1,2}) ?[日号號]")
_ORDINAL = re.compile(r"\b([0-9]{1,2})(?:st|nd|rd|th)\b")
_RELATIVE = re.compile(
    r"today|tomorrow|yesterday|tonight|next|following|(mon|tues|wednes|thurs|fri|satur|sun)day|"
    r"days? (later|before|after)"
)
_AMOUNT = re.compile(r"[$€£¥]? ?(\d+(?:\.\d{1,2})?)")
#: A telephone, card or account number, which people write in groups; the longest is an IBAN.
_GROUPED = re.compile(r"\+?[a-z]{0,2}[\d\s()./-]+")
_LEAST_DIGITS, _MOST_DIGITS = 7, 34
_BETWEEN_GROUPS = r"[\s()./-]{0,2}"
#: Later than every message.
_NEVER = float("inf")
_MOST_DAYS = 31
_ANY_MONTH = ""
_ANY_DATE = (_ANY_MONTH, "")


class Seen(NamedTuple):
    """One place where a value stood: what kind of message, and its index."""

    kind: SourceKind
    step: int


class _Form(NamedTuple):
    """A form in which a value may stand in a text.

    Of a ``telephone`` number it is its ten digits, however they are set; of a ``grouped`` one all letters and digits.
    """

    text: str
    telephone: bool = False
    grouped: bool = False


class Sources:
    """The texts of a conversation, to look values up in what stood before a step.

    ``told`` is what the user was told to say, for a log without the user's own words.
    """

    def __init__(self, messages: Sequence[Message], tools: Sequence[ToolSpec], told: str = "") -> None:
        specs = " ".join(f"{tool.description} {tool.parameters}" for tool in tools)
        self._texts = [(Seen("system", -1), normal_text(specs))]
        if told:
            self._texts.append((Seen("user", -1), normal_text(told)))
        for step, message in enumerate(messages):
            kind: SourceKind = "agent" if message.role == "assistant" else message.role
            self._texts.append((Seen(kind, step), normal_text(message.content or "")))
        self._with_word: dict[str, list[int]] = {}
        self._with_end: dict[str, list[int]] = {}
        for place, (_, text) in enumerate(self._texts):
            found = set(_RUN.findall(text))
            for word in found:
                self._with_word.setdefault(word, []).append(place)
            for end in {word[-4:] for word in found if word[-4:].isdecimal()}:
                self._with_end.setdefault(end, []).append(place)
        self._given: dict[tuple[_Form, ...], float] = {}

    def find(self, value: Any, before: int) -> list[Seen]:
        """Return where the value stood before a step, oldest first."""
        places = {place for form in _forms(value) for place in self._holding(form)}
        return [self._texts[place][0] for place in sorted(places) if self._texts[place][0].step < before]

    def last(self, value: Any, before: int, *kinds: SourceKind) -> int | None:
        """Return the index of the last message of those kinds that held the value before a step."""
        steps = [seen.step for seen in self.find(value, before) if seen.kind in kinds]
        return steps[-1] if steps else None

    def supported(self, value: Any, before: int) -> bool:
        """Return whether a user, a tool or the policy had the value before a step; dates in words count."""
        forms = _forms(value)
        if forms not in self._given:
            self._given[forms] = min(map(self._first_given, forms), default=_NEVER)
        if self._given[forms] < before:
            return True
        return any(self._worded(month, day) < before for _, month, day in _dates_of(str(value)))

    def _holding(self, form: _Form) -> Iterator[int]:
        """Yield the texts that hold a form, oldest first.

        Its runs of letters and digits stand whole in one that does; of a telephone number, the last digits end a run,
        of one in groups, the first group is a run.
        """
        words = [] if form.telephone or form.grouped else _RUN.findall(form.text)
        places: Sequence[int] = range(len(self._texts))
        if form.telephone and form.text.isascii():
            places = self._with_end.get(form.text[6:], [])
        elif form.grouped and form.text.isascii():
            starts = (self._with_word.get(form.text[:end], ()) for end in range(1, len(form.text) + 1))
            places = sorted({place for start in starts for place in start})
        elif words:
            places = min((self._with_word.get(word, []) for word in words), key=len)
        return (place for place in places if _holds(self._texts[place][1], form))

    def _first_given(self, form: _Form) -> float:
        """Return the first step at which anybody but the agent had a form."""
        found = (self._texts[place][0] for place in self._holding(form))
        return next((seen.step for seen in found if seen.kind != "agent"), _NEVER)

    def _worded(self, month: int, day: int) -> float:
        """Return the first step at which anybody but the agent worded a date, or the user its distance from today."""
        if not 1 <= month <= len(MONTHS):
            return _NEVER
        keys = ((MONTHS[month - 1], str(day)), (_ANY_MONTH, str(day)), _ANY_DATE)
        return min(self._first_worded.get(key, _NEVER) for key in keys)

    @cached_property
    def _first_worded(self) -> dict[tuple[str, str], int]:
        """Return the first step of each date in words."""
        first: dict[tuple[str, str], int] = {}
        for seen, text in self._texts:
            if seen.kind == "agent":
                continue
            for key in _dates_in_words(text):
                first.setdefault(key, seen.step)
            if seen.kind == "user" and _RELATIVE.search(text):
                first.setdefault(_ANY_DATE, seen.step)
        return first


def _dates_in_words(text: str) -> Iterator[tuple[str, str]]:
    """Yield the month and the day of each date that is not written as year, month, day; both ways where it is open."""
    yield from ((found[1], found[2]) for found in _MONTH_DAY.finditer(text))
    yield from ((found[2], found[1]) for found in _DAY_MONTH.finditer(text))
    yield from ((_ANY_MONTH, found[1]) for found in _ORDINAL.finditer(text))
    pairs = [(int(found[1]), int(found[2])) for found in _CHINESE.finditer(text)]
    pairs += [(int(found[2]), int(found[1])) for found in _DATE_BACKWARDS.finditer(text)]
    yield from ((MONTHS[month - 1], str(day)) for month, day in pairs if 1 <= month <= len(MONTHS))
    for found in _NUMBERS.finditer(text):
        month, day = (number[1:] if len(number) > 1 and number[0] == "0" else number for number in found.groups())
        if month.isdecimal() and 1 <= int(month) <= len(MONTHS) and month[0] != "0":
            yield MONTHS[int(month) - 1], day


def _dates_of(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield year, month and day of a value that is a date or opens with one; of 05/06/2024 both readings."""
    text = text.strip()
    if found := _DATE.match(text):
        yield int(found[1]), int(found[2]), int(found[3])
    elif found := _DATE_BACKWARDS.match(text):
        one, other, year = map(int, found.groups())
        pairs = ((one, other), (other, one))
        yield from ((year, month, day) for month, day in pairs if 1 <= month <= len(MONTHS) and 1 <= day <= _MOST_DAYS)


def _forms(value: Any) -> tuple[_Form, ...]:
    if isinstance(value, bool):
        return ()
    if isinstance(value, int):
        return _Form(str(value)), _Form(f"{value}.00")
    if isinstance(value, float):
        whole = value.is_integer()
        texts = (str(int(value)), f"{value:.2f}") if whole else (f"{value:.2f}", f"{Decimal(repr(value)):f}")
        return tuple(map(_Form, texts))
    text = normal_text(str(value))
    forms = [_Form(text)] if text else []
    if len(text) <= _DATE_LENGTH:
        forms += [_Form(f"{year:04d}-{month:02d}-{day:02d}") for year, month, day in _dates_of(text)]
    if (amount := _AMOUNT.fullmatch(text)) and not text.isdecimal():
        forms += _forms(float(amount[1]))
    return tuple(dict.fromkeys([*forms, *_number_forms(text)]))


def _number_forms(text: str) -> Iterator[_Form]:
    """Yield the forms of a number that is a name: of a telephone, a card, an account, an object."""
    digits = re.sub(r"\D", "", text)
    national = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    if len(national) == 10 and re.fullmatch(r"[\d\s()+.-]+", text):
        yield _Form(national, telephone=True)
    if _LEAST_DIGITS <= len(digits) <= _MOST_DIGITS and len(digits) != 10 and _is_grouped(text):
        yield _Form(re.sub(r"[\W_]", "", text), grouped=True)
    if re.fullmatch(r"[a-z]{1,5}[-_ ]?\d{3,}", text):  # an identifier whose prefix people leave out
        yield _Form(digits)
        yield _Form(re.sub(r"\W", "", text))


def _is_grouped(text: str) -> bool:
    """Return whether a text may be a number in groups, and no date or amount."""
    amount = not text.isdecimal() and _AMOUNT.fullmatch(text)
    return not amount and _GROUPED.fullmatch(text) is not None and not any(_dates_of(text))


@lru_cache(maxsize=4096)
def _pattern(form: _Form) -> re.Pattern[str]:
    body = re.escape(form.text)
    if form.telephone:
        body = f"{form.text[:3]}.{{0,2}}{form.text[3:6]}.?{form.text[6:]}"
    if form.grouped:
        body = _BETWEEN_GROUPS.join(form.text)
    return re.compile(rf"(?<![a-z0-9]){body}(?![a-z0-9])")


def _holds(text: str, form: _Form) -> bool:
    return (form.telephone or form.grouped or form.text in text) and bool(_pattern(form).search(text))
