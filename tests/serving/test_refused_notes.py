"""Requests whose notes never reach the agent: the upstream refuses them, or they cannot be placed."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from starlette.responses import Response

from fama.advising.advisor import Advisor
from fama.advising.note_refusals import PAUSE_SECONDS, NoteRefusals, conversation_opening
from fama.episodes.store import read_episodes
from tests.support.serving import DONE, Endpoint, ScriptedUpstream, completion, endpoint, plain, speaking, spoken

CHAT: Any = [{"role": "user", "content": "I want to return order W100, and to cancel W200."}]


@pytest.fixture
def upstream() -> ScriptedUpstream:
    return ScriptedUpstream()


@pytest.fixture
def advisor() -> Iterator[Advisor]:
    with speaking(placement="user") as one:
        yield one


@pytest.fixture
def served(upstream: ScriptedUpstream, advisor: Advisor) -> Iterator[Endpoint]:
    with plain(upstream.app) as address, endpoint(address, advisor) as one:
        yield one


def remembered(advisor: Advisor) -> list[Any]:
    """Return the notes that an advisor takes for given, with what its budget counts."""
    return [*(session.noted for session in advisor._sessions._kept.values()), advisor._run_budget.spent]


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("placement", ["user", "assistant"])
def test_a_request_that_is_refused_with_its_note_goes_without(
    status: int, placement: str, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """A note may make it too long, seem an attack to a content filter, or open a reply where none can be opened."""

    def answer(asked: dict[str, Any]) -> Any:
        if asked["messages"] != CHAT:
            return Response(b'{"error": {"message": "too long"}}', status, media_type="application/json")
        return spoken("Fi", "ne.") if asked.get("stream") else completion()

    upstream.answer = answer
    with (
        plain(upstream.app) as address,
        speaking(placement=placement) as advisor,
        endpoint(address, advisor, record={"folder": tmp_path}) as served,
    ):
        with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as client:
            raw = client.chat.completions.with_raw_response.create(model="m", messages=CHAT)
            stream: Any = client.chat.completions.create(model="m", messages=CHAT, stream=True)
            pieces = [event.choices[0].delta.content or "" for event in stream]
        assert served.count("fama_advice_failures_total") == 2 and len(upstream.asked) == 4
        assert served.count("fama_notes_total") == 0, "the agent saw none"
        assert remembered(advisor) == [(), 80], "what helpers spent, without a note that was given"
    assert raw.headers["x-fama-failure"] == "refused" and raw.parse().choices[0].message.content == "Fine."
    assert "".join(pieces) == "Fine." and json.loads(upstream.bodies[1])["messages"] == CHAT
    assert [episode.decisions for episode in read_episodes(tmp_path)] == [()]


def test_a_request_that_is_refused_for_its_own_sake_counts_as_no_failure_of_notes(
    served: Endpoint, upstream: ScriptedUpstream, advisor: Advisor
) -> None:
    upstream.answer = lambda asked: Response(b"no", 400)
    before = served.count("fama_advice_failures_total")
    assert httpx.post(f"{served.base_url}/chat/completions", json={"model": "m", "messages": CHAT}).status_code == 400
    assert len(upstream.asked) == 2 and upstream.asked[1]["messages"] == CHAT
    assert served.count("fama_advice_failures_total") == before and remembered(advisor) == [(), 40]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shape", ["error", "object"])
def test_a_refusal_behind_a_200_is_one(
    shape: str, stream: bool, served: Endpoint, upstream: ScriptedUpstream, advisor: Advisor
) -> None:
    """SGLang and vLLM send it as the first event of a stream, whose status is out by then."""
    error = {"object": "error", "message": "Input is longer than the context.", "type": "BadRequestError", "code": 400}
    said = {"error": error} if shape == "error" else error

    def refusal(asked: dict[str, Any]) -> Any:
        return [b"data: " + json.dumps(said).encode() + b"\n\n", DONE] if stream else said

    def answer(asked: dict[str, Any]) -> Any:
        if asked["messages"] != CHAT:
            return refusal(asked)
        return spoken("Fi", "ne.") if stream else completion()

    body = {"model": "m", "messages": CHAT, "stream": stream}
    upstream.answer = answer
    reply = httpx.post(f"{served.base_url}/chat/completions", json=body)
    assert reply.headers["x-fama-failure"] == "refused" and "longer than" not in reply.text and "ne." in reply.text
    assert (served.count("fama_advice_failures_total"), served.count("fama_notes_total")) == (1, 0)
    assert remembered(advisor) == [(), 40]
    upstream.answer = refusal
    reply = httpx.post(f"{served.base_url}/chat/completions", json=body)
    assert "longer than the context" in reply.text and len(upstream.asked) == 4
    assert served.count("fama_advice_failures_total") == 1, "refused for its own sake"


WAIT, REFUSAL = b": OPENROUTER PROCESSING\n\n", b'data: {"error": {"message": "too long", "code": 400}}\n\n'


@pytest.mark.parametrize(
    ("sent", "refused"),
    [
        ([WAIT, 0.05, REFUSAL], True),
        ([WAIT, 0.05, WAIT, 0.05, WAIT, 0.05, REFUSAL], True),
        ([WAIT + WAIT + REFUSAL], True),
        ([REFUSAL[:9], 0.05, REFUSAL[9:30], 0.05, REFUSAL[30:]], True),
        ([WAIT, 0.05] * 6 + [REFUSAL], False),
    ],
)
def test_a_refusal_is_found_behind_comments_and_in_pieces(
    sent: list[Any], refused: bool, served: Endpoint, upstream: ScriptedUpstream
) -> None:
    """OpenRouter keeps a connection open with comments; a client that waits long for a first byte goes away."""
    fine = [*([WAIT, 0.05] * 6), *spoken("Fi", "ne.")]
    upstream.answer = lambda asked: fine if asked["messages"] == CHAT else [*sent, DONE]
    body = {"model": "m", "messages": CHAT, "stream": True}
    reply = httpx.post(f"{served.base_url}/chat/completions", json=body)
    assert ("ne." in reply.text, "too long" in reply.text) == (refused, not refused)
    assert reply.headers.get("x-fama-failure") == ("refused" if refused else None)
    assert reply.content == b"".join(p for p in (fine if refused else [*sent, DONE]) if isinstance(p, bytes))


def asked_of(served: Endpoint, model: str = "m", first: str = "") -> httpx.Response:
    chat = [{"role": "user", "content": first}, {"role": "assistant", "content": "Yes?"}, *CHAT] if first else CHAT
    return httpx.post(f"{served.base_url}/chat/completions", json={"model": model, "messages": chat})


def failures_of(replies: list[httpx.Response]) -> list[str | None]:
    return [reply.headers.get("x-fama-failure") for reply in replies]


def test_a_model_that_takes_no_notes_is_not_asked_twice_for_ever(
    served: Endpoint, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """As vLLM's templates do that take no system message later on; the notes of other models go on."""
    upstream.answer = lambda asked: (
        completion() if asked["messages"][-1] == CHAT[0] or asked["model"] == "n" else Response(b"no", 400)
    )
    replies = [asked_of(served, first=f"I am user {number}.") for number in range(5)]
    assert failures_of(replies) == ["refused"] * 3 + ["refused_before"] * 2
    assert len(upstream.asked) == 3 * 2 + 2
    assert served.count("fama_advice_failures_total") == 5 and served.count("fama_notes_total") == 0
    assert asked_of(served, "n").headers["x-fama-notes"] == "1" and served.count("fama_notes_total") == 1
    told = "no notes for the model 'm' for 300 s: the upstream refuses requests with them"
    assert [record.message for record in caplog.records].count(told) == 1


