"""Calls and their results: how they are paired, and when a result reads as an error."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.dialogue.calls import Call, calls_of, is_error
from fama.episodes.records import FunctionCall, Message, ToolCall

Result = tuple[str | None, str]


def turn(ids: list[str], results: list[Result]) -> list[Message]:
    calls = tuple(ToolCall(id=i, function=FunctionCall(name=f"tool_{i}", arguments="{}")) for i in ids)
    answers = [Message(role="tool", content=text, tool_call_id=named) for named, text in results]
    return [Message(role="assistant", tool_calls=calls), *answers]


def paired(*turns: list[Message]) -> list[str | None]:
    return [call.result for call in calls_of([message for part in turns for message in part])]


@pytest.mark.parametrize(
    ("turns", "results"),
    [
        ([turn(["a", "b"], [("b", "B"), ("a", "A")])], ["A", "B"]),
        ([turn(["a", "b"], [(None, "1"), (None, "2")])], ["1", "2"]),
        ([turn(["", ""], [("", "1"), ("", "2")])], ["1", "2"]),
        ([turn(["a", "b"], [])], [None, None]),
        ([turn(["a", "b"], [("b", "B")])], [None, "B"]),
        ([turn(["a"], [("a", "A"), ("a", "again")])], ["A"]),
        ([turn(["a"], [("x", "X")])], [None]),
        ([turn([""], [("x", "X")])], ["X"]),
        # servers that count their ids anew in every turn
        ([turn(["0", "1"], [("1", "B"), ("0", "A")]), turn(["0", "1"], [("1", "D"), ("0", "C")])], list("ABCD")),
        ([turn(["0"], []), turn(["0"], [("0", "B")])], [None, "B"]),
        ([turn(["0", "0"], [("0", "A"), ("0", "B")])], ["A", "B"]),
        # a result that comes late belongs to its id
        ([turn(["a"], []), turn(["b"], [("b", "B"), ("a", "A")])], ["A", "B"]),
        # a result without an id stays in its turn
        ([turn([""], []), turn([""], [(None, "B")])], [None, "B"]),
        # a result before its call is none of it
        ([[Message(role="tool", content="early", tool_call_id="a")], turn(["a"], [])], [None]),
    ],
)
def test_results_go_to_their_calls(turns: list[list[Message]], results: list[str | None]) -> None:
    assert paired(*turns) == results


IDS = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6)


@given(ids=IDS, data=st.data())
def test_unique_ids_pair_in_any_order_whatever_is_missing(ids: list[str], data: st.DataObject) -> None:
    there = data.draw(st.permutations(ids)) if ids else []
    there = list(there)[: data.draw(st.integers(0, len(ids)))]
    made = calls_of(turn(ids, [(i, f"result of {i}") for i in there]))
    assert [call.result for call in made] == [f"result of {i}" if i in there else None for i in ids]


@given(sizes=st.lists(st.integers(0, 4), max_size=5), cut=st.integers(0, 4), own_id=st.sampled_from(["", "call_1"]))
def test_ids_that_repeat_or_are_empty_pair_by_order_within_their_turn(sizes: list[int], cut: int, own_id: str) -> None:
    turns = [
        turn([own_id] * size, [(own_id or None, f"{place}.{number}") for number in range(min(size, cut))])
        for place, size in enumerate(sizes)
    ]
    expected = [f"{p}.{n}" if n < cut else None for p, size in enumerate(sizes) for n in range(size)]
    assert paired(*turns) == expected


ANY_ID = st.sampled_from(["", "a", "b", "c"])
ANY_TURN = st.builds(
    turn,
    st.lists(ANY_ID, max_size=4),
    st.lists(st.tuples(st.one_of(st.none(), ANY_ID), st.text(max_size=3)), max_size=5),
)


@given(st.lists(ANY_TURN, max_size=5))
def test_no_result_is_used_twice_before_its_call_or_against_its_id(turns: list[list[Message]]) -> None:
    messages = [message for part in turns for message in part]
    made = calls_of(messages)
    ids = [call.id for message in messages for call in message.tool_calls or ()]
    assert len(made) == len(ids) and [call.order for call in made] == list(range(len(made)))
    used = [call.result_step for call in made if call.result_step is not None]
    assert len(used) == len(set(used))
    count = Counter(ids)
    for call, own in zip(made, ids, strict=True):
        assert call.answered == (call.result_step is not None)
        if call.result_step is None:
            continue
        answer = messages[call.result_step]
        assert call.result_step > call.step and answer.role == "tool" and call.result == (answer.content or "")
        assert own == (answer.tool_call_id or "") or not (own and answer.tool_call_id)
        if count[own] > 1 or not own:
            assert not any(m.role == "assistant" for m in messages[call.step + 1 : call.result_step])


@given(st.lists(ANY_TURN, max_size=5))
def test_an_extra_result_at_the_end_changes_no_pair(turns: list[list[Message]]) -> None:
    messages = [message for part in turns for message in part]
    extra = [*messages, Message(role="user", content="x"), Message(role="tool", content="y", tool_call_id="stranger")]
    named = [call for call in calls_of(messages) if call.answered]
    assert [c.result_step for c in calls_of(extra) if c.answered and c.result_step != len(extra) - 1] == [
        call.result_step for call in named
    ]


def test_a_call_without_a_result_neither_failed_nor_succeeded() -> None:
    (call,) = calls_of(turn(["a"], []))
    assert (call.answered, call.failed, call.succeeded, call.busy) == (False, False, False, False)
    (call,) = calls_of(turn(["a"], [("a", "")]))
    assert (call.answered, call.failed, call.succeeded) == (True, False, True)


@pytest.mark.parametrize(
    ("result", "failed", "busy"),
    [
        ("Error: no such loan", True, False),
        ("not found", True, False),
        ("Unknown action x", True, False),
        ('"Error: x"', True, False),
        ("(error) x", True, False),
        ("Please try again later.", True, True),
        ("The errors were fixed.", False, False),
        ("Order 503 was sent.", False, False),
        ("Try again and again, sang the choir. " * 20, False, False),
        ('{"error": "busy, retry"}', True, True),
        ('{"error": "order W16048 has no item I5503"}', True, False),
        ('{"error": "HTTP 503"}', True, True),
        ('{"error": null, "id": 1}', False, False),
        ('{"ok": false}', True, False),
        ('{"success": false, "message": "timed out"}', True, True),
        ('{"status": false, "message": "not logged in"}', True, False),
        ('{"status": "busy"}', True, True),
        ('{"status": "failed", "payment": "P1"}', False, False),
        ('{"note": "a temporary address"}', False, False),
        ('{"status": "cancelled"}', False, False),
        ('[{"error_rate": 1}]', False, False),
        ('{"status": "failed"}', True, False),
        ('{"status": 404, "message": "no such order"}', True, False),
        ('{"success": "false"}', True, False),
        ('{"ok": 0}', True, False),
        ('{"errors": ["x"]}', True, False),
        ('{"errors": []}', False, False),
        ('{"isError": true, "content": []}', True, False),
        ('{"message": "Order not found"}', True, False),
        ('{"message": "Thank you"}', False, False),
        ("Order not found", True, False),
        ("Could not find order W1.", True, False),
        ("The system is busy.", True, True),
        ("Busy Bee hotel, 3 stars", False, False),
        ("Temporary address saved.", False, False),
        ("Refund policy: refunds are retried in 3 days.", False, False),
        ("", False, False),
        ("Cannot cancel: order already shipped", True, False),
        ("Couldn't connect to the server", True, False),
        ("Unable to book: the room is taken", True, False),
        ("Cannot log in? Reset your password under Settings.", False, False),
        ("Cannot be seen from the street. " * 20, False, False),
        ("Permission denied", True, False),
        ("Denied: no right to see this order", True, False),
        ("denied", False, False),  # the status of a claim
        ("You are not allowed to see this order.", True, False),
        ("Pets are not allowed.", False, False),
        ("HTTP 500 Internal Server Error", True, False),
        ("HTTP/1.1 404", True, False),
        ("HTTP error 429", True, True),
        ("403 Forbidden", True, False),
        ("HTTP 200 OK", False, False),
        ("500 points were added.", False, False),
        ("The order does not exist.", True, False),
        ("Your request could not be processed.", True, False),
        ('{"code": 404, "message": "Order closed"}', True, False),
        ('{"code": "429", "message": "Slow down"}', True, True),
        ('{"statusCode": 500, "message": "oops"}', True, False),
        ('{"code": 200, "message": "ok"}', False, False),
        ('{"code": "451", "title": "A novel"}', False, False),
        ('{"code": 404, "name": "A product"}', False, False),
        ('{"message": "Permission denied"}', True, False),
        ('{"order": 1, "error": "No error"}', False, False),
        ('{"order": 1, "error": "None"}', False, False),
        ('{"order": 1, "error": {"code": 0, "message": "OK"}}', False, False),
        ('{"order": 1, "error": {"code": 7, "message": "OK"}}', True, False),
        ('{"order": 1, "isError": "false"}', False, False),
        ("Your booking is confirmed. Please try again only if you do not get an email.", False, False),
        ("Your booking could not be completed. Please try again later.", True, True),
        ("Nothing was saved. Please try again.", True, True),
        ("Request timed out", True, True),
        ("Timeout after 30 s", True, True),
        ("Session timeout set to 30 minutes", False, False),
        ('[{"error": null, "order_id": "W1"}]', False, False),
        ('[{"error": "no such order"}, {"id": 1}]', True, False),
        ('["Error: no such order"]', True, False),
        ('{"Error": "no such order"}', True, False),
        ('{"errorMessage": "no such order", "order": 1}', True, False),
        ('{"error_message": null, "order": 1}', False, False),
        ("{'error': None, 'order': 1}", False, False),
        ("{'success': False, 'message': 'no such order'}", True, False),
        ("{'status': 'error', 'order': 1}", True, False),
    ],
)
def test_errors_and_passing_errors(result: str, failed: bool, busy: bool) -> None:
    call = Call(0, 0, "get_loan", {}, "{}", result, 1)
    assert is_error(result) is failed
    assert (call.failed, call.succeeded, call.busy) == (failed, not failed, busy)


def test_identical_calls_have_equal_keys() -> None:
    one = Call(0, 0, "a", {"x": 1, "y": 2}, '{"x": 1, "y": 2}')
    other = Call(4, 1, "a", {"y": 2, "x": 1}, '{"y": 2,"x": 1}', "ok", 5)
    assert one.key == other.key != Call(0, 0, "a", {}, "x: 1").key
    assert other.quote(10) == 'a({"y": 2…'
