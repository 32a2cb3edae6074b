"""The wrapped client of the openai package: notes go out, and never come back."""

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import APIError, AsyncOpenAI, BadRequestError, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

import fama
from fama.advising.note_refusals import PAUSE_SECONDS, NoteRefusals
from fama.advising.repeated_notes import StreamedReply, own_content, without_opening
from fama.advising.wrapping import _tell_unadvised
from fama.errors import BadInput
from fama.serving.settings import ServeSettings
from tests.support.fake_endpoint import Endpoint, said
from tests.support.order_requests import AGREED, LOOKED_UP, PATTERNS, TOOLS

LINE = "Note: Suggested next tool: respond. Ask for a yes to cancel_order."
CHUNK = {"object": "chat.completion.chunk", "created": 1, "model": "m"}
REPLY = "Shall I cancel order W1?"


def pieces(text: str, size: int = 7) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@dataclass
class Words:
    """Says ``words``, in pieces where it is asked for a stream; ``finish`` is that of the stream's last piece."""

    words: str = REPLY
    finish: str | None = "stop"

    def __call__(self, body: dict[str, Any]) -> tuple[int, Any]:
        if not body.get("stream"):
            return said(self.words)
        deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces(self.words)), {}]
        ends = [None] * (len(deltas) - 1) + [self.finish]
        chunks = [
            {"id": "x", **CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
            for delta, end in zip(deltas, ends, strict=True)
        ]
        return 200, "".join(f"data: {json.dumps(row)}\n\n" for row in chunks).encode() + b"data: [DONE]\n\n"


def client_of(endpoint: Endpoint) -> OpenAI:
    http = DefaultHttpxClient(trust_env=False)
    return OpenAI(api_key="k", base_url=endpoint.base_url, http_client=http, max_retries=0)


def wrapped(endpoint: Endpoint, advisor: Any) -> Any:
    """A wrapped client, its requests untyped: what is asked is written as JSON here."""
    return fama.wrap(client_of(endpoint), advisor)


def wrapped_async(endpoint: Endpoint, advisor: Any) -> Any:
    http = DefaultAsyncHttpxClient(trust_env=False)
    return fama.wrap(AsyncOpenAI(api_key="k", base_url=endpoint.base_url, http_client=http, max_retries=0), advisor)


@pytest.fixture(scope="module")
def advisor() -> Iterator[fama.Advisor]:
    with fama.Advisor("all", helpers=PATTERNS, placement="assistant") as made:
        yield made


#: What servers make of the opening: llama.cpp repeats it, some trim it, others go on from it.
HABITS: dict[str, Callable[[str], str]] = {
    "goes on": lambda line: REPLY,
    "repeats it": lambda line: f"{line}\n{REPLY}",
    "repeats it trimmed": lambda line: f"{line}{REPLY}",
    "with white space": lambda line: f"\n{line}\n{REPLY}",
}


@pytest.mark.parametrize("habit", HABITS)
async def test_notes_go_out_and_never_come_back(habit: str, advisor: fama.Advisor, endpoint: Endpoint) -> None:
    endpoint.answer = Words(HABITS[habit](LINE))
    client, other = wrapped(endpoint, advisor), wrapped_async(endpoint, advisor)
    asked: dict[str, Any] = {"model": "m", "messages": LOOKED_UP, "tools": TOOLS, "temperature": 0.5}
    heard = [
        client.chat.completions.create(**asked).choices[0].message.content,
        "".join(chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asked, stream=True)),
        (await other.chat.completions.create(**asked)).choices[0].message.content,
    ]
    async with await other.chat.completions.create(**asked, stream=True) as stream:
        heard.append("".join([chunk.choices[0].delta.content or "" async for chunk in stream]))
    assert heard == [REPLY] * 4
    assert len(endpoint.asked) == 4
    for body in endpoint.asked:
        assert body["messages"] == [*LOOKED_UP, {"role": "assistant", "content": f"{LINE}\n"}]
        assert (body["temperature"], body["tools"]) == (0.5, TOOLS)
    assert advisor.failures == 0


