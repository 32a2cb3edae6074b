"""Requests of every shape: advice, or one line that says what is wrong."""

import copy
import multiprocessing
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionContentPartText, ChatCompletionMessage, ChatCompletionMessageToolCall
from openai.types.chat.chat_completion_message_tool_call import Function
from openai.types.shared import FunctionDefinition

import fama
from fama.advising.conversation import _ToolCache
from fama.errors import BadInput, FamaError
from fama.helpers.base import HELPERS
from fama.settings import HelperSettings
from tests.support.order_requests import LOOKED_UP, SYSTEM, TOOLS, USER, called, outcome
from tests.support.toy_agents import Guide

LINEAR = Path(__file__).resolve().parents[2] / "checkpoints/helpdesk-linear"
Placed = list[dict[str, Any]]


@pytest.fixture
def guided() -> Iterator[fama.Advisor]:
    """An advisor that always has a note, at the end of the last turn."""
    HELPERS.add("Guide", lambda form="template", **options: Guide(text="Call get_order first."))
    try:
        with fama.Advisor("all", helpers=HelperSettings(pool=("Guide",), reading="patterns"), placement="user") as made:
            yield made
    finally:
        HELPERS.remove("Guide")


@pytest.fixture(scope="module")
def advisor() -> Iterator[fama.Advisor]:
    with fama.Advisor(LINEAR, helpers=HelperSettings(reading="patterns"), placement="user") as made:
        yield made


def test_objects_of_the_sdk_are_what_they_are_as_dicts(advisor: fama.Advisor) -> None:
    """Whole messages, and what agents take out of a reply: its calls, their functions."""
    arguments = '{"order_id": "W1"}'
    function = Function(name="get_order", arguments=arguments)
    call = ChatCompletionMessageToolCall(id="c1", type="function", function=function)
    for said in (
        ChatCompletionMessage(role="assistant", content=None, tool_calls=[call]),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "assistant", "content": None, "tool_calls": (LOOKED_UP[2]["tool_calls"][0] | {"function": function},)},
    ):
        given = copy.deepcopy(said)
        advice = advisor.advise([SYSTEM, USER, said, LOOKED_UP[3]], TOOLS)
        assert outcome(advice) == outcome(advisor.advise(LOOKED_UP, TOOLS))
        assert advice.messages()[2] == LOOKED_UP[2] | {"content": None}
        assert advice.history[2].tool_calls is not None
        assert advice.history[2].tool_calls[0].function.arguments == arguments
        assert said == given


NOTE = "Note: Call get_order first."


def test_objects_inside_a_content_or_a_tool_are_what_they_are_as_dicts(guided: fama.Advisor) -> None:
    part = ChatCompletionContentPartText(type="text", text="Please cancel my order W1.")
    advice = guided.advise(
        [SYSTEM, {"role": "user", "content": [part]}],
        [{"type": "function", "function": FunctionDefinition(**TOOLS[0]["function"])}],
    )
    assert advice.history[-1].content == part.text and [tool.name for tool in advice.tools] == ["get_order"]
    assert advice.messages()[-1]["content"] == [{"type": "text", "text": part.text}, {"type": "text", "text": NOTE}]


def test_nothing_of_the_caller_is_changed(guided: fama.Advisor) -> None:
    messages, tools = copy.deepcopy(LOOKED_UP), copy.deepcopy(TOOLS)
    advice = guided.advise(messages, tools)
    placed = advice.messages()
    assert placed[:-1] == LOOKED_UP[:-1]
    assert placed[-1] == {**LOOKED_UP[-1], "content": f"{LOOKED_UP[-1]['content']}\n\n{NOTE}"}
    placed[0]["content"] = "changed"
    assert (messages, tools) == (LOOKED_UP, TOOLS) and advice.messages()[0] == SYSTEM


def test_the_last_turn_may_have_parts_or_no_words(guided: fama.Advisor) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": "Please cancel my order W1."}, picture]
    advice = guided.advise([SYSTEM, {"role": "user", "content": parts}], TOOLS)
    assert advice.messages()[-1]["content"] == [*parts, {"type": "text", "text": NOTE}]
    silent = guided.advise([SYSTEM, USER, *called("get_order")[:1], {"role": "tool", "content": None}], TOOLS)
    assert silent.messages()[-1]["content"] == f"\n\n{NOTE}"


def test_calls_of_custom_tools_are_read(guided: fama.Advisor) -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "run_query", "input": "SELECT 1"}}
    made = {"role": "assistant", "content": None, "tool_calls": [call]}
    advice = guided.advise([USER, made, {"role": "tool", "tool_call_id": "c", "content": "1"}])
    (read,) = advice.history[1].tool_calls or ()
    assert (read.function.name, read.function.arguments) == ("run_query", "SELECT 1")