def test_a_conversation_that_is_too_long_for_notes_leaves_those_of_others(
    served: Endpoint, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.answer = lambda asked: (
        Response(b"too long", 400) if len(asked["messages"]) > 2 and asked["messages"][-1] != CHAT[0] else completion()
    )
    replies = [asked_of(served, first="Long ago.") for _ in range(4)]
    assert failures_of(replies) == ["refused"] * 3 + ["refused_before"]
    assert asked_of(served).headers["x-fama-notes"] == "1"
    assert failures_of([asked_of(served, first="Long ago.")]) == ["refused_before"], "its pause goes on"
    told = "no notes for a conversation with the model 'm' for 300 s: the upstream refuses requests with them"
    assert [record.message for record in caplog.records].count(told) == 1


def test_refusals_that_are_not_in_a_row_stop_no_notes() -> None:
    now = [0.0]
    refusals = NoteRefusals(lambda: now[0])
    for _ in range(5):
        assert not refusals.refused("m", "a") and not refusals.refused("m", "b")
        refusals.taken("m", "c")
        assert not refusals.refused("m", "d")
        for one in "abd":
            refusals.taken("m", one)
    assert not refusals.paused("m", "a")
    assert [refusals.refused("m", one) for one in "abcd"] == [None, None, "the model", None]
    assert refusals.paused("m", "e") and not refusals.paused("n", "a")
    now[0] = PAUSE_SECONDS
    assert not refusals.paused("m", "a") and refusals.refused("m", "a"), "refused again: another pause at once"


def test_models_that_nobody_asks_any_more_are_forgotten() -> None:
    refusals = NoteRefusals(lambda: 0.0)
    for number in range(2000):
        refusals.refused(f"m{number}", "a")
        if number % 100 == 0:
            refusals.refused("kept", "a")
    assert len(refusals) == 1024 and refusals.paused("kept", "a")
    assert [refusals.refused("late", "a") for _ in range(3)] == [None, None, "a conversation with the model"]


def test_a_conversation_is_known_by_its_first_words_alone() -> None:
    said = [{"role": "user", "content": "I am Jo."}, {"role": "assistant", "content": "Yes?"}]
    assert conversation_opening([{"role": "system", "content": "It is noon."}, *said]) == conversation_opening(said[:1])
    assert conversation_opening(said) != conversation_opening([{"role": "user", "content": "I am Al."}])
    assert conversation_opening([]) == conversation_opening([{"role": "system", "content": "x"}])


def test_notes_that_cannot_be_placed_are_not_counted(
    served: Endpoint, upstream: ScriptedUpstream, advisor: Advisor
) -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "Hi", "weight": 1e999}]}'
    names = ("fama_notes_total", "fama_helper_selected_total", "fama_advice_failures_total", "fama_tokens_total")
    before = [served.count(name) for name in names]
    kind = {"content-type": "application/json"}
    reply = httpx.post(f"{served.base_url}/chat/completions", content=body, headers=kind)
    assert reply.status_code == 200 and upstream.bodies[-1] == body and "x-fama-failure" in reply.headers
    until = time.monotonic() + 5
    while served.count("fama_requests_in_flight"):
        assert time.monotonic() < until
    assert [served.count(name) - old for name, old in zip(names, before, strict=True)] == [0, 0, 1, 40]
    assert remembered(advisor) == [(), 40]
