"""The endpoint between clients of the openai package and a scripted upstream."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from starlette.responses import Response

from fama.advising.advice import Advice
from fama.advising.advisor import Advisor
from fama.serving.chat import Adviser
from fama.settings import HelperSettings
from tests.support.serving import (
    DONE,
    Endpoint,
    ScriptedUpstream,
    chunk,
    completion,
    endpoint,
    plain,
    speaking,
    spoken,
)

CHAT: Any = [
    {"role": "system", "content": "Help the customer."},
    {"role": "user", "content": "I want to return order W100, the blue lamp."},
    {"role": "assistant", "content": "Sure. Which reason?"},
    {"role": "user", "content": "It is broken. And cancel W200 as well."},
    {"role": "assistant", "content": "Done with the first."},
    {"role": "user", "content": "Go on then."},
]
TOOL: Any = {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object", "properties": {}}}}


class Broken:
    """A scripted adviser that fails, or hangs."""

    def __init__(self, hang: bool = False, error: type[BaseException] = RuntimeError) -> None:
        self._hang, self._error = hang, error

    async def advise_async(self, messages: Any, tools: Any = None, *, ledger: Any = None) -> Advice:
        if self._hang:
            await asyncio.sleep(60)
        raise self._error("no router")

    async def advise_here(self, messages: Any, tools: Any = None, *, ledger: Any = None) -> Advice:
        return await self.advise_async(messages, tools)

    def take_back(self, advice: Advice) -> None:
        raise AssertionError("none was given")


@pytest.fixture(scope="module")
def advisor() -> Iterator[Advisor]:
    with speaking(placement="user") as one:
        yield one


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[ScriptedUpstream, str]]:
    up = ScriptedUpstream()
    with plain(up.app) as address:
        yield up, address


@pytest.fixture
def upstream(shared: tuple[ScriptedUpstream, str]) -> ScriptedUpstream:
    up = shared[0]
    fresh = ScriptedUpstream()
    app = up.app
    up.__dict__.update(fresh.__dict__)
    up.app = app
    return up


@pytest.fixture(scope="module")
def served(shared: tuple[ScriptedUpstream, str], advisor: Advisor) -> Iterator[Endpoint]:
    with endpoint(shared[1], advisor) as one:
        yield one


@pytest.fixture
def client(served: Endpoint, upstream: ScriptedUpstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=served.base_url, api_key="sk-client", max_retries=0) as one:
        yield one


def note_of(upstream: ScriptedUpstream) -> str:
    said: str = upstream.asked[-1]["messages"][-1]["content"]
    return said.removeprefix("Go on then.")


def test_a_whole_reply_and_a_request_that_differs_in_its_messages_alone(
    client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    history = json.loads(json.dumps(CHAT))
    reply = client.chat.completions.create(
        model="m",
        messages=history,
        n=1,
        temperature=0.5,
        response_format={"type": "json_object"},
        tools=[TOOL],
        parallel_tool_calls=True,
        extra_body={"unknown_field": {"deep": [1, 2.5, None]}},
        extra_headers={"x-title": "mine"},
    )
    assert reply.choices[0].message.content == "Fine." and history == CHAT
    asked = upstream.asked[-1]
    sent = asked.pop("messages")
    assert sent[:-1] == CHAT[:-1] and sent[-1]["content"].startswith("Go on then.\n\nNote: Alpha speaks")
    assert asked == {
        **{"model": "m", "n": 1, "temperature": 0.5, "response_format": {"type": "json_object"}, "tools": [TOOL]},
        **{"parallel_tool_calls": True, "unknown_field": {"deep": [1, 2.5, None]}},
    }
    assert upstream.headers[-1]["authorization"] == "Bearer sk-client" and upstream.headers[-1]["x-title"] == "mine"


def test_notes_reach_the_upstream_and_the_reply_says_who_spoke(served: Endpoint, upstream: ScriptedUpstream) -> None:
    upstream.answer = lambda asked: completion(None, tool_calls=[_call("a"), _call("b")])
    reply = httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": CHAT})
    assert "Alpha speaks" in note_of(upstream)
    tree = reply.json()
    told = tree.pop("fama")
    assert tree == completion(None, tool_calls=[_call("a"), _call("b")])
    assert told["subset"] == ["Alpha"] and told["notes"] == 1 and told["rejected"] == 0
    assert told["usage"]["note_tokens"] > 0 and told["usage"]["helpers"] == {
        "calls": 1,
        "input_tokens": 40,
        "output_tokens": 0,
    }
    assert reply.headers["x-fama-subset"] == "Alpha" and reply.headers["x-fama-notes"] == "1"
    assert reply.headers["x-fama-tokens"] == "40" and reply.headers["x-request-id"] == "req-1"
    assert "Note:" not in reply.text


def _call(name: str) -> dict[str, Any]:
    return {"id": f"call_{name}", "type": "function", "function": {"name": "find_order", "arguments": "{}"}}


def test_without_a_note_the_body_keeps_its_bytes(
    shared: tuple[ScriptedUpstream, str], upstream: ScriptedUpstream
) -> None:
    body = b'{ "model":"m",\n "messages" : [{"role":"user","content":"Hi \\u00e9"}], "x": 1.50, "y": 1e400 }'
    with Advisor("none", helpers=HelperSettings(reading="patterns")) as advisor, endpoint(shared[1], advisor) as served:
        url, kind = f"{served.base_url}/chat/completions", {"content-type": "application/json"}
        sent = httpx.post(url, content=body, headers=kind)
    assert sent.status_code == 200 and upstream.bodies[-1] == body


async def test_async_client_and_models(served: Endpoint, upstream: ScriptedUpstream) -> None:
    async with openai.AsyncOpenAI(base_url=served.base_url, api_key="k", max_retries=0) as client:
        replies = await asyncio.gather(*(client.chat.completions.create(model="m", messages=CHAT) for _ in range(8)))
        assert {reply.choices[0].message.content for reply in replies} == {"Fine."}
        assert [model.id async for model in client.models.list()] == ["m"]
    assert httpx.get(f"{served.base_url}/models").headers["x-seen"] == "yes"


def test_streams_pass_byte_for_byte(served: Endpoint, upstream: ScriptedUpstream) -> None:
    script = [b": comment\r\n\r\n", *spoken("It ", "is é ✓")[:-1], b'data: {"usage": {"x": 1.50}}\n\n', DONE]
    upstream.answer = lambda asked: script
    asked = {"model": "m", "messages": CHAT, "stream": True, "stream_options": {"include_usage": True}}
    with httpx.stream("POST", f"{served.base_url}/chat/completions", json=asked) as reply:
        got = b"".join(reply.iter_raw())
    assert got == b"".join(script) and reply.headers["x-fama-subset"] == "Alpha"
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert upstream.asked[-1]["stream_options"] == {"include_usage": True} and "Alpha speaks" in note_of(upstream)


def test_a_stream_with_tool_calls_arrives_piece_by_piece(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "find_order", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": '{"id": 1}'}}
    other = {"index": 1, "id": "b", "type": "function", "function": {"name": "find_order", "arguments": "{}"}}
    pieces = [chunk(tool_calls=[one]) for one in (first, more, other)]
    upstream.answer = lambda asked: [pieces[0], 0.3, *pieces[1:], chunk(finish="tool_calls"), DONE]
    began, times, written = time.monotonic(), [], {0: "", 1: ""}
    events: Any = client.chat.completions.create(model="m", messages=CHAT, stream=True)
    for event in events:
        times.append(time.monotonic() - began)
        for call in event.choices[0].delta.tool_calls or ():
            written[call.index] += call.function.arguments
    assert written == {0: '{"id": 1}', 1: "{}"}
    assert times[1] - times[0] > 0.2, "the first piece did not wait for the last"


@pytest.mark.parametrize("repeated", [True, False])
def test_an_opening_that_the_upstream_repeats_is_taken_off(
    repeated: bool, shared: tuple[ScriptedUpstream, str], upstream: ScriptedUpstream
) -> None:
    def answer(asked: dict[str, Any]) -> Any:
        last = asked["messages"][-1]
        assert last["role"] == "assistant" and last["content"].startswith("Note:")
        opening = last["content"] if repeated else ""
        if asked.get("stream"):
            text = opening + "Of course."
            return spoken(*(text[i : i + 7] for i in range(0, len(text), 7)))
        return completion(opening + "Of course.")

    upstream.answer = answer
    with speaking(placement="assistant") as advisor, endpoint(shared[1], advisor) as served:
        with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as client:
            whole = client.chat.completions.create(model="m", messages=CHAT)
            stream: Any = client.chat.completions.create(model="m", messages=CHAT, stream=True)
            pieces = [event.choices[0].delta.content or "" for event in stream]
    assert whole.choices[0].message.content == "Of course." and "".join(pieces) == "Of course."
    upstream.answer = lambda asked: completion([{"type": "text", "text": "Note: Alpha speaks.\nFine."}])  # type: ignore[arg-type]
    with speaking(placement="assistant") as advisor, endpoint(shared[1], advisor) as served:
        reply = httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": CHAT})
    assert reply.json()["choices"][0]["message"]["content"] == [{"type": "text", "text": "Fine."}]


@pytest.mark.parametrize("placement", ["user", "assistant", "system"])
def test_no_note_enters_a_reply_that_the_client_began(
    placement: str, shared: tuple[ScriptedUpstream, str], upstream: ScriptedUpstream
) -> None:
    def answer(asked: dict[str, Any]) -> Any:  # as servers do that repeat what they go on from
        text = asked["messages"][-1]["content"] + " it is 5."
        return spoken(text) if asked.get("stream") else completion(text)

    upstream.answer = answer
    begun = [*CHAT, {"role": "assistant", "content": "Sure,"}]
    with speaking(placement=placement) as advisor, endpoint(shared[1], advisor) as served:
        with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as client:
            whole = client.chat.completions.create(model="m", messages=begun)
            stream: Any = client.chat.completions.create(model="m", messages=begun, stream=True)
            pieces = [event.choices[0].delta.content or "" for event in stream]
        assert served.count("fama_notes_total") == 0
    assert [asked["messages"] for asked in upstream.asked] == [begun, begun]
    assert whole.choices[0].message.content == "".join(pieces) == "Sure, it is 5."


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503])
def test_upstream_errors_pass_with_status_and_body(status: int, served: Endpoint, upstream: ScriptedUpstream) -> None:
    body = b'{"error": {"message": "no", "type": "x"},  "n": 1.50}'
    upstream.answer = lambda asked: Response(body, status, {"retry-after": "7"}, "application/json")
    for stream in (False, True):
        asked = {"model": "m", "messages": CHAT, "stream": stream}
        reply = httpx.post(f"{served.base_url}/chat/completions", json=asked)
        assert (reply.status_code, reply.content, reply.headers["retry-after"]) == (status, body, "7")


def test_a_body_that_is_no_json_passes(served: Endpoint, upstream: ScriptedUpstream) -> None:
    upstream.answer = lambda asked: Response(b"<html>", 200, media_type="text/html")
    reply = httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": CHAT})
    assert (reply.status_code, reply.content) == (200, b"<html>")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leads_no_client_past_the_notes(status: int, served: Endpoint, upstream: ScriptedUpstream) -> None:
    """OpenAI's client follows it with the request as it was given: without notes, and unrecorded."""
    upstream.answer = lambda asked: Response(b"", status, {"location": "https://else.example/v1/chat?key=secret"})
    with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as client:
        with pytest.raises(openai.InternalServerError) as raised:
            client.chat.completions.create(model="m", messages=CHAT)
    assert (raised.value.status_code, raised.value.code) == (502, "upstream_redirects")
    assert "'https://else.example/v1/chat' " in raised.value.message and "secret" not in str(raised.value.body)
    assert "location" not in raised.value.response.headers and served.count("fama_faults_total") >= 1


