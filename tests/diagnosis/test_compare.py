"""Comparison of values: numbers by value and in full, ids as text."""

from typing import Any

import pytest

from fama.diagnosis.detectors.compare import differences, match, references
from fama.dialogue.calls import calls_of
from fama.episodes.records import FunctionCall, GoldAction, Message, ToolCall


@pytest.mark.parametrize(
    ("gold", "actual", "equal"),
    [
        ("1000000123", "1000000124", False),
        (792130007535, 792130045878, False),
        (1234567.89, 1234567.12, False),
        ("12345678901234567890", "12345678901234567891", False),
        (0.1234567, 0.1234568, False),
        (100, 100.0, True),
        ("100", 100, True),
        ("54.00", 54, True),
        (-0.0, 0, True),
        ("007", "7", False),
        ("1e3", "1000", False),
        ("nan", "NaN", True),
        ("#W1", "w1", True),
        (True, 1, False),
        (10**400, 10**400, True),
        (10**40, 10**40 + 1, False),
        (float("inf"), float("inf"), True),
        (1e300, 1e300, True),
    ],
)
def test_values(gold: Any, actual: Any, equal: bool) -> None:
    assert (differences({"x": gold}, {"x": actual}) == []) is equal
    assert (differences({"x": [gold, "y"]}, {"x": ["y", actual]}) == []) is equal


def test_arguments_that_nobody_can_read_are_not_compared() -> None:
    call = ToolCall(id="a", function=FunctionCall(name="cancel", arguments="order one"))
    (made,) = calls_of([Message(role="assistant", tool_calls=(call,))])
    found = match(references([GoldAction(name="cancel", arguments='{"order_id": "1"}')]), [made])
    assert [differing for _, _, differing in found.pairs] == [[]] and not found.missing
