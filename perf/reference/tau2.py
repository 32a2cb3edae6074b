"""The same scripted retail tasks under ``fama run`` and under tau2's own orchestrator, both with tau2's evaluation."""

import json
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple

from fama.agents.runs.plan import Planned
from fama.envs.base import BENCHMARKS
from fama.envs.tau2.package import load_module
from fama.models.base import ChatModel, ChatRequest
from fama.models.scripted import SCRIPTED
from fama.settings import RunSettings, SelectorSettings

DOMAIN, STOP, USER = "retail", "###STOP###", "tau2-benchmark-user"


class ScriptAction(NamedTuple):
    """One action of a script: a tool call, or words when ``tool`` is None."""

    tool: str | None
    arguments: dict[str, Any]


def compare_loops(
    tasks: int, timed: Callable[..., Any], model: Callable[[Callable[[ChatRequest], str]], ChatModel]
) -> tuple[Any, Any]:
    """Return the costs of fama and tau2, in that order; ``timed`` runs a plan, ``model`` makes an instant model."""
    registry = load_module("registry").registry
    found = {str(task.id): task for task in registry.get_tasks_loader(DOMAIN)(None)}
    chosen = list(islice(cycle(found), tasks))  # more than there are: from the start again
    scripts = {name: _script(task) for name, task in found.items()}
    decisions = sum(len(scripts[name]) for name in chosen)
    scenarios = {name: str(task.user_scenario) for name, task in found.items()}

    def say(request: ChatRequest) -> str:
        if len(request.messages) > 2:
            return STOP
        system = str(request.messages[0]["content"])
        return next(name for name, text in scenarios.items() if text in system)

    def act(request: ChatRequest) -> str:
        opening = str(request.messages[2]["content"]).removeprefix("Customer: ")
        step = scripts[opening][(len(request.messages) - 3) // 2]
        return json.dumps({"tool": step.tool or "respond", "arguments": step.arguments}).removeprefix('{"tool": "')

    settings = RunSettings.model_validate(
        {
            **{"benchmark": "tau2", "domain": DOMAIN, "split": "base", "demonstrations": 0},
            **{"user_model": {"name": f"scripted:{USER}"}, "limits": {"repeats": 99}},
        }
    )
    plan = [Planned(name, number, SelectorSettings()) for number, name in enumerate(chosen)]
    SCRIPTED.add(USER, model(say))  # type: ignore[arg-type]
    world = BENCHMARKS.load("tau2")()
    timed(settings, plan[:1], world, model(act), 1)  # both once beforehand: imports and tau2's own caches
    _simulate(found[chosen[0]], scripts[chosen[0]], 0)
    ours = timed(settings, plan, world, model(act), decisions)
    wall, cpu = time.perf_counter(), time.process_time()
    rewards = [_simulate(found[name], scripts[name], number) for number, name in enumerate(chosen)]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if min(rewards) < 1.0:
        raise SystemExit(f"tau2 does not reward {rewards.count(1.0)} of {len(rewards)} scripted tasks")
    return ours, type(ours)(wall, cpu, decisions)


def _script(task: Any) -> list[ScriptAction]:
    """Return the reference actions, and one sentence with all that has to be told."""
    criteria = task.evaluation_criteria
    calls = [ScriptAction(a.name, a.arguments) for a in criteria.actions or () if a.requestor == "assistant"]
    return [*calls, ScriptAction(None, {"text": f"Done. {' '.join(criteria.communicate_info or ())}"})]


def _simulate(task: Any, script: Sequence[ScriptAction], seed: int) -> float:
    """Run one task under tau2's orchestrator and evaluator; return its reward."""
    message_types, evaluator = load_module("data_model.message"), load_module("evaluator.evaluator")
    LLMAgent: Any = load_module("agent.llm_agent").LLMAgent
    UserSimulator: Any = load_module("user.user_simulator").UserSimulator
    steps = iter(script)

    class Agent(LLMAgent):  # type: ignore[misc]
        def generate_next_message(self, message: Any, state: Any) -> Any:
            state.messages.append(message)
            step = next(steps)
            calls = None
            if step.tool:
                calls = [message_types.ToolCall(id=f"c{len(state.messages)}", name=step.tool, arguments=step.arguments)]
            words = None if step.tool else step.arguments["text"]
            reply = message_types.AssistantMessage(role="assistant", content=words, tool_calls=calls)
            state.messages.append(reply)
            return reply, state

    class User(UserSimulator):  # type: ignore[misc]
        def generate_next_message(self, message: Any, state: Any) -> Any:
            words = STOP if state.messages else str(task.id)
            state.messages += [message, message_types.UserMessage(role="user", content=words)]
            return state.messages[-1], state

    world = load_module("registry").registry.get_env_constructor(DOMAIN)()
    agent = Agent(tools=world.get_tools(), domain_policy=world.get_policy(), llm="scripted")
    user = User(instructions=str(task.user_scenario), llm="scripted")
    orchestrator = load_module("orchestrator.orchestrator").Orchestrator(DOMAIN, agent, user, world, task, seed=seed)
    verdict = evaluator.evaluate_simulation(
        simulation=orchestrator.run(),
        task=task,
        evaluation_type=evaluator.EvaluationType.ALL,
        solo_mode=False,
        domain=DOMAIN,
    )
    return float(verdict.reward)
