"""The wrapped client of the openai package: notes go out, and never come back."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI, BadRequestError, OpenAI

import fama
from fama.advising.replies import StreamedReply, without_opening
from tests.support.order_requests import AGREED, LOOKED_UP, PATTERNS, TOOLS

LINE = "Note: Suggested next tool: respond. Ask for a yes to cancel_order."
REPLY = "Shall I cancel order W1?"


def pieces(text: str, size: int = 7) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


class Endpoint:
    """An endpoint that keeps its requests and says ``words``, in pieces where it is asked for a stream."""

    def __init__(self, words: str = REPLY) -> None:
        self.words = words
        self.asked: list[dict[str, Any]] = []
        self.finish: str | None = "stop"
        self.status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"object": "list", "data": [{"id": "m", "object": "model"}]})
        body = json.loads(request.content)
        self.asked.append(body)
        if self.status != 200:
            return httpx.Response(self.status, json={"error": {"message": "no"}})
        about = {"id": "x", "created": 1, "model": "m"}
        if body.get("stream"):
            deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces(self.words)), {}]
            ends = [None] * (len(deltas) - 1) + [self.finish]
            chunks = [
                {**about, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": d, "finish_reason": e}]}
                for d, e in zip(deltas, ends, strict=True)
            ]
            text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=text)
        message = {"role": "assistant", "content": self.words}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return httpx.Response(200, json={**about, "object": "chat.completion", "choices": [choice]})

    def sync(self) -> OpenAI:
        http = httpx.Client(transport=httpx.MockTransport(self))
        return OpenAI(api_key="k", base_url="http://endpoint/v1", http_client=http, max_retries=0)

    def asynchronous(self) -> AsyncOpenAI:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return AsyncOpenAI(api_key="k", base_url="http://endpoint/v1", http_client=http, max_retries=0)


@pytest.fixture(scope="module")
def advisor() -> Iterator[fama.Advisor]:
    with fama.Advisor("all", helpers=PATTERNS) as made:
        yield made


#: What servers make of the opening: llama.cpp repeats it, some trim it, others go on from it.
HABITS: dict[str, Callable[[str], str]] = {
    "goes on": lambda line: REPLY,
    "repeats it": lambda line: f"{line}\n{REPLY}",
    "repeats it trimmed": lambda line: f"{line}{REPLY}",
    "with white space": lambda line: f"\n{line}\n{REPLY}",
}


@pytest.mark.parametrize("habit", HABITS)
async def test_notes_go_out_and_never_come_back(habit: str, advisor: fama.Advisor) -> None:
    endpoint = Endpoint(HABITS[habit](LINE))
    client, other = fama.wrap(endpoint.sync(), advisor), fama.wrap(endpoint.asynchronous(), advisor)
    asked: dict[str, Any] = {"model": "m", "messages": LOOKED_UP, "tools": TOOLS, "temperature": 0.5}
    said = [
        client.chat.completions.create(**asked).choices[0].message.content,
        "".join(chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asked, stream=True)),
        (await other.chat.completions.create(**asked)).choices[0].message.content,
    ]
    async with await other.chat.completions.create(**asked, stream=True) as stream:
        said.append("".join([chunk.choices[0].delta.content or "" async for chunk in stream]))
    assert said == [REPLY] * 4
    assert len(endpoint.asked) == 4
    for body in endpoint.asked:
        assert body["messages"] == [*LOOKED_UP, {"role": "assistant", "content": f"{LINE}\n"}]
        assert (body["temperature"], body["tools"]) == (0.5, TOOLS)
    assert getattr(client, "advice_failures") == 0  # noqa: B009


def test_a_stream_that_stops_loses_nothing(advisor: fama.Advisor) -> None:
    endpoint = Endpoint(LINE[:20])
    endpoint.finish = None
    with fama.wrap(endpoint.sync(), advisor) as client:
        stream = client.chat.completions.create(model="m", messages=LOOKED_UP, tools=TOOLS, stream=True)  # type: ignore[call-overload]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == LINE[:20]


def test_vllm_is_told_to_go_on_from_the_note() -> None:
    endpoint = Endpoint()
    with fama.Advisor("all", helpers=PATTERNS, prefill="flag") as advisor:
        client: Any = fama.wrap(endpoint.sync(), advisor)
        client.chat.completions.create(model="m", messages=LOOKED_UP, tools=TOOLS, extra_body={"top_k": 5})
        client.chat.completions.create(model="m", messages=LOOKED_UP[:2], tools=TOOLS)
    noted, plain = endpoint.asked
    assert (noted["continue_final_message"], noted["add_generation_prompt"], noted["top_k"]) == (True, False, 5)
    assert plain["messages"] == LOOKED_UP[:2] and "continue_final_message" not in plain


class Broken:
    """An advisor that always fails."""

    def advise(self, *args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("the router is broken")

    async def advise_async(self, *args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("the router is broken")


async def test_a_failure_of_the_advisor_never_fails_a_request() -> None:
    endpoint, broken = Endpoint(), Broken()
    client: Any = fama.wrap(endpoint.sync(), broken)  # type: ignore[arg-type]
    other: Any = fama.wrap(endpoint.asynchronous(), broken)  # type: ignore[arg-type]
    messages = iter(LOOKED_UP)  # the SDK takes any iterable, which can be read once
    assert client.chat.completions.create(model="m", messages=messages).choices[0].message.content == REPLY
    assert client.with_options(timeout=3).chat.completions.create(model="m", messages=AGREED).choices
    assert (await other.chat.completions.create(model="m", messages=[{"role": "nobody"}])).choices
    assert [body["messages"] for body in endpoint.asked] == [LOOKED_UP, AGREED, [{"role": "nobody"}]]
    assert (client.advice_failures, other.advice_failures) == (2, 1)


def test_all_else_is_the_clients_own(advisor: fama.Advisor) -> None:
    endpoint = Endpoint()
    client: Any = fama.wrap(endpoint.sync(), advisor)
    assert isinstance(client, OpenAI) and client.api_key == "k" and client.max_retries == 0
    assert [model.id for model in client.models.list()] == ["m"]
    with pytest.raises(AttributeError):
        _ = client.no_such_thing
    with pytest.raises(TypeError, match="messages"):
        client.chat.completions.create(model="m")
    endpoint.status = 400
    with pytest.raises(BadRequestError):
        client.chat.completions.create(model="m", messages=LOOKED_UP, tools=TOOLS)
    raw = endpoint.asked[-1]
    assert raw["messages"][-1]["content"] == f"{LINE}\n" and client.advice_failures == 0


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
