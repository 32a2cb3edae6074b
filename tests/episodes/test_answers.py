"""Rows of a request and its response: the answer is the conversation's last message, and never lost in silence."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fama.episodes.foreign.logged_answers import FURTHER, answered
from fama.episodes.foreign.logged_content import THOUGHTS
from fama.episodes.foreign.logged_messages import USER_TOOLS, messages_of
from fama.errors import BadInput
from tests.support.foreign_logs import SAID, imported, write_lines

ASKED = SAID[:1]
FINAL: dict[str, Any] = {"role": "assistant", "content": "Final"}
CALL = {"id": "c", "function": {"name": "get", "arguments": "{}"}}


@pytest.mark.parametrize(
    "fields",
    [
        {"response": "Final"},
        {"completion": "Final", "output": "Final", "response": None},
        {"response": FINAL},
        {"response": {"choices": [{"index": 0, "message": FINAL}]}},
        {"response": '{"choices": [{"message": {"role": "assistant", "content": "Final"}}]}'},
        {"response": {"status_code": 200, "body": {"choices": [{"message": {**FINAL, "role": None}}]}}},
        {"choices": [{"message": FINAL}]},
        {"choices": [{"text": "Final", "index": 0}]},
        {"completion": [FINAL]},
        {"output": [{"type": "reasoning", "summary": []}, {"type": "message", **FINAL}]},
        {"response": {"output": [{"type": "message", "role": "assistant", "content": FINAL["content"]}]}},
        {"response": {"candidates": [{"content": {"role": "model", "parts": [{"text": "Final"}]}}]}},
        {"response": {"role": "assistant", "content": [{"type": "text", "text": "Final"}]}},
        {"output": [{"type": "text", "text": "Final"}]},
    ],
)
def test_an_answer_beside_the_messages_is_their_last(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = write_lines(tmp_path / "x.jsonl", [{"messages": ASKED, "reward": 1.0, **fields}])
    (episode,) = imported(path, tmp_path / "out")
    assert [(m.role, m.content) for m in episode.messages] == [("user", "Hello"), ("assistant", "Final")]
    assert episode.outcome.status == "success"
    assert episode.source.omitted == ({THOUGHTS: 1} if "reasoning" in str(fields) else {})


def test_a_call_in_an_answer_gets_an_id_of_its_own() -> None:
    before = [*ASKED, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c", "content": ""}]
    *_, last = answered(
        before, {"response": {"message": {"tool_calls": [{**CALL, "function": {"name": "set"}}]}}}, Counter()
    )
    assert last.tool_calls is not None and last.tool_calls[0].function.name == "set" and last.tool_calls[0].id != "c"


@pytest.mark.parametrize(
    ("messages", "fields", "count"),
    [
        (SAID, {"response": "Hi"}, 0),
        (SAID, {"output": {"choices": [{"message": SAID[1]}]}}, 0),
        ([*SAID, {"role": "user", "content": "###STOP###"}], {"response": "Hi"}, 0),
        ([*SAID, *SAID, ASKED[0]], {"output": [SAID[1], SAID[1]]}, 0),
        (SAID, {"response": "Another"}, 1),
        (SAID, {"output": {"score": 1}}, 1),
        (SAID, {"response": [], "output": {}, "completion": "", "choices": None}, 0),
    ],
)
def test_an_answer_that_is_there_is_not_repeated(messages: list[Any], fields: dict[str, Any], count: int) -> None:
    omitted: Counter[str] = Counter()
    assert answered(messages, fields, omitted) == messages_of(messages)
    assert omitted[FURTHER] == count


def test_an_answer_in_words_that_were_said_before_is_new() -> None:
    """``Anything else?`` a second time was dropped in silence."""
    rows = [*ASKED, FINAL, *ASKED, {"role": "assistant", "content": "It is sent."}, *ASKED]
    assert [m.content for m in answered(rows, {"response": "Final"}, Counter())[-2:]] == ["Hello", "Final"]


def test_further_choices_are_counted() -> None:
    omitted: Counter[str] = Counter()
    choices = [{"message": FINAL}, {"message": {**FINAL, "content": "Other"}}]
    assert answered(ASKED, {"choices": choices}, omitted)[-1].content == "Final" and omitted[FURTHER] == 1


@pytest.mark.parametrize("value", [{"score": 1}, 7, ["a", "b"], [{"role": "user", "content": "x"}]])
def test_an_answer_of_an_unknown_form_is_refused_by_name(value: Any) -> None:
    with pytest.raises(BadInput, match=r"field 'output' is .*, an answer of an unknown form; append it to 'messages'$"):
        answered(ASKED, {"output": value}, Counter())


def test_what_the_user_does_with_its_own_tools_is_left_out_and_counted(tmp_path: Path) -> None:
    """As τ²-bench's telecom users do: the agent sees neither the calls nor the results."""
    rows = [
        *SAID,
        {"role": "user", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "for the user"},
        {"role": "user", "content": "Done.", "tool_calls": [{**CALL, "id": None}]},
        {"role": "tool", "content": "for the user"},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "for the agent"},
    ]
    path = write_lines(tmp_path / "x.jsonl", [{"messages": rows, "success": True}])
    (episode,) = imported(path, tmp_path / "out")
    assert [(m.role, m.content) for m in episode.messages[2:]] == [
        ("user", "Done."),
        ("assistant", None),
        ("tool", "for the agent"),
    ]
    assert not any(m.tool_calls for m in episode.messages if m.role == "user")
    call = episode.messages[3].tool_calls
    assert call is not None and call[0].id == episode.messages[4].tool_call_id == "c"
    assert episode.source.omitted == {USER_TOOLS: 4}
