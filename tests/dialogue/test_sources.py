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
        st.sampled_from(
            [
                "a1",
                "#A1.",
                "a1b",
                "é12",
                "12,000",
                "12.00",
                "+1 (555) 123-4567",
                "say a-1",
                "",
                "12 345-67",
                "1234567",
                "1 2",
            ]
        ),
        max_size=6,
    ),
    st.sampled_from(
        [
            "a1",
            "#A1",
            "A-1",
            12,
            12.0,
            "é12",
            "12",
            "5551234567",
            "(555) 123 4567",
            "order_12",
            "-",
            ".",
            True,
            "1234567",
        ]
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("am 27.05.2024", "2024-05-27"),
        ("on 27/05/2024", "2024-05-27T10:00"),
        ("我想改到5月27日", "2024-05-27"),
        ('{"date": "2024-05-27"}', "05/27/2024"),
        ('{"date": "2024-05-27"}', "27.05.2024"),
        ("May 27, 2024", "05/27/2024"),
        ("call +49 151 2345 6789", "+4915123456789"),
        ("call 555-123-4567", "+1 (555) 123-4567"),
        ("020 7946 0958", "02079460958"),
        ("card 4111-1111-1111-1111", "4111111111111111"),
        ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        ("I pay 1,234 dollars", "$1234.00"),
        ('{"fee": 51.0}', "51.00"),
    ],
)
def test_a_date_a_number_and_an_amount_count_however_they_are_written(text: str, value: str) -> None:
    sources = Sources((Message(role="user", content=text),), ())
    assert sources.supported(value, 1)
    assert not Sources((Message(role="user", content="nothing"),), ()).supported(value, 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("am 27.05.2024", "2024-06-27"),
        ('{"date": "2024-05-27"}', "05/28/2024"),
        ("card 4111 1111 1111 1112", "4111111111111111"),
        ("4111 1111, then 1111 1111", "4111111111111111"),
        ("x49 151 2345 6789", "49151234567"),
        ("I pay 1,234 dollars", "$1235"),
        ("what comes next?", "12-34-5678"),
        ("today", "10.12.5678"),
        ("about 3.14", "3.14159"),
        ("order 123456789", "1234567.89"),
        ("7" * 40, "7 " * 40),
    ],
)
def test_another_date_or_number_does_not_count(text: str, value: str) -> None:
    assert not Sources((Message(role="user", content=text),), ()).supported(value, 1)


def test_a_wrong_date_in_another_form_comes_from_the_output_that_has_it() -> None:
    sources = Sources((Message(role="tool", content='{"date": "2024-05-27"}'),), ())
    assert sources.last("05/27/2024", 1, "tool") == 0


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