def test_roles_that_tools_state_are_read_and_not_sent(endpoint: Endpoint) -> None:
    endpoint.answer = Words()
    stated = [deepcopy(tool) for tool in TOOLS]
    for tool in stated:
        tool["function"]["parameters"]["x-fama-role"] = "read"
    with fama.Advisor("all", helpers=PATTERNS) as advisor:
        wrapped(endpoint, advisor).chat.completions.create(model="m", messages=LOOKED_UP, tools=stated)
        advice = advisor.advise(LOOKED_UP, stated)
    assert endpoint.asked[0]["tools"] == TOOLS and "x-fama-role" in stated[0]["function"]["parameters"]
    assert {tool.schema_dict()["x-fama-role"] for tool in advice.tools} == {"read"}


def test_unless_asked_for_no_endpoint_has_to_continue_a_reply(endpoint: Endpoint) -> None:
    """Of OpenAI's own, Mistral's and others, some take the opening for a whole turn, and some refuse it."""
    endpoint.answer = Words()
    with fama.Advisor("all", helpers=PATTERNS) as advisor:
        client = wrapped(endpoint, advisor)
        client.chat.completions.create(model="m", messages=LOOKED_UP, tools=TOOLS)
        client.chat.completions.with_raw_response.create(model="m", messages=LOOKED_UP, tools=TOOLS)
    for body in endpoint.asked:
        assert [message["role"] for message in body["messages"]] == [message["role"] for message in LOOKED_UP]
        assert body["messages"][-1]["content"].partition("\n\nNote: ")[2]
    default = inspect.signature(fama.Advisor).parameters["placement"].default
    assert default == ServeSettings.model_fields["placement"].default, "of the wrapped client and of the endpoint"


def test_a_stream_that_stops_loses_nothing(advisor: fama.Advisor, endpoint: Endpoint) -> None:
    endpoint.answer = Words(LINE[:20], finish=None)
    with wrapped(endpoint, advisor) as client:
        stream = client.chat.completions.create(model="m", messages=LOOKED_UP, tools=TOOLS, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == LINE[:20]


@pytest.mark.parametrize(
    ("finish", "calls"), [("", None), ("null", None), (None, ""), (None, "null"), (None, {}), ("", [None])]
)
async def test_fields_that_stand_for_nothing_let_no_note_out(
    finish: Any, calls: Any, advisor: fama.Advisor, endpoint: Endpoint
) -> None:
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces(f"{LINE}\n{REPLY}"))]
    choices = [{"index": None, "delta": {**delta, "tool_calls": calls}, "finish_reason": finish} for delta in deltas]
    choices += [
        {"index": 0, "delta": None, "finish_reason": finish},
        {"index": 0, "delta": "", "finish_reason": "stop"},
    ]
    events = "".join(f"data: {json.dumps({'id': 'x', **CHUNK, 'choices': [choice]})}\n\n" for choice in choices)
    endpoint.answer = lambda body: (200, events.encode() + b"data: [DONE]\n\n")
    asked: dict[str, Any] = {"model": "m", "messages": LOOKED_UP, "tools": TOOLS, "stream": True}
    heard = list(wrapped(endpoint, advisor).chat.completions.create(**asked))
    async with await wrapped_async(endpoint, advisor).chat.completions.create(**asked) as stream:
        other = [chunk async for chunk in stream]
    for chunks in (heard, other):
        spoken = [chunk.choices[0].delta for chunk in chunks]
        assert "".join(getattr(delta, "content", None) or "" for delta in spoken) == REPLY


