"""Comparison of values: numbers by value and in full, ids as text."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama.diagnosis.detectors.action_differences import (
    Matching,
    Reference,
    argument_differences,
    match,
    references,
    same_object,
)
from fama.dialogue.calls import Call, calls_of
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
        ("कि", "की", False),
        ("Zürich", "Zu\u0308rich", True),
        ("ＡＢ１", "ab1", True),
        ("***", "*", False),
        ("👍", "👎", False),
        ("None", "none.", True),
    ],
)
def test_values(gold: Any, actual: Any, equal: bool) -> None:
    assert (argument_differences({"x": gold}, {"x": actual}) == []) is equal
    assert (argument_differences({"x": [gold, "y"]}, {"x": ["y", actual]}) == []) is equal


def test_null_is_as_good_as_left_out_and_a_word_for_it_is_not() -> None:
    assert not argument_differences({"a": None, "b": 1}, {"b": 1})
    assert argument_differences({"a": "none"}, {}) and argument_differences({"a": None}, {"a": 1})


def test_arguments_that_nobody_can_read_are_not_compared() -> None:
    call = ToolCall(id="a", function=FunctionCall(name="cancel", arguments="order one"))
    (made,) = calls_of([Message(role="assistant", tool_calls=(call,))])
    found = match(references([GoldAction(name="cancel", arguments='{"order_id": "1"}')]), [made])
    assert [differing for _, _, differing in found.pairs] == [[]] and not found.missing


VALUES = st.sampled_from(
    ["1", 1, 1.0, "01", "a b", "A  b.", None, True, "true", "", [], ["x", "y"], ["y", "x"], '["x"]', {"k": 1}]
)
ARGUMENTS = st.dictionaries(st.sampled_from(["id", "order_id", "item_ids", "note", "x.y"]), VALUES, max_size=3)
NAMES = st.sampled_from(["change", "book"])
TEXTS = ["a1", "#A1.", "a1b", "é12", "12,000", "12.00", "+1 (555) 123-4567", "say a-1", ""]


def by_plain_loops(wanted: list[Reference], calls: list[Call]) -> Matching:
    """Pair them by comparing each with each."""
    options = sorted(
        (not same_object(reference.arguments, call.arguments), len(found), i, j)
        for i, reference in enumerate(wanted)
        for j, call in enumerate(calls)
        if reference.name == call.name
        for found in [argument_differences(reference.arguments, call.arguments)]
    )
    free = set(range(len(wanted))), set(range(len(calls)))
    pairs = []
    for _, _, i, j in options:
        if i in free[0] and j in free[1]:
            free[0].discard(i)
            free[1].discard(j)
            pairs.append((wanted[i], calls[j], argument_differences(wanted[i].arguments, calls[j].arguments)))
    return Matching(pairs, [wanted[i] for i in sorted(free[0])], [calls[j] for j in sorted(free[1])])


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.builds(Reference, NAMES, ARGUMENTS), max_size=6),
    st.lists(st.tuples(NAMES, ARGUMENTS), max_size=6),
)
def test_pairs_are_those_of_comparing_each_with_each(
    wanted: list[Reference], made: list[tuple[str, dict[str, Any]]]
) -> None:
    messages = [
        Message(
            role="assistant",
            tool_calls=(ToolCall(id=str(n), function=FunctionCall(name=name, arguments=json.dumps(arguments))),),
        )
        for n, (name, arguments) in enumerate(made)
    ]
    calls = list(calls_of(messages))
    assert repr(match(wanted, calls)) == repr(by_plain_loops(wanted, calls))
