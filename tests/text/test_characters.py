"""Characters and counts as they come in: what no log can hold is replaced, what is no count is unknown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.text.clean import clean, clean_value
from fama.text.counts import MOST_TOKENS, token_count
from fama.text.json_numbers import MOST_LEVELS, not_deep


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\ud800b", "a?b"),
        ("\udc00\ud800", "??"),
        ("\ud83d\ude00", "\U0001f600"),
        ("a\x00b\x1b[31m\x7f", "a\ufffdb\ufffd[31m\ufffd"),
        ("a\x9b31m\x80", "a\ufffd31m\ufffd"),
        ("next\x85line", "next\x85line"),
        ("tab\t line\r\n feed\x0c", "tab\t line\r\n feed\x0c"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text())
def test_cleaned_text_can_be_written_and_stays(text: str) -> None:
    clean(text).encode("utf-8")
    assert clean(clean(text)) == clean(text)


def test_clean_value_reaches_keys_and_stops_at_depth() -> None:
    assert clean_value({"\ud800": ["\x00", 1, None, ("a",)]}) == {"?": ["\ufffd", 1, None, ["a"]]}
    assert clean_value([float("nan"), float("-inf"), 1.5]) == [None, None, 1.5]
    deep: Any = 1
    for levels in range(1, 5000):
        deep = [deep]
        if levels < MOST_LEVELS:
            assert clean_value([[not_deep(deep)]]) == [[deep]]  # what is taken in at all stays whole
    clean_value(deep)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        ("12", 12),
        (MOST_TOKENS, MOST_TOKENS),
        (MOST_TOKENS + 1, None),
        (10**30, None),
        (-1, None),
        (1.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        (None, None),
        ("many", None),
        ("9" * 5000, None),
        ([1], None),
    ],
)
def test_token_count(value: Any, count: int | None) -> None:
    assert token_count(value) == count
