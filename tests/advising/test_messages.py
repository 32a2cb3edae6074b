"""Messages of requests: ones that recent requests had, too, are read as they are read alone; several hold the rules."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.advising import request_messages as read_once
from fama.advising.conversation import read_conversation
from fama.advising.request_messages import content_key, read_messages
from fama.diagnosis.rendering import render_episode
from fama.episodes.foreign.logged_messages import messages_of
from fama.episodes.records import Episode, Message, Outcome
from fama.episodes.state import state_after
from fama.errors import BadInput
from fama.text.clean import clean_value
from tests.support.order_requests import TOOLS, USER

IDS = st.sampled_from(["", "a", "b"]) | st.none()
CALL = st.builds(
    lambda call_id, name: {"id": call_id, "type": "function", "function": {"name": name, "arguments": '{"n": 1}'}},
    IDS,
    st.sampled_from(["find", "list"]),
)
ROW = st.one_of(
    st.builds(lambda text: {"role": "user", "content": text}, st.text(max_size=5)),
    st.builds(lambda text: {"role": "user", "content": [{"type": "text", "text": text}]}, st.text(max_size=5)),
    st.builds(lambda made: {"role": "assistant", "content": None, "tool_calls": made}, st.lists(CALL, min_size=1)),
    st.builds(lambda id, name: {"role": "tool", "tool_call_id": id, "name": name, "content": "x"}, IDS, IDS),
    st.builds(lambda text: {"type": "tool_result", "role": "user", "content": text}, st.text(max_size=2)),
)


@given(st.lists(ROW, max_size=8))
def test_they_are_those_that_are_read_without_memory(rows: list[dict[str, Any]]) -> None:
    wanted = messages_of(clean_value(copy.deepcopy(rows)))
    assert read_messages(rows) == wanted
    assert read_messages(rows) == wanted


def test_the_messages_of_the_request_before_are_the_same_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    rows: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where is it, once?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "here"},
    ]
    before = read_messages(rows)
    read: list[Any] = []
    original = read_once._read

    def noted(row: Any) -> Any:
        read.append(row)
        return original(row)

    monkeypatch.setattr(read_once, "_read", noted)
    rows.append({"role": "user", "content": "And now, once?"})
    after = read_messages(json.loads(json.dumps(rows)))
    assert all(one is other for one, other in zip(before, after, strict=False))
    assert read == rows[-1:]


def test_a_key_in_use_is_taken_out_of_known_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"role": "user", "content": "My key is sk-planted-7712 here."}]
    assert "sk-planted-7712" in (read_messages(rows)[0].content or "")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-7712")
    assert read_messages(rows)[0].content == "My key is *** here."


def test_a_fault_names_its_place() -> None:
    with pytest.raises(BadInput, match=r"messages\[1\]: unknown role"):
        read_messages([{"role": "user", "content": "Hello."}, {"role": "nobody", "content": "x"}])


class Text(str):
    """Text of another type, which readers may read as something else."""


@pytest.mark.parametrize("value", [{"a": Text("x")}, {"a": object()}, {"a": {1, Text("x")}}])
def test_values_of_other_types_have_no_key(value: Any) -> None:
    assert content_key(value) is None


def test_keys_tell_values_apart_as_their_types_do() -> None:
    values = [{"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"a": None}, {1: "a"}, {"1": "a"}, ["a"], {"a": []}]
    assert len({content_key(value) for value in values}) == len(values)
    long = json.loads(json.dumps({"content": "x" * 9, "parts": ["y", "y"]}))
    assert content_key(long) == content_key({"content": "".join(["xxxx", "xxxxx"]), "parts": ["y", "y"]})


def test_rules_in_several_messages_are_one_policy_for_all_who_read_it() -> None:
    """Frameworks put rules, memory and the date into messages of their own; helpers saw the first one."""
    rules, more = {"role": "system", "content": "Ask first."}, {"role": "developer", "content": "Never refund."}
    late = {"role": "system", "content": "Be brief."}
    joined = "Ask first.\n\nNever refund."
    read = read_conversation([rules, more, USER, late], TOOLS, None)
    assert read.policy == joined and [m.role for m in read.history] == ["system", "user", "system"]
    assert [m.content for m in read.messages()] == [USER["content"]]
    given = read_conversation([rules, more, USER], TOOLS, "Own rules.")
    assert given.policy == "Own rules." and [m.role for m in given.history] == ["system", "user"]
    greeted = [{"role": "assistant", "content": "Hi"}, late, USER]
    assert (read_conversation([USER], TOOLS, None).policy, read_conversation(greeted, TOOLS, None).policy) == (
        "",
        "Be brief.",
    )
    said = tuple(Message(role="system", content=text) for text in ("Ask first.", "", "Never refund."))
    logged = Episode(
        id="e",
        benchmark="b",
        domain="d",
        task_id="t",
        messages=(*said, Message(role="user", content="Hello")),
        outcome=Outcome(status="failure"),
    )
    assert state_after(logged).policy == joined
    assert joined in render_episode(logged, 1000)
