"""Sources of values: found where a look at every text finds them, and quickly."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama.dialogue import sources as source_module
from fama.dialogue.facts import normal_text
from fama.dialogue.sources import Sources, _forms, _holds
from fama.episodes.records import Message


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a1", "#A1.", "a1b", "é12", "12,000", "12.00", "+1 (555) 123-4567", "say a-1", ""]), max_size=6
    ),
    st.sampled_from(
        ["a1", "#A1", "A-1", 12, 12.0, "é12", "12", "5551234567", "(555) 123 4567", "order_12", "-", ".", True]
    ),
    st.integers(-1, 7),
)
def test_values_are_where_a_look_at_every_text_finds_them(texts: list[str], value: object, before: int) -> None:
    parts = [Message(role=("user", "assistant", "tool")[n % 3], content=text) for n, text in enumerate(texts)]
    found = Sources(parts, ()).find(value, before)
    forms = _forms(value)
    wanted = [n for n, text in enumerate(texts) if n < before and any(_holds(normal_text(text), one) for one in forms)]
    assert [seen.step for seen in found] == wanted


DATED = (
    "05/20", "5.20", "1/2/3", "may 5", "May 05", "5 may", "5th of May", "05 may", "on the 5th", "mayor 5", "12 jan",
    "010/10", "00/5", "5/0", "tomorrow", "1555.123.4567", "x5551234567", "+1 (555) 123 4567", "order_123", "say a-1",
)  # fmt: skip
SOUGHT = (
    "2024-05-20", "2024-05-05", "2024-5-5", "2024-13-05", "2024-01-02", "2024-02-03", "2024-10-10", "2024-05-00",
    "2024-01-12T10:00", "5551234567", "555-123-4567", "ORD-123", "order_123", "a1", 123, 20.0, 5.2, True, None,
)  # fmt: skip


def given_by_a_look_at_every_text(parts: list[Message], value: object, before: int) -> bool:
    """Return what ``Sources.supported`` promises, found slowly."""
    texts = [(m.role, normal_text(m.content or "")) for m in parts[: max(before, 0)] if m.role != "assistant"]
    if any(_holds(text, form) for _, text in texts for form in _forms(value)):
        return True
    date = re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", str(value).strip()[:10])
    if date is None or not 1 <= int(date[2]) <= 12:
        return False
    name, day = "jan feb mar apr may jun jul aug sep oct nov dec".split()[int(date[2]) - 1], int(date[3])
    worded = (
        rf"\b{name}[a-z]*\.? {day}\b|\b{day}(st|nd|rd|th)?( of)? {name}|\b0?{int(date[2])}[/.-]0?{day}\b"
        rf"|\b{day}(st|nd|rd|th)\b"
    )
    return any(re.search(worded, text) or (role == "user" and "tomorrow" in text) for role, text in texts)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(DATED), max_size=3).map(" ".join), max_size=6),
    st.sampled_from(SOUGHT),
    st.integers(-1, 7),
)
def test_values_are_given_when_a_look_at_every_text_says_so(texts: list[str], value: object, before: int) -> None:
    parts = [Message(role=("user", "assistant", "tool")[n % 3], content=text) for n, text in enumerate(texts)]
    assert Sources(parts, ()).supported(value, before) is given_by_a_look_at_every_text(parts, value, before)


def test_a_value_that_reads_like_a_pattern_is_text() -> None:
    sources = Sources((Message(role="user", content="Search foo1.{0,2}(bar in it."),), ())
    assert sources.supported("foo1.{0,2}(bar", 1) and not sources.supported("foo1.{0,2}[x", 1)
    assert not sources.supported("foo1.{0,2}", 0)


def test_looking_up_many_values_takes_no_look_at_every_text_each(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    real = source_module._holds

    def counted(text: str, form: Any) -> bool:
        nonlocal looks
        looks += 1
        return real(text, form)

    monkeypatch.setattr(source_module, "_holds", counted)
    count = 600
    said = [
        Message(role="user", content=f"Order W{n:05d} of anna_1 on May {n % 28 + 1}, call 555 {n:03d} {n:04d}")
        for n in range(count)
    ]
    sources = Sources(said, ())
    for n in range(count):
        for value in (f"W{n:05d}", "anna_1", f"2024-05-{n % 28 + 1:02d}", f"555-{n:03d}-{n:04d}", f"X{n:05d}"):
            assert sources.supported(value, count) is not value.startswith("X")
    assert looks < 5 * count
