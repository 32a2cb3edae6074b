"""A toy benchmark whose minimal repairs are known, and a scripted backbone that acts well only when told to.

Every task has three decisions. At decision d the backbone acts well exactly when the notes of all helpers in
``needs[d]`` are there (None: never). The task is solved when all decisions of one of its ``ways`` were acted well at.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.envs.base import BENCHMARKS, Action, Observation, Reward, UserModel
from fama.episodes.records import Message, ToolSpec
from fama.helpers.base import HELPERS
from fama.mining.records import Repair
from fama.mining.runner import MinedFolder, mine_folder
from fama.mining.schedule import Schedule, SchedulePoint
from fama.mining.settings import MineSettings
from fama.models.base import ChatRequest
from fama.models.scripted import SCRIPTED, ScriptedModel
from fama.randomness import generator
from fama.settings import RunSettings, SelectorSettings
from tests.support.toy_world import alpha, beta

DECISIONS = 3
POOL = ("Alpha", "Beta")
TOOL = ToolSpec(
    name="act", description="Acts.", parameters='{"type": "object", "properties": {"well": {}, "turn": {}}}'
)


@dataclass(frozen=True)
class Puzzle:
    """One task of the toy benchmark."""

    needs: tuple[frozenset[str] | None, ...]
    """Helpers whose notes must be there, and, with a minus, those whose notes must not."""
    ways: tuple[frozenset[int], ...]
    exact: bool = False
    """True if acting well at any other decision breaks it."""

    def opened_by(self, well: Set[int]) -> bool:
        """Return whether acting well at these decisions solves it."""
        return any(way == well if self.exact else way <= well for way in self.ways)

    def solved_by(self, schedule: Schedule) -> bool:
        """Return whether these notes solve it, by its definition."""
        well = {
            turn
            for turn, need in enumerate(self.needs)
            if need is not None and need <= {point.helper for point in schedule if point.turn == turn}
        }
        return self.opened_by(well)

    def fewest(self) -> int | None:
        """The notes of its minimal repair; None where there is none."""
        costs = [
            sum(len(self.needs[turn] or ()) for turn in way)
            for way in self.ways
            if all(self.needs[turn] is not None for turn in way)
        ]
        return min(costs, default=None)


def _signs(need: str) -> list[str]:
    return [need] if need.startswith("-") else list(need)


def puzzle(*needs: str | None, ways: Sequence[Sequence[int]], exact: bool = False) -> Puzzle:
    """A puzzle in short: ``"A"``, ``"AB"``, ``"-A"`` (Alpha harms) or None by decision."""
    names = {"A": "Alpha", "B": "Beta", "-A": "-Alpha"}
    members = [None if need is None else frozenset(names[sign] for sign in _signs(need)) for need in needs]
    return Puzzle(tuple(members), tuple(map(frozenset, ways)), exact)


NAMED = {
    "single": puzzle(None, "A", None, ways=[[1]]),
    "two decisions": puzzle("A", None, "B", ways=[[0, 2]]),
    "two helpers": puzzle(None, "AB", None, ways=[[1]]),
    "redundant": puzzle("AB", "A", "B", ways=[[0], [1, 2], [2]]),
    "everywhere": puzzle("AB", "B", "AB", ways=[[0, 1, 2]]),
    "impossible": puzzle("A", None, "B", ways=[[0, 1]]),
    "solved": puzzle("", "", "", ways=[[0, 1, 2]]),
}


def random_puzzle(number: int) -> Puzzle:
    """A puzzle that the plain backbone fails."""
    rng = generator(number, "puzzle")
    needs = tuple(rng.choice([None, *(frozenset(m) for m in (POOL[:1], POOL[1:], POOL))]) for _ in range(DECISIONS))
    ways = tuple(frozenset(rng.sample(range(DECISIONS), rng.randint(1, DECISIONS))) for _ in range(rng.randint(1, 2)))
    return Puzzle(needs, ways)


class PuzzleEnvironment:
    """Solved by acting well at the right decisions. With ``drift`` its second answer is another in every process.

    With ``hints`` what is said before a decision tells by a colour whose notes the decision needs.
    """

    policy = "Act well."
    tools = (TOOL,)
    drift = 0
    hints = False

    def __init__(self, task_id: str, puzzle: Puzzle) -> None:
        self._task_id = task_id
        self._puzzle = puzzle
        self._well: set[int] = set()
        self._done = 0

    async def reset(self, seed: int) -> Observation:
        """The task's name, in the user's words."""
        return Observation("user", f"Task {self._task_id}." + self._hint(0))

    async def step(self, action: Action) -> Observation:
        """One of the decisions."""
        if action.arguments.get("well"):
            self._well.add(self._done)
        self._done += 1
        ended = self._done == DECISIONS
        said = (
            f"step {self._done}"
            + self._hint(self._done)
            + (f" drift {self.drift}" if self.drift and self._done == 2 else "")
        )
        return Observation("tool", said, done=ended, reason="closed" if ended else "")

    def _hint(self, turn: int) -> str:
        if not self.hints or turn == DECISIONS:
            return ""
        need = self._puzzle.needs[turn]
        wanted = need is not None and any(turn in way for way in self._puzzle.ways)
        colours = {"Alpha": "amber", "Beta": "blue"}
        return " The light is " + (" and ".join(colours[name] for name in sorted(need or ())) if wanted else "grey")

    def outcome(self) -> Reward:
        """Return whether it is solved."""
        solved = self._puzzle.opened_by(self._well)
        return Reward(success=solved, reward=float(solved))


class Puzzles:
    """Puzzles by task id; even numbers are of the split train, odd ones of the split test."""

    name = "puzzles"
    current = "puzzles-1"
    tasks: Mapping[str, Puzzle] = {}

    def version(self, domain: str) -> str:
        """The version that a test may change."""
        return type(self).current

    def domains(self) -> Sequence[str]:
        """One domain."""
        return ("d",)

    def splits(self, domain: str) -> Sequence[str]:
        """Two splits."""
        return ("train", "test")

    def task_ids(self, domain: str, split: str) -> Sequence[str]:
        """Every other task."""
        return list(self.tasks)[split == "test" :: 2]

    def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> PuzzleEnvironment:
        """A fresh world."""
        return PuzzleEnvironment(task_id, self.tasks[task_id])

    def demonstrations(self, domain: str) -> Sequence[Sequence[Message]]:
        """None."""
        return ()


class Backbone(ScriptedModel):
    """Acts well exactly when a puzzle's notes are there; counts what it was asked, takes ``seconds`` for a reply."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.asked, self.seconds = 0, seconds
        super().__init__("scripted:puzzles", self._reply)

    def _reply(self, request: ChatRequest) -> str:
        self.asked += 1
        time.sleep(self.seconds)
        said = [str(message["content"]) for message in request.messages]
        task_id = next(text for text in said if "Task " in text).partition("Task ")[2].partition(".")[0]
        turn = sum(message["role"] == "assistant" for message in request.messages)
        need = Puzzles.tasks[task_id].needs[turn]
        well = need is not None and all(
            (f"{name.removeprefix('-')} speaks" in request.prefill) is not name.startswith("-") for name in need
        )
        return request.prefill + json.dumps({"tool": "act", "arguments": {"well": well, "turn": turn}}).removeprefix(
            '{"tool": "'
        )