def test_timeouts_and_a_missing_upstream(
    shared: tuple[ScriptedUpstream, str], upstream: ScriptedUpstream, advisor: Advisor
) -> None:
    upstream.answer = lambda asked: [chunk(content="a"), 5.0] if asked.get("stream") else completion()
    with endpoint(shared[1], advisor, limits={"upstream_seconds": 0.3}) as served:
        with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as client:
            with pytest.raises(openai.APIError, match="fell silent within its reply"):
                for _ in client.chat.completions.create(model="m", messages=CHAT, stream=True):
                    pass
            upstream.delay = 5.0
            with pytest.raises(openai.InternalServerError) as raised:
                client.chat.completions.create(model="m", messages=CHAT)
    assert raised.value.status_code == 504 and raised.value.code == "upstream_timeout"
    with endpoint("http://127.0.0.1:9", advisor) as served:
        reply = httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": CHAT})
        assert reply.status_code == 502 and reply.json()["error"]["code"] == "upstream_unreachable"
        assert httpx.get(f"{served.base_url}/models").status_code == 502


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_cancels_upstream(stream: bool, served: Endpoint, upstream: ScriptedUpstream) -> None:
    upstream.delay = 0.0 if stream else 10.0
    upstream.answer = lambda asked: [chunk(content="a"), 10.0, DONE] if stream else completion()
    asked = {"model": "m", "messages": CHAT, "stream": stream}
    before = served.count("fama_cancelled_total")
    if stream:
        with httpx.stream("POST", f"{served.base_url}/chat/completions", json=asked) as reply:
            next(reply.iter_raw())
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{served.base_url}/chat/completions", json=asked, timeout=0.3)
    assert upstream.cut.wait(5)
    until = time.monotonic() + 5
    while served.count("fama_cancelled_total") == before:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert served.count("fama_requests_in_flight") == 0


