"""Replies of real servers, read: their ends, their contents in every shape, and what the counts can be trusted for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.models.base import ChatReply, ChatRequest
from fama.models.ends import ReplyEnd, read_end
from fama.models.prices import Price
from fama.models.usage import with_estimate
from fama.models.wire import Malformed, ServerFailure, read_reply

ASK = ChatRequest(messages=({"role": "user", "content": "hi"},), role="agent")


def read(tree: Any, prefill: str = "", continues: bool = True, price: Price | None = None) -> ChatReply:
    asked = ChatRequest(messages=ASK.messages, role="agent", prefill=prefill)
    return read_reply(json.dumps(tree), asked, "m", 1.0, price, continues)


def choice(message: Any, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish, **more}]}


@pytest.mark.parametrize(
    ("word", "end"),
    [
        ("stop", ReplyEnd.STOP),
        (None, ReplyEnd.STOP),
        ("eos_token", ReplyEnd.STOP),
        ("tool_calls", ReplyEnd.TOOL_CALLS),
        ("function_call", ReplyEnd.TOOL_CALLS),
        ("length", ReplyEnd.LENGTH),
        ("MAX_TOKENS", ReplyEnd.LENGTH),
        ("model_length", ReplyEnd.LENGTH),
        ("content_filter", ReplyEnd.CONTENT_FILTER),
        ("SAFETY", ReplyEnd.CONTENT_FILTER),
        ("refusal", ReplyEnd.REFUSAL),
        ("error", ReplyEnd.ERROR),
        ("abort", ReplyEnd.ERROR),
        ("FinishReason.MAX_TOKENS", ReplyEnd.LENGTH),
        ("FINISH_REASON_MAX_TOKENS", ReplyEnd.LENGTH),
        ("max_new_tokens", ReplyEnd.LENGTH),
        ("incomplete", ReplyEnd.LENGTH),
        ("repetition", ReplyEnd.LENGTH),
        ("repeat", ReplyEnd.LENGTH),
        ("ERROR_LIMIT", ReplyEnd.LENGTH),
        ("content-filter", ReplyEnd.CONTENT_FILTER),
        ("ERROR_TOXIC", ReplyEnd.CONTENT_FILTER),
        ("MALFORMED_RESPONSE", ReplyEnd.ERROR),
        ("TOO_MANY_TOOL_CALLS", ReplyEnd.ERROR),
        ("end_turn", ReplyEnd.STOP),
        ({"type": "length"}, ReplyEnd.LENGTH),
        (7, ReplyEnd.STOP),
    ],
)
def test_words_for_the_end(word: Any, end: ReplyEnd) -> None:
    assert read_end(word) is end


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
CONTENTS: dict[str, tuple[Any, str, str]] = {
    "text": ("Hello", "Hello", ""),
    "none": (None, "", ""),
    "parts": ([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}], "Hello", ""),
    "texts": (["Hel", "lo"], "Hello", ""),
    "a thought among the parts": ([THOUGHT, {"type": "text", "text": "Hello"}], "Hello", "hm"),
    "a summary": ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, "Hello"], "Hello", "hm"),
    "responses": ([{"type": "output_text", "text": "Hello", "annotations": []}], "Hello", ""),
    "a value": ([{"type": "text", "text": {"value": "Hello", "annotations": []}}], "Hello", ""),
    "a dict": ({"type": "text", "text": "Hello"}, "Hello", ""),
    "a bare dict": ({"text": "Hello"}, "Hello", ""),
    "an action as a dict": ({"tool": "close", "text": "x"}, '{"tool": "close", "text": "x"}', ""),
    "gemini": ({"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "Hello"}]}, "Hello", "hm"),
    "a message": ([{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}], "Hello", ""),
    "an index": ([{"text": "Hello", "index": 0}], "Hello", ""),
    "sources": ([{"type": "text", "text": "Hello"}, {"type": "reference", "reference_ids": [1]}], "Hello", ""),
    "encoded twice": ('[{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hello"}]', "Hello", "hm"),
    "a list of data": ('[{"type": "order", "text": "x"}]', '[{"type": "order", "text": "x"}]', ""),
    "a number": (42, "42", ""),
    "false": (False, "false", ""),
}


@pytest.mark.parametrize("shape", CONTENTS)
def test_contents_in_any_shape(shape: str) -> None:
    content, text, thought = CONTENTS[shape]
    reply = read(choice({"role": "assistant", "content": content}))
    assert (reply.text, reply.reasoning, reply.unread, reply.end) == (text, thought, (), ReplyEnd.STOP)


def test_a_part_that_is_no_text_is_kept_and_told() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    reply = read(choice({"content": [{"type": "text", "text": "See "}, part]}))
    assert reply.unread == ("image_url",) and json.loads(reply.text.removeprefix("See ")) == part


@pytest.mark.parametrize(
    "more",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"thinking": "hm"},
        {"reasoning": {"content": "hm"}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}, {"type": "reasoning.encrypted", "data": "x"}]},
    ],
)
def test_fields_of_thought(more: dict[str, Any]) -> None:
    assert read(choice({"content": "Hello", **more})).reasoning == "hm"


CALLS: dict[str, dict[str, Any]] = {
    "openai": {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]},
    "an object": {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
    "not in a list": {"tool_calls": {"function": {"name": "f", "arguments": {"a": 1}}}},
    "flat": {"tool_calls": [{"name": "f", "arguments": {"a": 1}}]},
    "legacy": {"function_call": {"name": "f", "arguments": '{"a": 1}'}},
    "custom": {"tool_calls": [{"type": "custom", "custom": {"name": "f", "input": '{"a": 1}'}}]},
    "gemini": {"content": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
    "json text": {"tool_calls": '[{"function": {"name": "f", "arguments": "{\\"a\\": 1}"}}]'},
    "json text, one call": {"tool_calls": '{"name": "f", "arguments": {"a": 1}}'},
    "json text inside": {"tool_calls": ['{"function": {"name": "f", "arguments": {"a": 1}}}']},
    "json text, legacy": {"function_call": '{"name": "f", "arguments": {"a": 1}}'},
    "json text of the function": {"tool_calls": [{"function": '{"name": "f", "arguments": {"a": 1}}'}]},
    "a name as the function": {"tool_calls": [{"type": "function", "function": "f", "arguments": '{"a": 1}'}]},
    "among empty ones": {"tool_calls": [None, {}, {"name": "f", "arguments": {"a": 1}}]},
    "a part": {"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
}


@pytest.mark.parametrize("shape", CALLS)
def test_calls_in_any_shape(shape: str) -> None:
    (call,) = read(choice({"content": None, **CALLS[shape]}, "tool_calls")).tool_calls
    assert (call.function.name, call.function.parsed()) == ("f", {"a": 1}) and call.id


@pytest.mark.parametrize(
    "calls", [[3], "get_order", [{"function": {"arguments": '{"a": 1}'}}], {"name": None, "args": 1}]
)
def test_a_call_without_a_name_is_kept_for_the_parser(calls: Any) -> None:
    (call,) = read(choice({"content": None, "tool_calls": calls})).tool_calls
    assert call.function.name == "" and call.function.arguments not in ("", "{}")


@pytest.mark.parametrize("given", [None, "null", " null ", {}])
def test_arguments_of_a_call_without_any(given: Any) -> None:
    (call,) = read(choice({"content": None, "tool_calls": [{"name": "f", "arguments": given}]})).tool_calls
    assert (call.function.name, call.function.arguments) == ("f", "{}")


NO_CALLS: list[Any] = [
    *(None, "", " ", "null", "None", "[]", "{}", "[null]", 0, False, True, [], {}, [None], [{}], [""], ["{}"], [[]]),
    {"name": None, "arguments": None},
    {"name": "", "arguments": ""},
    {"name": None, "arguments": "{}"},
    [{"id": "c", "type": "function", "function": {"name": None, "arguments": " { } "}}],
    [{"id": "c", "type": "function", "function": None}],
    [{"function": {"name": "null", "arguments": "null"}}],
]


@pytest.mark.parametrize("nothing", NO_CALLS, ids=json.dumps)
@pytest.mark.parametrize("field", ["tool_calls", "function_call"])
def test_a_field_that_stands_for_no_call_takes_nothing_from_an_answer(field: str, nothing: Any) -> None:
    reply = read(choice({"content": "Hello", field: nothing}), prefill="> ")
    assert (reply.text, reply.tool_calls, reply.end) == ("> Hello", (), ReplyEnd.STOP)


@pytest.mark.parametrize("nothing", NO_CALLS, ids=json.dumps)
def test_a_call_beside_a_field_that_stands_for_none(nothing: Any) -> None:
    good = CALLS["legacy"]
    (call,) = read(choice({"content": None, "tool_calls": nothing, **good})).tool_calls
    tree = {"choices": [{"message": {"content": "Hi", "tool_calls": nothing}}, {"message": CALLS["openai"]}]}
    (other,) = read(tree).tool_calls
    assert [call.function.name, other.function.name] == ["f", "f"]


def test_a_call_that_is_given_in_three_places_is_one() -> None:
    everywhere = {**CALLS["openai"], **CALLS["legacy"], **CALLS["a part"]}
    assert [call.id for call in read(choice(everywhere, "tool_calls")).tool_calls] == ["c"]


@pytest.mark.parametrize("refusal", [False, True, 0, 1.5, "", "null", [], {}, [None], [False], {"refused": False}])
def test_a_refusal_that_holds_no_words_is_none(refusal: Any) -> None:
    for message in (
        {"content": "Hello", "refusal": refusal},
        {"content": [{"type": "text", "text": "Hello"}, {"type": "refusal", "refusal": refusal}]},
        {"content": {"text": "Hello", "refusal": refusal}},
    ):
        reply = read(choice(message))
        assert (reply.text, reply.end) == ("Hello", ReplyEnd.STOP)


@pytest.mark.parametrize("thought", [False, True, 0, "", "null", [], {}])
def test_a_thought_that_holds_no_words_is_none(thought: Any) -> None:
    reply = read(choice({"content": "Hello", "reasoning_content": thought, "thinking": "hm"}))
    assert (reply.text, reply.reasoning) == ("Hello", "hm")


@pytest.mark.parametrize(
    ("message", "finish"),
    [
        ({"content": None, "refusal": "I cannot do that."}, "stop"),
        ({"content": "", "refusal": "I cannot do that."}, "content_filter"),
        ({"content": [{"type": "refusal", "refusal": "I cannot do that."}]}, "stop"),
        ({"content": None, "refusal": [{"type": "refusal", "refusal": "I cannot do that."}]}, "stop"),
        ({"content": None, "refusal": {"text": "I cannot do that."}}, "stop"),
        ({"content": "I cannot do that."}, "refusal"),
    ],
)
def test_a_refusal_has_its_words_and_no_call(message: dict[str, Any], finish: str) -> None:
    message["tool_calls"] = CALLS["openai"]["tool_calls"]
    reply = read(choice(message, finish), prefill='{"tool": "')
    assert (reply.end, reply.text, reply.tool_calls) == (ReplyEnd.REFUSAL, "I cannot do that.", ())


FAILURES: dict[str, tuple[Any, str]] = {
    "error in the choice": (
        choice({"content": ""}, "error", error={"code": 502, "message": "Upstream died"}),
        "Upstream",
    ),
    "finish reason only": (choice({"content": "half an ans"}, "error"), "ended with 'error'"),
    "top level": ({"error": {"message": "Upstream died"}, "choices": []}, "Upstream died"),
    "a text": ({"error": "Upstream died"}, "Upstream died"),
    "vllm": ({"object": "error", "message": "Upstream died", "code": 500}, "Upstream died"),
    "detail": ({"detail": "Not authenticated"}, "Not authenticated"),
    "filtered": (choice({"content": None}, "content_filter"), "withheld"),
    "filtered without a message": ({"choices": [{"index": 0, "finish_reason": "content_filter"}]}, "withheld"),
    "minimax": ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "rate limit"),
    "minimax beside an empty choice": (
        {**choice({"content": ""}), "base_resp": {"status_code": "1013", "status_msg": "internal"}},
        "internal",
    ),
    "a list": ([{"error": {"code": 503, "message": "Upstream died"}}], "Upstream died"),
    "an unknown end of nothing": (choice({"content": None}, "OTHER"), "ended with 'OTHER' and holds nothing"),
    "the router's own word": (
        choice({"content": ""}, "stop", native_finish_reason="MALFORMED_FUNCTION_CALL"),
        "MALFORMED_FUNCTION_CALL",
    ),
    "nothing of a refusal": (choice({"content": None}, "refusal"), "withheld"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_inside_a_200_is_the_servers(kind: str) -> None:
    tree, words = FAILURES[kind]
    with pytest.raises(ServerFailure, match=words) as caught:
        usage = {"prompt_tokens": 5, "completion_tokens": 2}
        read([{**tree[0], "usage": usage}] if isinstance(tree, list) else {**tree, "usage": usage})
    assert caught.value.usage is not None and caught.value.usage.total_tokens == 7


@pytest.mark.parametrize(
    "error",
    [
        *(None, {}, "", [], False, "null", "None", "success"),
        {"code": 0, "message": "success"},
        {"code": "ok"},
        {"code": None, "message": None, "metadata": None},
        {"message": "", "type": "", "param": None, "code": ""},
        {"type": "none", "details": [{"message": None}]},
    ],
)
def test_an_error_field_that_reports_none(error: Any) -> None:
    assert read({**choice({"content": "Hello"}), "error": error}).text == "Hello"
    assert read(choice({"content": "Hello"}, error=error)).text == "Hello"
    assert read({**choice({"content": "Hello"}), "base_resp": {"status_code": 0, "status_msg": ""}}).text == "Hello"


@pytest.mark.parametrize("error", [{"message": "Upstream died", "code": None}, {"code": 500}, {"type": "overloaded"}])
def test_an_error_field_that_reports_one(error: dict[str, Any]) -> None:
    with pytest.raises(ServerFailure):
        read({**choice({"content": "Hello"}), "error": error})


def test_an_empty_reply_for_which_nothing_was_counted_is_the_servers() -> None:
    with pytest.raises(ServerFailure, match="no token"):
        read({**choice({"content": None}), "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}})
    one_token = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    assert read({**choice({"content": None}), "usage": one_token}).text == ""


@pytest.mark.parametrize(
    ("more", "end"),
    [
        ({"finish_reason": "stop", "native_finish_reason": "MAX_TOKENS"}, ReplyEnd.LENGTH),
        ({"finish_reason": "length", "native_finish_reason": "stop"}, ReplyEnd.LENGTH),
        ({"finish_reason": "stop", "native_finish_reason": "completed"}, ReplyEnd.STOP),
        ({"finish_reason": None, "stop_reason": "max_tokens"}, ReplyEnd.LENGTH),
        ({"finish_reason": None, "done_reason": "length"}, ReplyEnd.LENGTH),
        ({"finish_reason": "stop", "stop_reason": "length"}, ReplyEnd.STOP),
        ({"finish_reason": None, "stop_reason": 151645}, ReplyEnd.STOP),
    ],
)
def test_other_fields_for_the_end(more: dict[str, Any], end: ReplyEnd) -> None:
    """A ``stop_reason`` beside a ``finish_reason`` is vLLM's: the text or token that it stopped at."""
    assert read({"choices": [{"message": {"content": "Hello"}, **more}]}).end is end


