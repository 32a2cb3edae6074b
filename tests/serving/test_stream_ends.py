"""The ends of streamed replies: what is recorded, counted and passed on where a stream does not end as most do."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from fama.episodes.store import read_episodes
from tests.support.serving import DONE, ScriptedUpstream, chunk, endpoint, plain, speaking, spoken

CHAT: Any = [{"role": "user", "content": "Hi"}]
FINISH = {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[ScriptedUpstream, str]]:
    up = ScriptedUpstream()
    with plain(up.app) as address:
        yield up, address


def recorded(folder: Path) -> list[Any]:
    return [episode.messages[-1].content for episode in read_episodes(folder)]


def read_to_done(url: str) -> None:
    """Read a streamed reply and close at ``[DONE]``, as clients of OpenAI do."""
    asked = {"model": "m", "messages": CHAT, "stream": True}
    with httpx.stream("POST", f"{url}/chat/completions", json=asked) as reply:
        seen = b""
        for piece in reply.iter_raw():
            seen += piece
            if DONE in seen:
                return


@pytest.mark.parametrize("placement", ["user", "assistant"])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_stream_is_finished_at_done(
    keeps: bool, placement: str, upstream: tuple[ScriptedUpstream, str], tmp_path: Path
) -> None:
    upstream[0].answer = lambda asked: [*spoken("It is 5."), 5.0]
    record = {"folder": tmp_path} if keeps else {}
    with speaking(placement=placement) as advisor, endpoint(upstream[1], advisor, record=record) as served:
        for _ in range(3):
            read_to_done(served.base_url)
        until = time.monotonic() + 3
        while served.count("fama_requests_in_flight"):
            assert time.monotonic() < until, "the client's end ends the upstream's work"
            time.sleep(0.01)
        assert served.count("fama_cancelled_total") == 0
    if keeps:
        assert recorded(tmp_path) == ["It is 5."]
        (episode,) = read_episodes(tmp_path)
        assert sum(row.role == "agent" for row in episode.ledger) == 3


@pytest.mark.parametrize(("finish", "kept"), [("stop", ["It is 5."]), (None, [])])
def test_a_client_that_goes_at_the_finish_has_had_its_reply(
    finish: str | None, kept: list[str], upstream: tuple[ScriptedUpstream, str], tmp_path: Path
) -> None:
    """Loops over a stream end at its ``finish_reason``; usage and ``[DONE]`` may come later."""
    upstream[0].answer = lambda asked: [chunk(role="assistant", content="It is 5."), chunk(finish=finish), 2.0, DONE]
    with speaking(placement="user") as advisor, endpoint(upstream[1], advisor, record={"folder": tmp_path}) as served:
        with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as client:
            with client.chat.completions.create(model="m", messages=CHAT, stream=True) as stream:
                assert [piece.choices[0].delta.content for _, piece in zip(range(2), stream, strict=False)]
        until = time.monotonic() + 1.5
        while served.count("fama_requests_in_flight"):
            assert time.monotonic() < until
            time.sleep(0.01)
    assert recorded(tmp_path) == kept if kept else not (tmp_path / "episodes.jsonl").exists()


def test_what_becomes_of_the_upstream_after_done_is_no_error(
    upstream: tuple[ScriptedUpstream, str], tmp_path: Path
) -> None:
    upstream[0].answer = lambda asked: [*spoken("It is 5."), 2.0]
    settings: dict[str, Any] = {"record": {"folder": tmp_path}, "limits": {"upstream_seconds": 0.2}}
    with speaking(placement="user") as advisor, endpoint(upstream[1], advisor, **settings) as served:
        reply = httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": CHAT, "stream": True})
    assert reply.content == b"".join(spoken("It is 5.")) and recorded(tmp_path) == ["It is 5."]


@pytest.mark.parametrize("said", [[b"data: [DONE]\n\n"], []])
def test_a_stream_without_a_finish_is_recorded_if_it_says_that_it_is_over(
    said: list[bytes], upstream: tuple[ScriptedUpstream, str], tmp_path: Path
) -> None:
    upstream[0].answer = lambda asked: [chunk(role="assistant", content="It is 5."), *said]
    with speaking() as advisor, endpoint(upstream[1], advisor, record={"folder": tmp_path}) as served:
        httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": CHAT, "stream": True})
    told = served.count("fama_record_failures_total")  # of a server that has stopped: all is counted
    if said:
        assert recorded(tmp_path) == ["It is 5."] and told == 0
    else:
        assert not (tmp_path / "episodes.jsonl").exists() and told == 1, "it may have been cut"


def test_a_finish_without_a_blank_line_is_recorded(upstream: tuple[ScriptedUpstream, str], tmp_path: Path) -> None:
    script = [chunk(role="assistant", content="It is 5."), b"data: " + json.dumps(FINISH).encode()]
    upstream[0].answer = lambda asked: script
    with speaking(placement="user") as advisor, endpoint(upstream[1], advisor, record={"folder": tmp_path}) as served:
        reply = httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": CHAT, "stream": True})
    assert reply.content == b"".join(script) and recorded(tmp_path) == ["It is 5."]


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
@pytest.mark.parametrize("finish", ["stop", None])
def test_an_opening_in_a_last_event_without_a_blank_line_is_taken_off(
    finish: str | None, end: bytes, upstream: tuple[ScriptedUpstream, str]
) -> None:
    upstream[0].answer = lambda asked: [chunk(finish=finish, content="Note: Alpha speaks.\nIt is 5.").rstrip() + end]
    with speaking(placement="assistant") as advisor, endpoint(upstream[1], advisor) as served:
        with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as client:
            stream: Any = client.chat.completions.create(model="m", messages=CHAT, stream=True)
            assert "".join(event.choices[0].delta.content or "" for event in stream) == "It is 5."


def test_words_held_back_follow_a_last_event_without_a_blank_line(upstream: tuple[ScriptedUpstream, str]) -> None:
    upstream[0].answer = lambda asked: [chunk(content="Note: Al"), b": a comment"]
    with speaking(placement="assistant") as advisor, endpoint(upstream[1], advisor) as served:
        with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as client:
            stream: Any = client.chat.completions.create(model="m", messages=CHAT, stream=True)
            assert "".join(event.choices[0].delta.content or "" for event in stream) == "Note: Al"
