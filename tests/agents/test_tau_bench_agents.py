"""Our strategies beside τ-bench's own agents: one scripted model, one scripted user, the same tasks.

What must be the same: the actions that reach the environment, one a turn; the number of calls to the model; the roles
of the messages, and for native calls their content; the limit of steps; the reward. What differs on purpose stands in
docs/benchmarks.md.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace as Namespace
from typing import Any

import pytest

from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.envs import checkouts
from fama.envs.base import BENCHMARKS
from fama.envs.tau_bench.user import STOP
from fama.envs.tau_bench.world import silence_prints
from fama.episodes.records import Episode, FunctionCall, ToolCall
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.models.base import ChatReply, ChatRequest
from fama.models.scripted import SCRIPTED, ScriptedModel, scripted_usage
from fama.settings import LimitSettings, RunSettings

Step = tuple[str, dict[str, Any]]
TASKS = ("0", "1", "2")


@pytest.fixture(autouse=True)
def checkout() -> None:
    try:
        checkouts.find_checkout("tau_bench")
    except BadInput as error:
        pytest.skip(str(error))
    pytest.importorskip("litellm", reason="the checkout imports litellm")


def steps_of(task_id: str) -> list[Step]:
    """The task's reference actions, then a sentence, after which the user leaves."""
    from fama.envs.base import UserModel

    nobody = UserModel(ScriptedModel("scripted:nobody", lambda request: STOP))
    environment = BENCHMARKS.load("tau_bench")().environment("airline", task_id, nobody)
    gold = environment.outcome().gold_actions or ()
    return [*((a.name, json.loads(a.arguments)) for a in gold), ("respond", {"content": "Done."})]


def said(step: Step, strategy: str) -> str:
    """A step as the text that τ-bench asks a model for."""
    action = json.dumps({"name": step[0], "arguments": step[1]})
    return f"Action:\n{action}" if strategy == "act" else f"Thought:\nThis is next.\nAction:\n{action}"


class TheirModel:
    """Stands for ``litellm.completion`` in τ-bench's agents; keeps what it was sent."""

    def __init__(self, steps: list[Step], strategy: str) -> None:
        self.steps, self.strategy, self.requests = steps, strategy, 0
        self.last: list[dict[str, Any]] = []

    def __call__(self, messages: list[dict[str, Any]], **settings: Any) -> Any:
        step = self.steps[min(self.requests, len(self.steps) - 1)]
        self.requests += 1
        self.last = list(messages)
        dumped: dict[str, Any] = {"role": "assistant", "content": said(step, self.strategy)}
        if self.strategy == "fc":
            call = {"name": step[0], "arguments": json.dumps(step[1])}
            calls = [
                {"id": f"call_{n}", "type": "function", "function": call} for n in range(2)
            ]  # the second is dropped
            words = step[0] == "respond"
            dumped |= {"content": step[1]["content"] if words else None, "tool_calls": None if words else calls}
        message = Namespace(content=dumped["content"], model_dump=lambda: dict(dumped))
        return Namespace(choices=[Namespace(message=message)], _hidden_params={"response_cost": 0.0})


class TheirUser:
    """τ-bench's place for a user: asks for help, leaves at the first words."""

    def reset(self, instruction: str | None = None) -> str:
        return "I need help."

    def step(self, content: str) -> str:
        return STOP

    def get_total_cost(self) -> float:
        return 0.0


def theirs(task_id: str, steps: list[Step], strategy: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any]:
    """τ-bench's own agent on a task: its model, its environment, its result."""
    from fama.envs.tau_bench.benchmark import _module, _world

    name = "tool_calling_agent" if strategy == "fc" else "chat_react_agent"
    module = _module("tau_bench", f"agents.{name}")
    model = TheirModel(steps, strategy)
    monkeypatch.setattr(module, "completion", model)
    with silence_prints():
        world = _world("tau_bench", "airline", "test", int(task_id))
        world.user = TheirUser()
        about = {"tools_info": world.tools_info, "wiki": world.wiki, "model": "scripted", "provider": "openai"}
        if strategy == "fc":
            agent = module.ToolCallingAgent(**about)
        else:
            agent = module.ChatReActAgent(**about, use_reasoning=strategy == "react")
        solved = agent.solve(world, task_index=int(task_id), max_num_steps=30)
    return model, world, solved


