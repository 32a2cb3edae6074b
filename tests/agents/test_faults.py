"""Whole runs over the real client and a server that fails in every way: what was spent is kept, the run goes on."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.episodes.records import Episode, LedgerRow
from fama.episodes.store import read_episodes
from fama.errors import FamaError, ModelError
from fama.models.base import ChatReply, ChatRequest
from fama.models.client import OpenAIChat
from fama.models.scripted import ScriptedModel
from fama.settings import RunSettings, SelectorSettings
from tests.support.fake_endpoint import Answer, Broken, Endpoint, said
from tests.support.toy_agents import GOLD

USAGE = {"usage": {"prompt_tokens": 10, "completion_tokens": 2}}
OVERFLOW = {"error": {"message": "the request exceeds the available context size", "type": "exceed_context_size_error"}}
FAILED: Answer = (
    200,
    {
        "choices": [
            {
                "finish_reason": "error",
                "message": {"role": "assistant", "content": ""},
                "error": {"code": 502, "message": "Upstream died"},
            }
        ]
    },
)
FILTERED: Answer = (200, {"choices": [{"finish_reason": "content_filter", "message": {"content": None}}]})
REFUSED = {"error": {"message": "blocked by a content filter", "type": "invalid_request_error"}}


pytestmark = pytest.mark.usefixtures("lamps")


def gold(body: dict[str, Any]) -> tuple[str, int, Answer]:
    """Return the task that is asked about, its step of three, and the right answer."""
    text = json.dumps(body["messages"])
    task = re.findall(r"lamp in the (t\d) room", text)[-1]
    step = sum(message["role"] == "assistant" for message in body["messages"])
    return task, step, said(GOLD[min(step, 2)], **USAGE)


def settings(**values: Any) -> RunSettings:
    tree = {"benchmark": "lamps", "domain": "house", "helpers": {"pool": []}, "demonstrations": 0, "placement": "user"}
    return RunSettings.model_validate({**tree, **values})


async def run(
    endpoint: Endpoint, out: Path, tasks: int = 6, timeout: float = 60.0, **values: Any
) -> dict[str, Episode]:
    client = OpenAIChat(
        "m", endpoint.base_url, flavour="openai", retries=1, backoff=0.01, timeout=timeout, trust_env=False
    )
    plan = [Planned(f"t{task}", 0, SelectorSettings()) for task in range(tasks)]
    async with client:
        await run_planned(settings(**values), plan, out, model=client, progress=False)
    return {episode.task_id: episode for episode in read_episodes(out)}


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_each_fault_ends_its_own_episode(endpoint: Endpoint, tmp_path: Path, concurrency: int) -> None:
    tries: dict[str, int] = {}

    def answer(body: dict[str, Any]) -> Answer:
        task, step, right = gold(body)
        if step != 1:
            return right
        tries[task] = tries.get(task, 0) + 1
        if task == "t0":
            return 400, OVERFLOW
        if task == "t1":
            time.sleep(3.0)  # a generation without an end
        if task == "t2":
            return 400, REFUSED
        if task == "t3":
            return 503, {"error": {"message": "loading"}}
        if task == "t4":
            return 200, b'{"choices": [{"mess'
        return right

    endpoint.answer = answer
    done = await run(endpoint, tmp_path, timeout=1.5, concurrency=concurrency)
    assert done["t5"].outcome.status == "success"
    for task, words in {
        "t0": "raise model.context_tokens",
        "t1": "no answer within 1.5 s",
        "t2": "blocked by a content filter",
        "t3": "gave up after 2 tries",
        "t4": "gave up after 2 tries",
    }.items():
        episode = done[task]
        assert (episode.outcome.status, episode.outcome.boundary) == ("error", "model"), task
        assert words in episode.outcome.reason and episode.reward is None
        assert [row.input_tokens for row in episode.ledger] == [10]  # the first decision was paid and stays paid
    assert tries == {"t0": 1, "t1": 1, "t2": 1, "t3": 2, "t4": 2, "t5": 1}

    endpoint.answer = lambda body: gold(body)[2]  # mended: the same command runs the five again, and only them
    asked = len(endpoint.asked)
    done = await run(endpoint, tmp_path, concurrency=concurrency)
    assert {episode.outcome.status for episode in done.values()} == {"success"} and len(done) == 6
    assert len(endpoint.asked) - asked == 5 * 3


#: a fault, what the episode's error says, and how often the client asks before it gives up
EVERY_FAULT: dict[str, tuple[Answer, str, int]] = {
    "reset": ((200, Broken()), "cannot reach", 2),
    "cut off in the body": ((200, Broken(b'{"choices": [{"mess')), "cannot reach", 2),
    "cut off in the JSON": ((200, b'{"choices": [{"mess'), "the reply is not JSON", 2),
    "no JSON": ((200, b"<html>gateway</html>"), "the reply is not JSON", 2),
    "no choices": ((200, {"choices": []}), "no choices", 2),
    "a choice without a message": ((200, {"choices": [{}]}), "unknown form", 2),
    "a failure in the choice": (FAILED, "Upstream died", 2),
    "a filter that left nothing": (FILTERED, "withheld (content_filter)", 2),
    "a refused key in a 200": ((200, {"error": {"code": 401, "message": "no such user"}}), "no such user", 1),
    "too many requests": ((429, {"error": {"message": "slow down"}}), "HTTP 429: slow down", 2),
    "out of order": ((500, {"error": {"message": "out of memory"}}), "HTTP 500: out of memory", 2),
    "a gateway": ((502, b"<html>bad gateway</html>"), "HTTP 502", 2),
    "another model": ((404, {"error": {"message": "the model m does not exist"}}), "does not exist", 1),
    "a wrong key": ((401, {"error": {"message": "no key"}}), "HTTP 401: no key", 1),
    "too long": ((400, OVERFLOW), "raise model.context_tokens", 1),
}


@pytest.mark.parametrize("fault", EVERY_FAULT)
async def test_a_passing_fault_costs_a_try_and_a_lasting_one_its_episode(
    endpoint: Endpoint, tmp_path: Path, fault: str
) -> None:
    wrong, words, tries = EVERY_FAULT[fault]
    asked: dict[str, int] = {}

    def answer(body: dict[str, Any]) -> Answer:
        task, step, right = gold(body)
        if step != 1 or task == "t2":
            return right
        asked[task] = asked.get(task, 0) + 1
        return wrong if task == "t0" or asked[task] == 1 else right

    endpoint.answer = answer
    done = await run(endpoint, tmp_path, tasks=3)
    lasting, passing = done["t0"], done["t1"]
    assert (lasting.outcome.status, lasting.outcome.boundary) == ("error", "model")
    assert words in lasting.outcome.reason and len(lasting.ledger) == 1 and "\n" not in lasting.outcome.reason
    assert asked == {"t0": tries, "t1": tries}
    assert passing.outcome.status == ("success" if tries == 2 else "error")
    assert done["t2"].outcome.status == "success" and len(done["t2"].ledger) == 3


@pytest.mark.parametrize(("header", "least"), [("0.3", 0.3), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("-5", 0.0)])
async def test_a_client_waits_as_long_as_the_server_asks(endpoint: Endpoint, header: str, least: float) -> None:
    endpoint.more_headers = {"retry-after": header}
    endpoint.answers = [(429, {"error": {"message": "slow down"}}), said("fine")]
    client = OpenAIChat("m", endpoint.base_url, retries=1, backoff=0.01, timeout=5.0, trust_env=False)
    begun = time.perf_counter()
    async with client:
        assert (
            await client.complete(ChatRequest(messages=({"role": "user", "content": "hi"},), role="agent"))
        ).text == "fine"
    assert time.perf_counter() - begun >= least and len(endpoint.asked) == 2


async def test_a_refused_connection_stops_the_run_and_another_server_goes_on(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    gone = Endpoint()
    gone.server.shutdown()
    gone.server.server_close()
    with pytest.raises(FamaError, match=r"2 episodes in a row got no answer .*cannot reach .*the same command"):
        await run(gone, tmp_path, stop_after=2)
    endpoint.answer = lambda body: gold(body)[2]
    done = await run(endpoint, tmp_path, stop_after=2)
    assert {episode.outcome.status for episode in done.values()} == {"success"} and len(done) == 6


async def test_a_dead_server_stops_the_run_and_the_same_command_goes_on(endpoint: Endpoint, tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        task, _, right = gold(body)
        return right if task in ("t0", "t1") else (500, {"error": {"message": "out of memory"}})

    endpoint.answer = answer
    with pytest.raises(FamaError, match=r"3 episodes in a row got no answer .*out of memory.* the same command"):
        await run(endpoint, tmp_path, stop_after=3)
    assert [e.outcome.status for e in read_episodes(tmp_path)] == ["success"] * 2 + ["error"] * 3
    endpoint.answer = lambda body: gold(body)[2]
    done = await run(endpoint, tmp_path, stop_after=3)
    assert {episode.outcome.status for episode in done.values()} == {"success"} and len(done) == 6


async def test_a_dead_server_of_the_user_stops_the_run_too(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answer = lambda body: (500, {"error": {"message": "out of memory"}})
    agent = ScriptedModel("m", lambda request: '{"tool": "respond", "arguments": {"text": "How can I help?"}}')
    user = {"name": "served", "base_url": endpoint.base_url, "retries": 0}
    chosen = settings(benchmark="helpdesk", domain="shop", user_model=user, stop_after=2)
    plan = [Planned(f"shop-dev-{task:04}", 0, SelectorSettings()) for task in range(4)]
    with pytest.raises(FamaError, match=r"2 episodes in a row got no answer .*plays the user.*out of memory"):
        await run_planned(chosen, plan, tmp_path, model=agent, progress=False)
    assert [episode.outcome.boundary for episode in read_episodes(tmp_path)] == ["user"] * 2


class HalfCached:
    """Answers the first request of an episode from a cache; the server behind it is gone."""

    name = "m"

    async def complete(self, request: ChatRequest) -> ChatReply:
        if any(message["role"] == "assistant" for message in request.messages):
            raise ModelError("m: cannot reach the server")
        text = '{"tool": "respond", "arguments": {"text": "How can I help?"}}'
        return ChatReply(text, LedgerRow(role="agent", model="m", input_tokens=3, output_tokens=1, cache_hit=True))


async def test_answers_of_a_cache_and_of_the_users_model_do_not_hide_that_the_agents_server_is_gone(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.answers = [said("I want to cancel my order.", **USAGE)]
    user = {"name": "served", "base_url": endpoint.base_url, "retries": 0}
    chosen = settings(benchmark="helpdesk", domain="shop", user_model=user, stop_after=2, demonstrations=0)
    plan = [Planned(f"shop-dev-{task:04}", 0, SelectorSettings()) for task in range(4)]
    with pytest.raises(FamaError, match=r"2 episodes in a row got no answer .*cannot reach the server"):
        await run_planned(chosen, plan, tmp_path, model=HalfCached(), progress=False)
    stopped = list(read_episodes(tmp_path))
    assert [episode.outcome.boundary for episode in stopped] == ["model"] * 2
    assert [[row.role for row in episode.ledger] for episode in stopped] == [["agent", "user"]] * 2


async def test_a_run_that_shall_never_stop(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answer = lambda body: (500, {"error": {"message": "no"}})
    done = await run(endpoint, tmp_path, stop_after=0)
    assert len(done) == 6 and all(episode.outcome.boundary == "model" for episode in done.values())