@pytest.mark.parametrize("adviser", [Broken(), Broken(hang=True), Broken(error=asyncio.CancelledError)])
def test_a_failing_adviser_fails_no_request(
    adviser: Adviser, shared: tuple[ScriptedUpstream, str], upstream: ScriptedUpstream
) -> None:
    with endpoint(shared[1], adviser, limits={"advice_seconds": 0.1}) as served:
        reply = httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": CHAT})
        assert reply.status_code == 200 and upstream.asked[-1]["messages"] == CHAT
        assert served.count("fama_advice_failures_total") == 1
    kind = reply.headers["x-fama-failure"]
    assert reply.json()["fama"] == {"subset": [], "failure": kind} and kind in (
        "RuntimeError",
        "TimeoutError",
        "CancelledError",
    )


def test_a_long_request_goes_on_without_notes(
    shared: tuple[ScriptedUpstream, str], upstream: ScriptedUpstream, advisor: Advisor
) -> None:
    long = [{"role": "user", "content": "Please cancel order #W1. " * 100}]
    with endpoint(shared[1], advisor, limits={"advice_bytes": 1024}) as served:
        replies = [
            httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": chat})
            for chat in (CHAT, long)
        ]
        assert served.count("fama_advice_failures_total") == 1
    assert "x-fama-failure" not in replies[0].headers and replies[1].headers["x-fama-failure"] == "too_long"
    assert replies[1].status_code == 200 and upstream.asked[-1]["messages"] == long