async def ours(task_id: str, steps: list[Step], strategy: str, out: Path) -> tuple[list[ChatRequest], Episode]:
    """Our loop on the same task: the requests to the model, and the episode."""
    requests: list[ChatRequest] = []

    def reply(request: ChatRequest) -> ChatReply:
        step = steps[min(len(requests), len(steps) - 1)]
        requests.append(request)
        text, calls = said(step, strategy), ()
        if strategy == "fc" and step[0] == "respond":
            text = step[1]["content"]
        elif strategy == "fc":
            function = FunctionCall(name=step[0], arguments=json.dumps(step[1]))
            text, calls = "", tuple(ToolCall(id=f"call_{n}", function=function) for n in range(2))  # type: ignore[assignment]
        return ChatReply(text, scripted_usage("scripted:steps", request, text), calls)

    def user(request: ChatRequest) -> str:
        return "I need help." if len(request.messages) == 2 else STOP

    settings = RunSettings.model_validate(
        {
            "benchmark": "tau_bench",
            "domain": "airline",
            "split": "test",
            "tasks": [task_id],
            "strategy": strategy,
            "demonstrations": 0,
            "helpers": {"pool": []},
            "limits": {"repeats": 100, "tokens": 10_000_000},
            "user_model": {"name": "scripted:leaving"},
        }
    )
    SCRIPTED.add("leaving", ScriptedModel("scripted:leaving", user))
    try:
        model = ScriptedModel("scripted:steps", reply)
        await run_planned(settings, [Planned(task_id, 0, settings.selector)], out, model=model)
    finally:
        SCRIPTED.remove("leaving")
    (episode,) = read_episodes(out)
    return requests, episode


def acted(episode: Episode) -> list[Step]:
    """Return our agent's actions, in τ-bench's words."""
    made: list[Step] = []
    for message in episode.messages:
        if message.role == "assistant":
            calls = message.tool_calls or ()
            made += [(call.function.name, call.function.parsed()) for call in calls]
            made += [] if calls else [("respond", {"content": message.content or ""})]
    return made


def called(message: dict[str, Any]) -> list[tuple[str, str]]:
    """The native calls of a message."""
    calls = message.get("tool_calls") or ()
    return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]


@pytest.mark.parametrize("strategy", ["fc", "react", "act"])
@pytest.mark.parametrize("task_id", TASKS)
async def test_the_same_model_does_the_same(
    task_id: str, strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of(task_id)
    model, world, solved = theirs(task_id, steps, strategy, monkeypatch)
    requests, episode = await ours(task_id, steps, strategy, tmp_path)
    done = [(a.name, a.kwargs) for a in world.actions][: len(steps)]  # its judge plays the reference after them
    assert acted(episode) == done == steps
    assert len(requests) == model.requests == len(steps)
    assert episode.reward == solved.reward
    mine, other = [dict(m) for m in requests[-1].messages], model.last
    if strategy != "fc" and mine[-1]["role"] == "assistant":
        mine.pop()  # an opening of the reply, where a server takes one
    assert [m["role"] for m in mine] == [m["role"] for m in other]
    assert world.wiki.strip() in mine[0]["content"] and world.wiki in other[0]["content"]
    results = [m["content"] for m in other if m["role"] == ("tool" if strategy == "fc" else "user")]
    shown = [m["content"] for m in mine if m["role"] == ("tool" if strategy == "fc" else "user")]
    assert len(results) == len(shown)
    for result, seen in zip(results, shown, strict=True):
        assert seen == result if strategy == "fc" else result.removeprefix("API output: ") in seen
    if strategy == "fc":
        native = [
            [(c["function"]["name"], c["function"]["arguments"]) for c in m.get("tool_calls") or ()] for m in mine
        ]
        assert native == [
            [(c["function"]["name"], c["function"]["arguments"]) for c in m.get("tool_calls") or ()] for m in other
        ]
        names = [tool["function"]["name"] for tool in requests[0].tools]
        assert names == [info["function"]["name"] for info in world.tools_info]


@pytest.mark.parametrize("strategy", ["fc", "react"])
async def test_the_limit_of_steps_is_the_same(strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless: list[Step] = [("get_user_details", {"user_id": "nobody"})]
    model, world, solved = theirs("0", endless, strategy, monkeypatch)
    requests, episode = await ours("0", endless, strategy, tmp_path)
    assert len(requests) == model.requests == LimitSettings().steps == 30
    assert len(world.actions) == len(acted(episode)) == 30
    assert episode.outcome.reason == "max_steps" and episode.reward == solved.reward == 0.0


@pytest.mark.parametrize("make", [lambda name: f"Action:\n{name}", lambda name: name])
async def test_words_without_json_are_asked_for_again_where_tau_bench_says_them(
    make: Callable[[str], str], tmp_path: Path
) -> None:
    """τ-bench says what it cannot read to the user; we ask once more, bill it, and then end the episode."""
    requests, episode = await ours("0", [("respond", {"content": "unused"})], "react", tmp_path / "right")
    assert episode.outcome.reason == "user_stop"
    model = ScriptedModel("scripted:prose", lambda request: make("just words"))
    settings = RunSettings.model_validate(
        {
            "benchmark": "tau_bench",
            "domain": "airline",
            "split": "test",
            "tasks": ["0"],
            "strategy": "react",
            "demonstrations": 0,
            "helpers": {"pool": []},
            "user_model": {"name": "scripted:echo"},
        }
    )
    await run_planned(settings, [Planned("0", 0, settings.selector)], tmp_path / "prose", model=model)
    (failed,) = read_episodes(tmp_path / "prose")
    assert failed.outcome.reason == "unparseable"
    assert sum(row.role == "agent" for row in failed.ledger) == 2