def test_a_stream_without_an_index_that_stops_loses_nothing(advisor: fama.Advisor, endpoint: Endpoint) -> None:
    row = {"id": "x", **CHUNK, "choices": [{"delta": {"content": LINE[:20]}}]}
    endpoint.answer = lambda body: (200, f"data: {json.dumps(row)}\n\n".encode())
    stream = wrapped(endpoint, advisor).chat.completions.create(model="m", messages=LOOKED_UP, tools=TOOLS, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == LINE[:20]


def test_a_stream_that_stops_within_a_call_says_no_piece_twice(advisor: fama.Advisor, endpoint: Endpoint) -> None:
    deltas = [
        {"role": "assistant", "content": LINE[:20]},
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}]},
    ]
    rows = [{"id": "x", **CHUNK, "choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in deltas]
    events = "".join(f"data: {json.dumps(row)}\n\n" for row in rows).encode()
    endpoint.answer = lambda body: (200, events)
    heard = [
        chunk.choices[0].delta
        for chunk in wrapped(endpoint, advisor).chat.completions.create(
            model="m", messages=LOOKED_UP, tools=TOOLS, stream=True
        )
    ]
    assert "".join(delta.content or "" for delta in heard) == LINE[:20]
    assert [call.function.arguments for delta in heard for call in delta.tool_calls or ()] == ['{"a"']


def test_vllm_is_told_to_go_on_from_the_note(endpoint: Endpoint) -> None:
    endpoint.answer = Words()
    with fama.Advisor("all", helpers=PATTERNS, placement="assistant", prefill="flag") as advisor:
        client = wrapped(endpoint, advisor)
        client.chat.completions.create(model="m", messages=LOOKED_UP, tools=TOOLS, extra_body={"top_k": 5})
        client.chat.completions.create(model="m", messages=LOOKED_UP[:2], tools=TOOLS)
    noted, plain = endpoint.asked
    assert (noted["continue_final_message"], noted["add_generation_prompt"], noted["top_k"]) == (True, False, 5)
    assert plain["messages"] == LOOKED_UP[:2] and "continue_final_message" not in plain


def test_helpers_of_the_sdk_get_notes_too(advisor: fama.Advisor, endpoint: Endpoint) -> None:
    endpoint.answer = Words(f"{LINE}\n{REPLY}")
    asked: dict[str, Any] = {"model": "m", "messages": LOOKED_UP, "tools": TOOLS}
    client = wrapped(endpoint, advisor)
    with client.chat.completions.stream(**asked) as events:
        assert events.get_final_completion().choices[0].message.content == REPLY
    assert client.beta.chat.completions.create(**asked).choices[0].message.content == REPLY
    assert [body["messages"][-1]["content"] for body in endpoint.asked] == [f"{LINE}\n"] * 2
    endpoint.answer = Words()
    for view in (client, client.chat, client.chat.completions):
        raw = view.with_raw_response
        raw = getattr(getattr(raw, "chat", raw), "completions", getattr(raw, "completions", raw))
        assert raw.create(**asked).parse().choices[0].message.content == REPLY
    strict = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}
    client.chat.completions.parse(model="m", messages=LOOKED_UP, tools=[strict])
    assert [body["messages"] for body in endpoint.asked[2:]] == [LOOKED_UP] * 4, "a note could not be taken off"
    with fama.Advisor("all", helpers=PATTERNS) as other:
        again = fama.wrap(client, other)
        again.chat.completions.with_raw_response.create(**asked)
        again.chat.completions.create(**asked)
    for body in endpoint.asked[6:]:
        assert body["messages"][-1]["content"].count("Note:") == 1, "wrapped twice, noted once"
    assert advisor.failures == other.failures == 0


async def test_async_helpers_of_the_sdk_get_notes_too(advisor: fama.Advisor, endpoint: Endpoint) -> None:
    endpoint.answer = Words(f"{LINE}\n{REPLY}")
    client = wrapped_async(endpoint, advisor)
    async with client.chat.completions.stream(model="m", messages=LOOKED_UP, tools=TOOLS) as events:
        assert (await events.get_final_completion()).choices[0].message.content == REPLY
    endpoint.answer = Words()
    await client.chat.completions.parse(model="m", messages=LOOKED_UP)
    assert [len(body["messages"]) - len(LOOKED_UP) for body in endpoint.asked] == [1, 0]


def test_odd_replies_pass_and_settings_reach_the_client(advisor: fama.Advisor, endpoint: Endpoint) -> None:
    client = wrapped(endpoint, advisor)
    for odd in ([{"index": 0, "message": None}], [{"index": 0}], [], None):
        endpoint.answer = lambda body, odd=odd: (200, {"id": "x", "choices": odd})
        assert client.chat.completions.create(model="m", messages=LOOKED_UP, tools=TOOLS).id == "x"
        row = json.dumps({"id": "x", "choices": [{"index": 0, "delta": None}] if odd else odd})
        endpoint.answer = lambda body, row=row: (200, f"data: {row}\n\n".encode())
        assert list(client.chat.completions.create(model="m", messages=LOOKED_UP, tools=TOOLS, stream=True))
    client.timeout = 7.0
    assert client._inner.timeout == 7.0 and client.with_options(max_retries=1).timeout == 7.0


class Broken:
    """An advisor that always fails."""

    def __init__(self, error: type[BaseException] = ZeroDivisionError) -> None:
        self._error, self.failures, self.refusals = error, 0, NoteRefusals()

    def advise(self, *args: Any, **kwargs: Any) -> Any:
        raise self._error("the router is broken")

    async def advise_async(self, *args: Any, **kwargs: Any) -> Any:
        raise self._error("the router is broken")


async def test_an_advice_that_ends_cancelled_cancels_no_request(endpoint: Endpoint) -> None:
    endpoint.answer = Words()
    broken = Broken(asyncio.CancelledError)
    client = wrapped_async(endpoint, broken)
    assert (await client.chat.completions.create(model="m", messages=LOOKED_UP)).choices
    assert broken.failures == 1


async def test_a_failure_of_the_advisor_never_fails_a_request(endpoint: Endpoint) -> None:
    endpoint.answer = Words()
    broken, broken_too = Broken(), Broken()
    client, other = wrapped(endpoint, broken), wrapped_async(endpoint, broken_too)
    messages = iter(LOOKED_UP)  # the SDK takes any iterable, which can be read once
    assert client.chat.completions.create(model="m", messages=messages).choices[0].message.content == REPLY
    assert client.with_options(timeout=3).chat.completions.create(model="m", messages=AGREED).choices
    assert (await other.chat.completions.create(model="m", messages=[{"role": "nobody"}])).choices
    assert [body["messages"] for body in endpoint.asked] == [LOOKED_UP, AGREED, [{"role": "nobody"}]]
    assert (broken.failures, broken_too.failures) == (2, 1), "a client's copies share its advisor"


def error_at(status: int, body: dict[str, Any], code: int = 400) -> tuple[int, Any]:
    """An error, behind a 200 as SGLang and proxies send it."""
    tree = {"error": {"message": "the prompt is too long", "code": code}}
    return status, f"data: {json.dumps(tree)}\n\ndata: [DONE]\n\n".encode() if body.get("stream") else tree


@pytest.mark.parametrize("status", [400, 200])
@pytest.mark.parametrize("placement", ["user", "assistant"])
async def test_a_request_that_is_refused_with_its_note_goes_without(
    placement: Any, status: int, endpoint: Endpoint
) -> None:
    asked: dict[str, Any] = {"model": "m", "messages": LOOKED_UP, "tools": TOOLS}

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        return Words()(body) if body["messages"] == LOOKED_UP else error_at(status, body)

    endpoint.answer = answer
    with fama.Advisor("all", helpers=PATTERNS, placement=placement) as advisor:
        client, other = wrapped(endpoint, advisor), wrapped_async(endpoint, advisor)
        heard = [client.chat.completions.create(**asked), await other.chat.completions.create(**asked)]
        asked["model"] = "n"
        chunks = [*client.chat.completions.create(**asked, stream=True)]
        chunks += [chunk async for chunk in await other.chat.completions.create(**asked, stream=True)]
        asked["model"] = "o"
        with client.chat.completions.stream(**asked) as stream:
            heard.append(stream.get_final_completion())
        assert [reply.choices[0].message.content for reply in heard] == [REPLY] * 3
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == REPLY * 2
        assert (advisor.failures, len(endpoint.asked)) == (5, 10)
        assert advisor.advise(AGREED, TOOLS).session.noted[0][0] == 2, "the agent never saw the note of turn 1"
        endpoint.answer = lambda body: (400, {"error": {"message": "no such model"}})
        with pytest.raises(BadRequestError, match="no such model"):
            client.chat.completions.create(**asked)
        assert advisor.failures == 5, "refused for its own sake"


async def test_a_bare_error_behind_a_200_is_a_refusal(endpoint: Endpoint) -> None:
    """As vLLM and SGLang wrote it, without an ``error`` around it."""
    bare = {"object": "error", "message": "the prompt is too long", "type": "BadRequestError", "code": 400}
    asked: dict[str, Any] = {"model": "m", "messages": LOOKED_UP, "tools": TOOLS}
    events = f"data: {json.dumps(bare)}\n\ndata: [DONE]\n\n".encode()

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        refused = 200, events if body.get("stream") else bare
        return Words()(body) if body["messages"] == LOOKED_UP else refused

    endpoint.answer = answer
    with fama.Advisor("all", helpers=PATTERNS) as advisor:
        client, other = wrapped(endpoint, advisor), wrapped_async(endpoint, advisor)
        heard = [client.chat.completions.create(**asked), await other.chat.completions.create(**asked)]
        assert [reply.choices[0].message.content for reply in heard] == [REPLY] * 2 and advisor.failures == 2
        asked["model"] = "n"
        chunks = [*client.chat.completions.create(**asked, stream=True)]
        chunks += [chunk async for chunk in await other.chat.completions.create(**asked, stream=True)]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == REPLY * 2
        assert advisor.failures == 4


async def test_a_model_that_takes_no_notes_gets_none_for_a_while(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    asked: dict[str, Any] = {"messages": LOOKED_UP, "tools": TOOLS}
    refused = (400, {"error": {"message": "the last message must not be the assistant's"}})
    endpoint.answer = lambda body: said(REPLY) if body["messages"] == LOOKED_UP or body["model"] == "n" else refused
    now = [0.0]
    with fama.Advisor("all", helpers=PATTERNS, placement="assistant") as advisor:
        advisor.refusals = NoteRefusals(lambda: now[0])
        client, other = wrapped(endpoint, advisor), wrapped_async(endpoint, advisor)
        for _ in range(3):
            client.with_options(timeout=3).chat.completions.create(model="m", **asked)
            await other.chat.completions.create(model="m", **asked)
        assert (len(endpoint.asked), advisor.failures) == (3 * 2 + 3, 6)
        client.chat.completions.create(model="n", **asked)
        assert endpoint.asked[-1]["messages"] != LOOKED_UP, "another model"
        now[0] = PAUSE_SECONDS
        client.chat.completions.create(model="m", **asked)
        assert len(endpoint.asked) == 12, "tried again"
        client.chat.completions.create(model="m", **asked)
        assert len(endpoint.asked) == 13
        endpoint.answer = lambda body: said(REPLY)
        another: Any = [{"role": "user", "content": "Hi."}, *LOOKED_UP]
        client.chat.completions.create(model="m", messages=another, tools=TOOLS)
        assert endpoint.asked[-1]["messages"][:-1] == another, "another conversation, which may be shorter"
    assert [record.message for record in caplog.records].count(
        "no notes for a conversation with the model 'm' for 300 s: its endpoint refuses requests with them"
    ) == 2


async def test_another_error_behind_a_200_is_the_callers(endpoint: Endpoint) -> None:
    asked: dict[str, Any] = {"model": "m", "messages": LOOKED_UP, "tools": TOOLS}
    endpoint.answer = lambda body: error_at(200, body, code=503)
    with fama.Advisor("all", helpers=PATTERNS) as advisor:
        client, other = wrapped(endpoint, advisor), wrapped_async(endpoint, advisor)
        assert client.chat.completions.create(**asked).error["code"] == 503
        with pytest.raises(APIError, match="too long"):
            client.chat.completions.create(**asked, stream=True)
        with pytest.raises(APIError, match="too long"):
            await other.chat.completions.create(**asked, stream=True)
        assert (advisor.failures, len(endpoint.asked)) == (0, 3)


def test_a_note_that_cannot_be_taken_off_a_reply_was_not_given(endpoint: Endpoint) -> None:
    endpoint.answer = Words()
    with fama.Advisor("all", helpers=PATTERNS, placement="assistant") as advisor:
        wrapped(endpoint, advisor).chat.completions.with_raw_response.create(model="m", messages=LOOKED_UP, tools=TOOLS)
        assert endpoint.asked[0]["messages"] == LOOKED_UP
        assert [turn for turn, _ in advisor.advise(AGREED, TOOLS).session.noted] == [2]


def test_all_else_is_the_clients_own(advisor: fama.Advisor, endpoint: Endpoint) -> None:
    client = wrapped(endpoint, advisor)
    looks_like_one = isinstance(client, OpenAI)
    assert looks_like_one and client.api_key == "k" and client.max_retries == 0
    assert [model.id for model in client.models.list()] == ["served"]
    with pytest.raises(AttributeError):
        _ = client.no_such_thing
    with pytest.raises(TypeError, match="messages"):
        client.chat.completions.create(model="m")
    endpoint.answers = [(400, {"error": {"message": "no"}})]
    with pytest.raises(BadRequestError):
        client.chat.completions.create(model="m", messages=LOOKED_UP, tools=TOOLS)
    noted, bare = endpoint.asked
    assert noted["messages"][-1]["content"] == f"{LINE}\n" and bare["messages"] == LOOKED_UP
    assert advisor.failures == 0


def test_functions_of_the_older_form_are_tools(endpoint: Endpoint) -> None:
    endpoint.answer = Words()
    older = {"functions": [tool["function"] for tool in TOOLS]}
    with fama.Advisor("all", helpers=PATTERNS) as advisor:
        wrapped(endpoint, advisor).chat.completions.create(model="m", messages=LOOKED_UP, **older)
        assert advisor.failures == 0
    assert endpoint.asked[-1]["functions"] == older["functions"] and "tools" not in endpoint.asked[-1]
    assert endpoint.asked[-1]["messages"][-1]["content"].endswith(f"\n\n{LINE}")


def test_what_gets_no_notes_is_told_once(
    advisor: fama.Advisor, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    _tell_unadvised.cache_clear()
    client = wrapped(endpoint, advisor)
    for one in (client, client.with_options(timeout=3), client):
        assert one.responses.create and one.with_raw_response.responses.create and one.beta.threads.create
    assert client.models and client.embeddings and client.beta.assistants
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "client.responses",
        "client.beta.threads",
    ]


def test_what_is_no_client_or_no_advisor_is_refused(advisor: Any, endpoint: Endpoint) -> None:
    client: Any = client_of(endpoint)
    for odd in (client.chat, client.chat.completions, None, advisor):
        with pytest.raises(BadInput, match="without chat.completions; give OpenAI"):
            fama.wrap(odd, advisor)
    odd_advisors: list[Any] = ["all", client, None]
    for odd in odd_advisors:
        with pytest.raises(BadInput, match="give a fama.Advisor"):
            fama.wrap(client, odd)


def test_an_opening_leaves_a_content_of_parts() -> None:
    thought = {"type": "thinking", "thinking": []}
    said = [thought, {"type": "text", "text": "Note: a.\nSure."}, {"type": "text", "text": "Note: a.\n"}]
    assert own_content(said, "Note: a.\n") == [thought, {"type": "text", "text": "Sure."}, said[2]]
    assert own_content([thought], "Note: a.\n") == [thought] and own_content(7, "Note: a.\n") == 7


@given(
    opening=st.just("Note: a b.\n") | st.text(min_size=1, max_size=6).map(lambda text: f"Note: {text}x\n"),
    text=st.text(alphabet="Note: ab.\nx", max_size=30),
    before=st.sampled_from(["", " ", "\n"]),
    repeats=st.sampled_from(["", "all", "trimmed", "half"]),
    size=st.integers(1, 9),
)
def test_a_reply_in_pieces_is_the_whole_reply(opening: str, text: str, before: str, repeats: str, size: int) -> None:
    repeated = {"": "", "all": opening, "trimmed": opening.strip(), "half": opening[: len(opening) // 2]}[repeats]
    whole = before + repeated + text
    words = StreamedReply(opening)
    assert "".join(map(words.add, pieces(whole, size))) + words.end() == without_opening(whole, opening)