def test_one_reply_in_two_choices() -> None:
    words, call = {"role": "assistant", "content": "Let me look."}, {"content": None, **CALLS["openai"]}
    tree = {"choices": [{"message": message, "finish_reason": "tool_calls"} for message in (words, call)]}
    reply = read(tree)
    assert (reply.text, [c.function.name for c in reply.tool_calls]) == ("Let me look.", ["f"])


def test_a_byte_order_mark_and_a_delta_are_passed_over() -> None:
    tree = {"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}
    assert read_reply("\ufeff" + json.dumps(tree), ASK, "m", 1.0, None).text == "Hello"


def test_no_choices_are_billed() -> None:
    with pytest.raises(Malformed, match="no choices") as caught:
        read({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0}})
    assert caught.value.usage is not None and caught.value.usage.input_tokens == 5


def test_what_a_log_cannot_hold_is_replaced_everywhere() -> None:
    call = {"id": "\ud800", "function": {"name": "f\ud800", "arguments": '{"a": "\ud800"}'}}
    reply = read({**choice({"content": "a\ud800\x00", "reasoning": "\udfff", "tool_calls": [call]}), "id": "\ud800"})
    parts = (reply.text, reply.reasoning, reply.tool_calls[0].model_dump_json(), json.dumps(reply.raw))
    assert parts[:2] == ("a?\ufffd", "?")
    assert all(part.encode("utf-8") and "\ud800" not in part for part in parts)