def test_messages_that_no_helper_can_read_go_on(served: Endpoint, upstream: ScriptedUpstream) -> None:
    odd = [{"role": "narrator", "content": "?"}]
    reply = httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": odd})
    assert reply.status_code == 200 and upstream.asked[-1]["messages"] == odd
    assert reply.json()["fama"]["failure"] == "BadInput"


def test_one_request_too_many_is_sent_back(
    shared: tuple[ScriptedUpstream, str], upstream: ScriptedUpstream, advisor: Advisor
) -> None:
    upstream.delay = 0.5
    with endpoint(shared[1], advisor, limits={"in_flight": 1}) as served:
        url, asked = f"{served.base_url}/chat/completions", {"model": "m", "messages": CHAT}
        first: list[int] = []
        thread = threading.Thread(target=lambda: first.append(httpx.post(url, json=asked).status_code))
        thread.start()
        assert upstream.began.wait(5)
        reply = httpx.post(url, json=asked)
        assert reply.status_code == 429 and reply.headers["retry-after"] == "1"
        assert reply.json()["error"]["code"] == "too_many_requests"
        thread.join()
        assert first == [200] and httpx.post(url, json=asked).status_code == 200


def test_a_stop_finishes_what_is_under_way(
    shared: tuple[ScriptedUpstream, str], upstream: ScriptedUpstream, advisor: Advisor
) -> None:
    upstream.delay = 0.4
    with endpoint(shared[1], advisor) as served:
        url, done = f"{served.base_url}/chat/completions", list[int]()
        asked = {"model": "m", "messages": CHAT}
        thread = threading.Thread(target=lambda: done.append(httpx.post(url, json=asked).status_code))
        thread.start()
        assert upstream.began.wait(5)
    thread.join()
    assert done == [200]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{served.address}/health")


def test_metrics_and_health(served: Endpoint, upstream: ScriptedUpstream) -> None:
    before = served.count("fama_notes_total")
    httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": CHAT})
    assert served.count("fama_notes_total") == before + 1
    assert 'fama_helper_selected_total{helper="Alpha"}' in httpx.get(f"{served.address}/metrics").text
    assert httpx.get(f"{served.address}/health").json()["status"] == "ok"
