"""Events of streamed replies, as odd servers send them."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.episodes.records import LedgerRow
from fama.models.base import ChatRequest
from fama.models.content import reply_calls
from fama.models.usage import read_usage
from fama.serving.events import Assembled, EventSplitter, OpeningFilter
from tests.support.serving import DONE, chunk

OPENING = "Note: Alpha speaks.\n"


def calls(*pieces: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The id, name and arguments of the calls that these pieces make."""
    assembled = Assembled(10_000)
    for piece in pieces:
        assembled.add(chunk(tool_calls=[piece]))
    assembled.add(chunk(finish="tool_calls"))
    whole = assembled.whole()
    assert whole is not None
    made = whole["choices"][0]["message"]["tool_calls"]
    return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in made]


def part(name: str | None, arguments: str, **more: Any) -> dict[str, Any]:
    return {**more, "function": {"name": name, "arguments": arguments}}


def test_pieces_of_a_legacy_call_are_put_together() -> None:
    assembled = Assembled(10_000)
    for piece in ({"name": "f", "arguments": ""}, {"arguments": '{"x"'}, {"name": None, "arguments": ":1}"}):
        assembled.add(chunk(function_call=piece))
    assembled.add(chunk(finish="function_call"))
    whole = assembled.whole()
    assert whole is not None
    assert whole["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": '{"x":1}'}


def test_calls_are_told_apart_by_index_and_by_id() -> None:
    one, two = part("f", "{}", id="a"), part("g", "{}", id="b")
    both = [("a", "f", "{}"), ("b", "g", "{}")]
    assert calls(one, two) == both, "whole calls without an index"
    assert calls({**one, "index": 0}, {**two, "index": 0}) == both, "whole calls, all with the same index"
    assert calls({**two, "index": 1}, {**one, "index": 0}) == both
    split = [part("f", "{", id="a", index=0), part(None, '"x"', id="other", index=0), part(None, ":1}", index=0)]
    assert calls(*split) == [("a", "f", '{"x":1}')], "pieces of one call, each with an id of its own"
    assert calls(part("f", "{", id="a"), part(None, "}")) == [("a", "f", "{}")]
    nameless = [part("f", '{"x":1}', id="", index=0), part("f", '{"x":2}', id="", index=0), part("g", "{}", index=0)]
    assert calls(*nameless) == [("", "f", '{"x":1}'), ("", "f", '{"x":2}'), ("", "g", "{}")], (
        "whole calls without an id"
    )
    assert calls(part("f", "", index=0), part(None, "{", index=0), part("", "}", index=0)) == [("", "f", "{}")]


@pytest.mark.parametrize("ids", [("a", "a", "a"), ("a", None, ""), (None, None, None)])
def test_a_name_in_every_piece_of_a_call_is_one_name(ids: tuple[str | None, ...]) -> None:
    pieces = [part("get_order", text, id=id_, index=0) for text, id_ in zip(("", '{"x"', ":1}"), ids, strict=True)]
    assert calls(*pieces) == [(ids[0] or "", "get_order", '{"x":1}')]
    assert calls(part("get_", "", index=0), part("order", "{}", index=0)) == [("", "get_order", "{}")]
    assembled = Assembled(10_000)
    for piece in pieces:
        assembled.add(chunk(function_call=piece["function"]))
    assembled.add(chunk(finish="function_call"))
    whole = assembled.whole()
    assert whole is not None
    assert whole["choices"][0]["message"]["function_call"] == {"name": "get_order", "arguments": '{"x":1}'}


