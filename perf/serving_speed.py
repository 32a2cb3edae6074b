"""Measure speed and memory of routers in use.

    python perf/serving_speed.py

loads the shipped routers, or those of ``--router DIR``, each in a process of its own. Conversations are SYNTHETIC
filler, fresh words every time, 30 turns; how many tokens are new at a decision is drawn from what was counted in a
published log (``SIZES``). Timed are the decisions of an episode as they come, with the texts of earlier turns in
memory; the same once more, with every text in memory; and 1,000 decisions one by one against together, both from cold.
Limits are those of two quiet cores at 2.5 GHz: median 30 ms, 95 % 80 ms, 1 GB. Nothing else should run meanwhile.
"""

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fama.episodes.records import FunctionCall, Message, ToolCall, ToolSpec
from fama.episodes.state import VisibleState
from fama.helpers.pool import declared_pool
from fama.selection.base import Allowance, SelectorContext
from fama.selection.router.checkpoint import read_manifest
from fama.selection.selectors.learned import LearnedSelector, build
from perf.record import ROOT, conclude, parser, save

MEDIAN, TAIL, MEGABYTES = 30.0, 80.0, 1000
#: Quantiles of the tokens (MiniLM's) of messages between one assistant turn and the next, the turn's own among them:
#: 839 decisions of Qwen3-4B-Instruct-2507, function calling, tau-bench retail, first of three runs.
SIZES = ((0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99), (30, 119, 207, 426, 764, 990, 1475))
#: Tokens of a call, and of a word of the filler.
CALL, WORD = 25, 3.5


def synthetic_states(episode: int, turns: int) -> list[VisibleState]:
    """Return the state before every decision of a synthetic episode."""
    rng = random.Random(episode)  # noqa: S311 - filler text

    def words(count: int) -> str:
        return " ".join(f"word{rng.randrange(9999)}" for _ in range(count))

    schema = json.dumps({"type": "object", "properties": {"id": {"type": "string"}}})
    tools = tuple(ToolSpec(name=f"tool_{n}", description=f"Does thing {n}.", parameters=schema) for n in range(15))
    policy = "# Retail agent policy\n" + "- Be kind and check who is speaking before any change.\n" * 100
    messages = [Message(role="user", content=words(40))]
    states = []
    for turn in range(turns):
        states.append(VisibleState(policy, tools, tuple(messages), turn))
        call = ToolCall(id=f"c{turn}", function=FunctionCall(name="tool_1", arguments=json.dumps({"id": words(1)})))
        messages.append(Message(role="assistant", tool_calls=(call,)))
        size = float(np.interp(rng.uniform(0.0, SIZES[0][-1]), *SIZES))
        result = json.dumps({"rows": words(max(1, round((size - CALL) / WORD)))})
        messages.append(Message(role="tool", tool_call_id=f"c{turn}", content=result))
    return states


def measure(folder: str, episodes: int, turns: int, batch: int) -> None:
    """Print one line of JSON about one router."""
    pool = read_manifest(Path(folder)).pool
    context = SelectorContext(helpers=declared_pool(pool))

    def fresh() -> LearnedSelector:
        selector = build(context, checkpoint=folder)
        assert isinstance(selector, LearnedSelector)  # noqa: S101 - what build gives
        return selector

    started = time.perf_counter()
    selector = fresh()
    loading = time.perf_counter() - started
    rng = random.Random(0)  # noqa: S311 - the router draws nothing
    seconds: list[float] = []
    first: list[float] = []
    again: list[float] = []
    for episode in range(episodes + 1):
        states = synthetic_states(episode, turns)
        found = [asyncio.run(selector.select(state, Allowance(), rng)).seconds for state in states]
        known = [asyncio.run(selector.select(state, Allowance(), rng)).seconds for state in states]
        if episode:
            first.append(found[0])
            seconds += found[1:]
            again += known
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    many = [state for n in range(-(-batch // turns)) for state in synthetic_states(10_000 + n, turns)][:batch]
    started, alone = time.perf_counter(), fresh()
    for state in many:
        asyncio.run(alone.select(state, Allowance(), rng))
    singly = time.perf_counter() - started
    started = time.perf_counter()
    fresh().select_many(many)
    together = time.perf_counter() - started
    median, tail = np.quantile(seconds, (0.5, 0.95))
    line = {
        "what": f"{Path(folder).name} ({read_manifest(Path(folder)).kind})",
        "median ms": round(1000 * median, 2),
        "95 % ms": round(1000 * tail, 2),
        "decisions": len(seconds),
        "every text known, median ms": round(1000 * float(np.median(again)), 2),
        "an episode's first, ms": round(1000 * sum(first) / len(first), 1),
        "loading s": round(loading, 2),
        "peak MB": round(peak / 1e6),
        f"{len(many):,} from cold, one by one s": round(singly, 1),
        "together s": round(together, 1),
    }
    print(json.dumps(line))


def main() -> int:
    """Measure every router; exit 1 when a limit is passed."""
    args = parser(__doc__)
    args.add_argument("--router", action="append", metavar="DIR", help="checkpoint folder (default: the shipped ones)")
    args.add_argument("--quick", action="store_true", help="one short episode: does it run at all?")
    args.add_argument("--child", help=argparse.SUPPRESS)
    wanted = args.parse_args()
    sizes = (1, 4, 8) if wanted.quick else (5, 30, 1000)
    if wanted.child:
        measure(wanted.child, *sizes)
        return 0
    rows: list[dict[str, Any]] = []
    for folder in wanted.router or [str(ROOT / "checkpoints" / n) for n in ("helpdesk-linear", "helpdesk-encoder")]:
        command = [sys.executable, __file__, "--child", folder, *(["--quick"] if wanted.quick else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    note = f"{sizes[0]} synthetic episodes of {sizes[1]} turns, cache warm but for an episode's first decision"
    save("serving_speed", rows, ("torch", "transformers", "numpy"), wanted.out, note)
    good = all(row["median ms"] < MEDIAN and row["95 % ms"] < TAIL and row["peak MB"] < MEGABYTES for row in rows)
    return conclude(f"median {MEDIAN:.0f} ms, 95 % {TAIL:.0f} ms, {MEGABYTES} MB", good)


if __name__ == "__main__":
    sys.exit(main())