def register() -> None:
    """Make puzzles, helpers and the backbone ``scripted:puzzles`` known in a Ray worker's process."""
    HELPERS.add("Alpha", alpha)
    HELPERS.add("Beta", beta)
    BENCHMARKS.add("puzzles", Puzzles)
    SCRIPTED.add("puzzles", Backbone())
    Puzzles.tasks = NAMED


@contextmanager
def puzzles(tasks: Mapping[str, Puzzle]) -> Iterator[None]:
    """Register the benchmark with these tasks, and the helpers Alpha and Beta, for the length of the block."""
    HELPERS.add("Alpha", alpha)
    HELPERS.add("Beta", beta)
    BENCHMARKS.add("puzzles", Puzzles)
    Puzzles.tasks = tasks
    try:
        yield
    finally:
        Puzzles.tasks, Puzzles.current, PuzzleEnvironment.drift, PuzzleEnvironment.hints = {}, "puzzles-1", 0, False
        for registry, name in ((HELPERS, "Alpha"), (HELPERS, "Beta"), (BENCHMARKS, "puzzles")):
            registry.remove(name)


async def plain_run(out: Path, **changes: object) -> Path:
    """Run the plain backbone on all puzzles."""
    tree = {
        "benchmark": "puzzles",
        "domain": "d",
        "split": "train",
        "tasks": list(Puzzles.tasks),
        "demonstrations": 0,
        "helpers": {"pool": list(POOL)},
        **changes,
    }
    settings = RunSettings.model_validate(tree)
    plan = [Planned(task, 0, SelectorSettings()) for task in Puzzles.tasks]
    await run_planned(settings, plan, out, model=Backbone(), progress=False)
    return out


async def mined(folder: Path, out: Path, model: Backbone | None = None, **changes: object) -> MinedFolder:
    """Mine a folder of puzzles without a limit on calls."""
    settings = MineSettings.model_validate({"exact": 10_000, "budget": {"calls": None}, **changes})
    return await mine_folder(folder, settings, out, model=model or Backbone())


def by_task(found: MinedFolder) -> dict[str, Repair]:
    """Records by task."""
    return {record.task_id: record for record in found.records}


def repair_of(record: Repair) -> Schedule:
    """The points of a repair."""
    return frozenset(SchedulePoint(one.decision, one.note.helper) for one in record.repair or ())