@given(st.lists(st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"]), min_size=1, max_size=6))
def test_mixed_ends_of_lines_end_events(ends: list[bytes]) -> None:
    splitter = EventSplitter()
    events = splitter.feed(b"".join(b"data: %d" % number + end for number, end in enumerate(ends)))
    assert [event.strip() for event in events] == [b"data: %d" % number for number in range(len(ends))]


def test_an_event_in_single_bytes_takes_linear_time() -> None:
    splitter, began = EventSplitter(), time.process_time()
    assert not [event for _ in range(200_000) for event in splitter.feed(b"x")]
    assert splitter.feed(b"\n") == [] and len(splitter.feed(b"\n")) == 1
    assert time.process_time() - began < 2  # 20,000 million bytes looked at again took minutes


def test_words_that_might_be_the_note_are_not_lost() -> None:
    for end in (DONE, b""):
        opening = OpeningFilter(OPENING)
        events = opening.passed(chunk(content="Note: Al")) + (opening.passed(end) if end else opening.rest())
        said = b"".join(events)
        trees = [json.loads(line[6:]) for line in said.splitlines() if line.startswith(b"data: {")]
        assert [tree["choices"][0]["delta"]["content"] for tree in trees] == ["", "Note: Al"]
        assert trees[1]["id"] == "c1" and said.endswith(end) and opening.rest() == []
        assembled = Assembled(1000)
        for event in [*events, DONE]:
            assembled.add(event)
        whole = assembled.whole()
        assert whole is not None and whole["choices"][0]["message"]["content"] == "Note: Al", "events, one by one"


def test_a_changed_event_keeps_its_other_lines_and_odd_ones_pass() -> None:
    opening = OpeningFilter(OPENING)
    named = b"id: 7\nevent: x\n" + chunk(content=f"{OPENING}Hi")
    (passed,) = opening.passed(named)
    assert passed.startswith(b"id: 7\nevent: x\ndata: {") and OPENING.encode() not in named[:20]
    for tree in (
        {"choices": [{"index": [1], "delta": {"content": "x"}}]},
        {"choices": [{"delta": None}, None, 3]},
        [1],
    ):
        event = b"data: " + json.dumps(tree).encode() + b"\n\n"
        assert opening.passed(event) == [event]
        Assembled(1000).add(event)


#: What servers put into every piece for an end that is not there yet, and for no call.
NO_END: list[Any] = [None, "", "null"]
NO_CALLS: list[Any] = [
    None,
    "",
    "null",
    [],
    {},
    [None],
    [{}],
    [{"index": 0, "function": {"name": "", "arguments": ""}}],
]


@pytest.mark.parametrize("finish", NO_END)
@pytest.mark.parametrize("nothing", NO_CALLS, ids=json.dumps)
def test_fields_that_stand_for_nothing_let_no_note_out_and_make_no_call(nothing: Any, finish: Any) -> None:
    said = [OPENING[:6], OPENING[6:], "Hel", "lo"]
    more = {"tool_calls": nothing, "function_call": nothing, "refusal": False}
    events = [chunk(finish=finish, content=piece, **more) for piece in said] + [chunk(finish="stop"), DONE]
    opening, assembled = OpeningFilter(OPENING), Assembled(100_000)
    passed = b"".join(one for event in events for one in opening.passed(event))
    for event in EventSplitter().feed(passed):
        assembled.add(event)
    whole = assembled.whole()
    assert whole is not None and whole["choices"][0]["finish_reason"] == "stop"
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "Hello"}


FULL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": {"x": 1}}}
WHOLE_CALLS: dict[str, Any] = {
    "an object": {"tool_calls": FULL},
    "arguments as an object": {"tool_calls": [FULL]},
    "bare": {"tool_calls": [{"id": "c", "name": "f", "arguments": '{"x": 1}'}]},
    "json text": {"tool_calls": json.dumps([FULL])},
    "legacy": {"function_call": FULL["function"]},
    "legacy as json text": {"function_call": json.dumps(FULL["function"])},
}


@pytest.mark.parametrize("form", WHOLE_CALLS)
def test_whole_calls_of_any_form_are_kept(form: str) -> None:
    assembled = Assembled(10_000)
    assembled.add(chunk(role="assistant", content=None, **WHOLE_CALLS[form]))
    assembled.add(chunk(finish="tool_calls"))
    whole = assembled.whole()
    assert whole is not None
    (call,) = reply_calls(whole["choices"][0]["message"], [])
    assert (call.function.name, call.function.arguments) == ("f", '{"x": 1}')


def test_words_that_come_as_parts_are_kept_without_thoughts() -> None:
    assembled = Assembled(10_000)
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    for content in ([thought], [{"type": "text", "text": "Hel"}], "lo", {"text": "!"}, None):
        assembled.add(chunk(content=content))
    assembled.add(DONE)
    whole = assembled.whole()
    assert whole is not None and whole["choices"][0]["message"]["content"] == "Hello!"


TOLD = {"prompt_tokens": 19, "completion_tokens": 13}


def usage_of(*trees: dict[str, Any]) -> LedgerRow:
    """The ledger row of a streamed reply."""
    assembled = Assembled(10_000)
    for tree in trees:
        assembled.add(b"data: " + json.dumps(tree).encode())
    assembled.add(DONE)
    whole = assembled.whole()
    assert whole is not None
    return read_usage(whole, ChatRequest(role="agent", messages=()), "m", 0.0, None)


def test_usage_that_stands_in_the_last_choice_is_the_replys_where_there_is_one() -> None:
    words = {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    last: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": TOLD}
    row = usage_of(words, {"choices": [last]})
    assert (row.input_tokens, row.output_tokens) == (19, 13)
    row = usage_of(words, {"choices": [last]}, {"choices": [], "usage": {**TOLD, "completion_tokens": 14}})
    assert (row.input_tokens, row.output_tokens) == (19, 14)
    row = usage_of(words, {"choices": [last, {**last, "index": 1}]})
    assert (row.input_tokens, row.output_tokens) == (None, None), "each choice counts the prompt"


def test_groq_tells_in_its_own_field_what_a_reply_took_and_that_it_was_broken_off() -> None:
    words = {"x_groq": {"id": "req_1"}, "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    row = usage_of(words, {**last, "x_groq": {"id": "req_1", "usage": TOLD}})
    assert (row.input_tokens, row.output_tokens) == (19, 13)
    row = usage_of(words, {**last, "x_groq": {"usage": TOLD}}, {"choices": [], "usage": {**TOLD, "prompt_tokens": 20}})
    assert (row.input_tokens, row.output_tokens) == (20, 13)
    assembled = Assembled(1000)
    for tree in (words, {"x_groq": {"id": "req_1", "error": "over_capacity"}, "choices": []}):
        assembled.add(b"data: " + json.dumps(tree).encode())
    assembled.add(DONE)
    assert assembled.whole() is None


def test_what_llama_cpp_had_cached_is_told_by_its_timings() -> None:
    last = {"choices": [], "usage": TOLD, "timings": {"cache_n": 18, "prompt_n": 1}}
    assert usage_of({"choices": [{"delta": {"content": "Hi"}}]}, last).cached_input_tokens == 18


@pytest.mark.parametrize("usage", [None, {}])
def test_an_empty_usage_takes_the_place_of_none(usage: Any) -> None:
    assembled, told = Assembled(10_000), {"prompt_tokens": 9, "completion_tokens": 2}
    assembled.add(b"data: " + json.dumps({"choices": [], "usage": told}).encode())
    assembled.add(chunk(content="Hi", finish="stop"))
    assembled.add(b"data: " + json.dumps({"choices": [], "usage": usage}).encode())
    whole = assembled.whole()
    assert whole is not None and whole["usage"] == told


def test_a_stream_that_says_that_the_server_failed_is_no_whole_reply() -> None:
    for tree in ({"error": {"message": "died"}}, {"choices": [{"delta": {}, "error": {"message": "died"}}]}):
        assembled = Assembled(10_000)
        for event in (chunk(content="Half an ans"), b"data: " + json.dumps(tree).encode(), chunk(finish="stop"), DONE):
            assembled.add(event)
        assert assembled.whole() is None