USAGES: dict[str, tuple[Any, tuple[int | None, int | None, int | None, int | None]]] = {
    "whole": (
        {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
        (9, 4, 2, None),
    ),
    "none": (None, (None, None, None, None)),
    "no object": ("9", (None, None, None, None)),
    "half": ({"prompt_tokens": 9}, (9, None, None, None)),
    "words": ({"prompt_tokens": "many", "completion_tokens": "2"}, (None, None, 2, None)),
    "negative": ({"prompt_tokens": -9, "completion_tokens": 2}, (None, None, 2, None)),
    "gigantic": ({"prompt_tokens": 10**30, "completion_tokens": 2}, (None, None, 2, None)),
    "more cached than read": (
        {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 90}},
        (9, None, 2, None),
    ),
    "more thought than written": (
        {"prompt_tokens": 9, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 3}},
        (9, None, 2, None),
    ),
    "details of another type": (
        {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": []},
        (9, None, 2, None),
    ),
    "other names": ({"input_tokens": 9, "output_tokens": 2, "cache_read_input_tokens": 3}, (12, 3, 2, None)),
    "deepseek": ({"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 3}, (9, 3, 2, None)),
    "moonshot": ({"prompt_tokens": 9, "completion_tokens": 2, "cached_tokens": 3}, (9, 3, 2, None)),
    "anthropic": (
        {"input_tokens": 3, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 20, "output_tokens": 2},
        (93, 70, 2, None),
    ),
    "anthropic, nothing cached": (
        {"input_tokens": 3, "cache_read_input_tokens": 0, "cache_creation_input_tokens": None, "output_tokens": 2},
        (3, 0, 2, None),
    ),
    "a proxy that includes the cache": (
        {"prompt_tokens": 93, "completion_tokens": 2, "total_tokens": 95, "cache_read_input_tokens": 70},
        (93, 70, 2, None),
    ),
    "a proxy that leaves it out": (
        {"prompt_tokens": 80, "completion_tokens": 2, "total_tokens": 152, "cache_read_input_tokens": 70},
        (150, 70, 2, None),
    ),
    "a proxy that leaves it out, no total": (
        {"prompt_tokens": 3, "completion_tokens": 2, "cache_read_input_tokens": 70},
        (73, 70, 2, None),
    ),
    "total and input": ({"prompt_tokens": 9, "total_tokens": 11}, (9, None, 2, None)),
    "total and output": ({"completion_tokens": 2, "total_tokens": 11}, (9, None, 2, None)),
    "total only": ({"total_tokens": 11}, (None, None, None, None)),
    "thoughts in the total only": (
        {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 41},
        (9, None, 32, None),
    ),
    "thoughts beside the output": (
        {
            "prompt_tokens": 9,
            "completion_tokens": 0,
            "total_tokens": 39,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        (9, None, 30, 30),
    ),
    "a total below its parts": ({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 1}, (9, None, 2, None)),
    "a gigantic total": ({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 10**12}, (9, None, 2, None)),
    "zeros": ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (None, None, None, None)),
    "no output of words": ({"prompt_tokens": 9, "completion_tokens": 0}, (9, None, None, None)),
}


@pytest.mark.parametrize("kind", USAGES)
def test_counts_that_cannot_be_true_are_unknown(kind: str) -> None:
    usage, counts = USAGES[kind]
    row = read({**choice({"content": "Hello"}), "usage": usage}, price=Price(input=1, cached_input=1, output=1)).usage
    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens, row.reasoning_tokens) == counts
    known = row.input_tokens is not None and row.output_tokens is not None
    assert (row.total_tokens is not None) == (row.price is not None) == known


def test_a_total_alone_is_what_budgets_count() -> None:
    reply = read({**choice({"content": "Hello"}), "usage": {"total_tokens": 4321}})
    row = with_estimate(reply, ASK)
    assert (row.total_tokens, row.estimated_tokens, row.budget_tokens) == (None, 4321, 4321)


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "type",
                    "text",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "error",
                ]
                + ["usage", "prompt_tokens", "finish_reason", "refusal", "reasoning", "code", "prompt_tokens_details"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(trees, trees)
def test_any_body_is_a_reply_or_a_failure_of_the_server(body: Any, message: Any) -> None:
    for tree in (body, {"choices": [body]}, {"choices": [{"message": message}], "usage": body}):
        try:
            reply = read(tree)
        except Malformed:
            continue
        json.dumps([reply.text, reply.reasoning, reply.raw], ensure_ascii=False).encode("utf-8")
        assert isinstance(reply.text, str) and reply.end in ReplyEnd
