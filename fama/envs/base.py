"""The environment contract: a task's world, its tools, its user and its judge."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fama.episodes.records import GoldAction, LedgerRow, Message, ToolSpec
from fama.models.base import ChatModel, Sampling
from fama.registry import Registry


@dataclass(frozen=True)
class Action:
    """An agent's action: a tool call, or words to the user when ``tool`` is None."""

    tool: str | None
    arguments: dict[str, Any] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class Observation:
    """The environment's answer: a user or tool message, and whether the episode is over.

    ``content`` is None when the episode ended without a further message. ``ledger`` holds what the
    user simulator spent. ``before`` is only for the first one: what was said before the agent comes in.
    ``failed`` says that the environment calls a tool's answer an error, whatever it reads like.
    """

    role: str
    content: str | None
    done: bool = False
    reason: str = ""
    ledger: tuple[LedgerRow, ...] = ()
    before: tuple[Message, ...] = ()
    failed: bool = False


@dataclass(frozen=True)
class UserModel:
    """The chat model that plays the user of an episode; ``trial`` keeps its cached replies apart."""

    model: ChatModel
    sampling: Sampling = Sampling()
    trial: int = 0


@dataclass(frozen=True)
class Reward:
    """The benchmark's verdict; ``detail`` logs each part of it apart, 0.0 to 1.0.

    ``instruction`` is what the simulated user was told to do, where a model plays it.
    """

    success: bool
    reward: float
    detail: dict[str, float] = field(default_factory=dict)
    gold_actions: tuple[GoldAction, ...] | None = None
    instruction: str | None = None


class Environment(Protocol):
    """One task's world. Not shared between episodes."""

    @property
    def policy(self) -> str:
        """Return the domain's policy text, as the agent reads it."""
        ...

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the tools the agent can call."""
        ...

    async def reset(self, seed: int) -> Observation:
        """Start the task; the observation is the user's first message, or the last one that a task opens with."""
        ...

    async def step(self, action: Action) -> Observation:
        """Carry out one action. A wrong tool or argument is an observation, not an exception."""
        ...

    def outcome(self) -> Reward:
        """Return the verdict on the state as it is now; may be asked at any time."""
        ...


class Benchmark(Protocol):
    """A family of domains with their tasks."""

    name: str

    def version(self, domain: str) -> str:
        """Return the version of a domain's tasks; results of two versions are never mixed.

        Raises:
            BadInput: the domain is unknown.
        """
        ...

    def domains(self) -> Sequence[str]:
        """Return the names of the domains."""
        ...

    def splits(self, domain: str) -> Sequence[str]:
        """Return the names of the splits, e.g. dev, train, test."""
        ...

    def task_ids(self, domain: str, split: str) -> Sequence[str]:
        """Return the ids of a split's tasks in a fixed order. An endless split gives its first 1,000."""
        ...

    def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> Environment:
        """Return a fresh world for a task. ``user`` plays its user; None takes the scripted one, if there is one.

        Raises:
            BadInput: the task is unknown, or the benchmark needs a user model and gets none.
        """
        ...

    def demonstrations(self, domain: str) -> Sequence[Sequence[Message]]:
        """Return conversations on other tasks, to show the format; empty where there are none."""
        ...


BENCHMARKS: Registry[type[Benchmark]] = Registry(
    "benchmarks",
    {
        "acebench": "fama.envs.acebench.benchmark:AceBench",
        "helpdesk": "fama.envs.helpdesk.benchmark:Helpdesk",
        "tau2": "fama.envs.tau2.benchmark:Tau2",
        "tau_bench": "fama.envs.tau_bench.benchmark:TauBench",
        "tau_trait": "fama.envs.tau_bench.benchmark:TauTrait",
    },
)
