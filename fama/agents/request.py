"""The agent's request of a decision before any note: what helpers and selectors put their questions behind."""

from collections.abc import Callable, Sequence

from fama.agents.runs.plan import load_benchmark
from fama.agents.strategies.base import STRATEGIES, Strategy
from fama.envs.base import Benchmark
from fama.episodes.records import Message
from fama.episodes.state import VisibleState
from fama.models.prefix import AgentRequest
from fama.settings import ExperimentSettings


def agent_request(
    strategy: Strategy, state: VisibleState, demonstrations: Sequence[Sequence[Message]] = ()
) -> AgentRequest:
    """Return system message, demonstrations and history as the strategy renders them, with its tools."""
    prompt = strategy.prompt(state.messages, state.policy, state.tools, demonstrations)
    return AgentRequest(prompt.messages, prompt.tools)


def demonstrations_of(settings: ExperimentSettings, benchmark: Benchmark) -> list[Sequence[Message]]:
    """Return the conversations that every prompt of a run shows."""
    return list(benchmark.demonstrations(settings.domain))[: settings.demonstrations]


def requester(
    settings: ExperimentSettings, benchmark: Benchmark | None = None
) -> Callable[[VisibleState], AgentRequest]:
    """Return the function from a state to the request of a run's agent in it.

    The benchmark is loaded when the first request is asked for, unless it is given.
    """
    strategy = STRATEGIES.load(settings.strategy)()
    shown: list[Sequence[Message]] | None = None

    def request(state: VisibleState) -> AgentRequest:
        nonlocal shown
        if shown is None:
            shown = demonstrations_of(settings, benchmark or load_benchmark(settings))
        return agent_request(strategy, state, shown)

    return request
