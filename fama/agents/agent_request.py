"""The agent's request of a decision before any note: what helpers and selectors put their questions behind."""

from collections.abc import Callable, Sequence

from fama.agents.runs.plan import load_benchmark
from fama.agents.strategies.base import STRATEGIES, Strategy
from fama.envs.base import Benchmark
from fama.episodes.records import Message
from fama.episodes.state import VisibleState
from fama.models.prefix import AgentRequest
from fama.settings import ExperimentSettings, domains_of


def agent_request(
    strategy: Strategy, state: VisibleState, demonstrations: Sequence[Sequence[Message]] = ()
) -> AgentRequest:
    """Return system message, demonstrations and history as the strategy renders them, with its tools."""
    prompt = strategy.prompt(state.messages, state.policy, state.tools, demonstrations)
    return AgentRequest(prompt.messages, prompt.tools)


def demonstrations_of(settings: ExperimentSettings, benchmark: Benchmark, domain: str) -> list[Sequence[Message]]:
    """Return the conversations that every prompt of a run shows in a domain."""
    return list(benchmark.demonstrations(domain))[: settings.demonstrations]


def requester(
    settings: ExperimentSettings, benchmark: Benchmark | None = None
) -> Callable[[VisibleState], AgentRequest]:
    """Return the function from a state to the request of a run's agent in it.

    The benchmark is loaded when the first request is asked for, unless it is given.
    """
    strategy = STRATEGIES.load(settings.strategy)()
    domains = domains_of(settings.domain)
    shown: dict[str, list[Sequence[Message]]] = {}

    def request(state: VisibleState) -> AgentRequest:
        domain = state.domain if state.domain in domains else domains[0]
        if domain not in shown:
            shown[domain] = demonstrations_of(settings, benchmark or load_benchmark(settings), domain)
        return agent_request(strategy, state, shown[domain])

    return request