def test_tools_are_kept_by_their_size() -> None:
    small, large = ([schema_of({"type": "object", "title": "x" * n})] for n in (200, 2000))
    cache = _ToolCache(1000)
    assert cache.read(small) is cache.read(copy.deepcopy(small)) and len(cache) == 1
    assert cache.read(large) is cache.read(copy.deepcopy(large)) and len(cache) == 1


def test_advisors_of_several_threads_share_the_tools_that_are_read() -> None:
    definitions = [[schema_of({"type": "object", "title": f"{n:03}" * 100})] for n in range(6)]
    cache, failed = _ToolCache(1200), []

    def read(first: int) -> None:
        try:
            for n in range(1500):
                cache.read(definitions[(first + n * (first + 1)) % 6])
        except Exception as error:  # noqa: BLE001 - what any of the threads raises
            failed.append(error)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    assert not failed and cache._held == sum(map(len, cache._kept)) <= 1200


def test_a_forked_process_is_told_to_make_its_own(advisor: fama.Advisor) -> None:
    def ask(pipe: Any) -> None:
        try:
            advisor.advise([USER])
        except FamaError as error:
            pipe.send(str(error))

    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=ask, args=(there,), daemon=True)
    child.start()
    assert here.poll(20) and "another process" in here.recv()
    child.join(20)
    assert child.exitcode == 0 and advisor.advise([USER]).history


def test_five_thousand_messages() -> None:
    long: Placed = [SYSTEM]
    for number in range(1250):
        long += [
            {"role": "user", "content": f"And what about order W{number}?"},
            *called("get_order", f'{{"order_id": "W{number}"}}', f"c{number}", order_id=f"W{number}"),
            {"role": "assistant", "content": f"Order W{number} is pending."},
        ]
    long.append(USER)
    started = time.process_time()
    with fama.Advisor("rule", helpers=HelperSettings(reading="patterns")) as advisor:
        advice = advisor.advise(long, TOOLS)
    assert advice.decision.turn == 2500 and len(advice.history) == 5002
    assert time.process_time() - started < 20


WORDS = st.none() | st.text(max_size=40) | st.sampled_from(["\ud800", "\x00", "yes", "Please cancel W1.", "{}", "[1]"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\udfff"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(["a", "b", ""]) | JSON,
            "type": st.just("function"),
            "function": st.fixed_dictionaries(
                {"name": st.sampled_from(["get_order", "cancel_order", "müll"]), "arguments": WORDS | JSON}
            ),
        }
    ),
    max_size=3,
)
MESSAGE = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "developer"]), "content": WORDS}),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": WORDS, "tool_calls": st.none() | CALLS}),
    st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": st.sampled_from(["a", "b"]), "content": WORDS}),
)
TOOL = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": st.sampled_from(["get_order", "cancel_order"]), "description": WORDS},
            optional={"parameters": st.none() | JSON, "strict": st.none()},
        ),
    }
)


def schema_of(parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "get_order", "parameters": parameters}}


CHAT = st.lists(MESSAGE | MESSAGE | JSON, min_size=1, max_size=6)


@given(messages=CHAT | JSON, tools=st.none() | st.lists(TOOL | JSON, max_size=3) | JSON, policy=WORDS | JSON)
@example([USER], [schema_of({"properties": None})], None)
@example([USER], [schema_of({"properties": []})], None)
@example([USER], [schema_of({"properties": {"a": None}, "required": None})], None)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_input_is_advised_on_or_refused(advisor: fama.Advisor, messages: Any, tools: Any, policy: Any) -> None:
    before = copy.deepcopy((messages, tools))
    try:
        advice = advisor.advise(messages, tools, policy)
    except BadInput as error:
        assert "\n" not in str(error) and len(str(error)) < 500
    else:
        assert len(advice.messages()) >= len(messages)
    assert repr((messages, tools)) == repr(before)


@pytest.mark.parametrize(
    ("messages", "tools", "words"),
    [
        ([], None, "messages: empty"),
        ("hello", None, "messages: a str; give a list"),
        (None, None, "messages: a NoneType; give a list"),
        ([3], None, "messages[0]: a int; give a dict"),
        ([{"content": "x"}], None, "messages[0]: unknown role"),
        ([USER, {"role": "assistant", "tool_calls": [{"arguments": {"a": 1}}]}], None, "messages[1]: a tool call is"),
        ([USER], [{"type": "function"}], "a tool is"),
        ([USER], "get_order", "tools: a str; give a list"),
        ([USER], [{"function": {"name": {1, 2}}}], "tools: not in the form"),
    ],
)
def test_refusals_name_the_place(advisor: fama.Advisor, messages: Any, tools: Any, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        advisor.advise(messages, tools)
    assert words in str(caught.value)
