"""Facts in the agent's words: tolerant to formatting, strict about the value."""

import re
from collections.abc import Iterable
from datetime import date

from fama.envs.helpdesk.task_records import Fact

_NUMBER = re.compile(r"(?<![\w.,-])[-+]?\s?[$€£]?\s?[-+]?(\d[\d,]*(?:\.\d+)?)(?!\d|\w*-\w)")
_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_MONTHS = "january february march april may june july august september october november december".split()


def numbers_in(text: str) -> list[float]:
    """Return the amounts and counts in a text; parts of ids such as ``W1234`` or ``INV-12`` do not count."""
    numbers = []
    for raw in _NUMBER.findall(text):
        value = raw.rstrip(",")
        if re.fullmatch(r"\d+,\d{1,2}", value):  # a decimal comma: no thousand has one or two digits
            value = value.replace(",", ".")
        numbers.append(float(value.replace(",", "")))
    return numbers


def plain(text: str) -> str:
    """Return lower case without punctuation, one space between words."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def states_fact(text: str, fact: Fact) -> bool:
    """Return whether a text states a fact."""
    if fact.kind == "money":
        return any(abs(value - float(fact.value)) < 0.0005 for value in numbers_in(text))
    if fact.kind == "number":
        count = int(fact.value)
        word = _WORDS[count] if count < len(_WORDS) else fact.value
        said = plain(text).split()
        return float(count) in numbers_in(text) or word in said or (count == 0 and "no" in said)
    if fact.kind == "date":
        return _tells_date(text, date.fromisoformat(fact.value))
    return f" {plain(fact.value)} " in f" {plain(text)} "


def share_stated(texts: Iterable[str], facts: Iterable[Fact]) -> float:
    """Return the share of the facts that the texts state; 1.0 when there is nothing to tell."""
    said = list(texts)
    wanted = list(facts)
    if not wanted:
        return 1.0
    return sum(any(states_fact(text, fact) for text in said) for fact in wanted) / len(wanted)


def _tells_date(text: str, day: date) -> bool:
    month = _MONTHS[day.month - 1]
    name = rf"(?:{month}|{month[:3]}\.?)"
    d, m, y = f"0?{day.day}", f"0?{day.month}", rf"(?:{day.year}|{day.year % 100:02d})"
    ordinal = r"(?:st|nd|rd|th)?"
    forms = (
        rf"{day.year}[-/.]{m}[-/.]{d}",
        rf"{d}[-/.]{m}[-/.]{y}",
        rf"{m}[-/.]{d}[-/.]{y}",
        rf"{name}\s+(?:the\s+)?{d}{ordinal}",
        rf"{d}{ordinal}\s+(?:of\s+)?{name}",
    )
    return re.search(rf"(?<!\d)(?:{'|'.join(forms)})(?!\d)", text.casefold()) is not None
