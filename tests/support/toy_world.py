"""A toy benchmark with known best subsets, two helpers and a scripted model, for whole runs in milliseconds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fama.envs.base import BENCHMARKS, Action, Observation, Reward, UserModel
from fama.episodes.records import LedgerRow, Message, ToolSpec
from fama.episodes.state import VisibleState
from fama.helpers.base import HELPERS, HelperContext, HelperReply
from fama.models.base import ChatRequest
from fama.models.scripted import SCRIPTED, ScriptedModel
from fama.settings import CompareSettings, Form, OutcomesSettings

#: what task i needs to be solved, by i % 4
NEEDS = ("nothing", "Alpha", "Beta", "Alpha and Beta")
TOOLS = (ToolSpec(name="solve", description="Solves."), ToolSpec(name="give_up", description="Ends."))


class ToyEnvironment:
    """Solved by calling solve. In the domain ``moods`` the need changes with the seed."""

    policy = "Solve what you can."
    tools = TOOLS

    def __init__(self, task_id: str, moods: bool = False) -> None:
        self._need = NEEDS[int(task_id[1:]) % 4]
        self._moods = moods
        self._solved = False

    async def reset(self, seed: int) -> Observation:
        """The need, in the user's words."""
        need = NEEDS[seed % 4] if self._moods else self._need
        return Observation("user", f"I need {need}.")

    async def step(self, action: Action) -> Observation:
        """One action ends it."""
        self._solved = action.tool == "solve"
        row = LedgerRow(role="user", model="user", input_tokens=1000)
        return Observation("user", None, done=True, reason="closed", ledger=(row,))

    def outcome(self) -> Reward:
        """Return whether it was solved."""
        return Reward(success=self._solved, reward=float(self._solved))


class ToyBenchmark:
    """Twenty tasks, t0 to t19, in the splits train and test."""

    name = "toy"

    def version(self, domain: str) -> str:
        """The same for both domains."""
        return "toy-1"

    def domains(self) -> Sequence[str]:
        """Two domains."""
        return ("d", "moods")

    def splits(self, domain: str) -> Sequence[str]:
        """Two splits."""
        return ("train", "test")

    def task_ids(self, domain: str, split: str) -> Sequence[str]:
        """Ten tasks a split."""
        return [f"t{i}" for i in (range(10) if split == "train" else range(10, 20))]

    def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> ToyEnvironment:
        """A fresh world."""
        return ToyEnvironment(task_id, domain == "moods")

    def demonstrations(self, domain: str) -> Sequence[Sequence[Message]]:
        """None."""
        return ()


class ToyHelper:
    """Speaks its name."""

    covers = frozenset({"DCV"})
    token_cap = 20
    cost_cap = 0

    def __init__(self, name: str) -> None:
        self.name = name

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        """Its name, at 40 tokens."""
        return HelperReply(
            f"{self.name} speaks.", (LedgerRow(role=f"helper:{self.name}", model="toy", input_tokens=40),)
        )


def alpha(form: Form = "template", **options: int | str) -> ToyHelper:
    """The helper Alpha."""
    return ToyHelper("Alpha")


def beta(form: Form = "template", **options: int | str) -> ToyHelper:
    """The helper Beta."""
    return ToyHelper("Beta")


def _reply(request: ChatRequest) -> str:
    need = str(request.messages[-1]["content"]).rpartition("I need ")[2].rstrip(".")
    met = all(word not in need or f"{word} speaks" in request.prefill for word in ("Alpha", "Beta"))
    return f'{{"tool": "{"solve" if met else "give_up"}", "arguments": {{}}}}'


@contextmanager
def toy_world() -> Iterator[None]:
    """Register the toy benchmark, helpers and model for the length of the block."""
    HELPERS.add("Alpha", alpha)
    HELPERS.add("Beta", beta)
    BENCHMARKS.add("toy", ToyBenchmark)
    SCRIPTED.add("toy", ScriptedModel("toy", _reply))
    try:
        yield
    finally:
        for registry, name in ((HELPERS, "Alpha"), (HELPERS, "Beta"), (BENCHMARKS, "toy"), (SCRIPTED, "toy")):
            registry.remove(name)


def base(**changes: Any) -> dict[str, Any]:
    """Settings of the toy world as a config's tree."""
    return {
        "benchmark": "toy",
        "domain": "d",
        "split": "test",
        "tasks": 4,
        "demonstrations": 0,
        "model": {"name": "scripted:toy"},
        "helpers": {"pool": ["Alpha", "Beta"]},
        **changes,
    }


def outcomes_settings(**changes: Any) -> OutcomesSettings:
    """Settings of an outcome table."""
    return OutcomesSettings.model_validate(base(**changes))


def compare_settings(**changes: Any) -> CompareSettings:
    """Settings of a comparison."""
    return CompareSettings.model_validate(base(**changes))
