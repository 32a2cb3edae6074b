"""How fast and how large a router is in use: ``python benchmarks/serving_speed.py [--router DIR ...] [--quick]``.

Every router is loaded in a process of its own. Conversations are SYNTHETIC filler of the size of a retail
episode: 30 turns with long tool outputs, fresh words every time. Timed are the decisions of an episode as they
come, with the texts of earlier turns in memory, and 1,000 decisions one by one against together, both from cold.
Limits are those of two quiet cores at 2.5 GHz: median 30 ms, 95 % 80 ms, 1 GB. Nothing else should run meanwhile.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
LIMIT_MEDIAN, LIMIT_TAIL, LIMIT_BYTES = 0.030, 0.080, 1_000_000_000


def states_of(episode: int, turns: int) -> list["VisibleState"]:
    """The state before every decision of a synthetic episode."""
    rng = random.Random(episode)  # noqa: S311 - filler text

    def words(count: int) -> str:
        return " ".join(f"word{rng.randrange(9999)}" for _ in range(count))

    schema = json.dumps({"type": "object", "properties": {"id": {"type": "string"}}})
    tools = tuple(ToolSpec(name=f"tool_{n}", description=f"Does thing {n}.", parameters=schema) for n in range(15))
    policy = "# Retail agent policy\n" + "- Be kind and check who is speaking before any change.\n" * 100
    messages = [Message(role="user", content=words(40))]
    states = []
    for turn in range(turns):
        key = EpisodeKey("synthetic", "synthetic", str(episode), 0, "synthetic", "fc")
        states.append(VisibleState(key, policy, tools, tuple(messages), turn))
        call = ToolCall(id=f"c{turn}", function=FunctionCall(name="tool_1", arguments=json.dumps({"id": words(1)})))
        messages.append(Message(role="assistant", tool_calls=(call,)))
        messages.append(Message(role="tool", tool_call_id=f"c{turn}", content=json.dumps({"rows": [words(25)] * 4})))
    return states


def measure(folder: str, episodes: int, turns: int, batch: int) -> None:
    """Print one line of JSON about one router."""
    pool = read_manifest(Path(folder)).pool
    context = SelectorContext(helpers=build_pool(HelperSettings(pool=pool)))

    def fresh() -> LearnedSelector:
        selector = build(context, checkpoint=folder)
        assert isinstance(selector, LearnedSelector)  # noqa: S101 - what build gives
        return selector

    started = time.perf_counter()
    selector = fresh()
    loading = time.perf_counter() - started
    rng, seconds, first = random.Random(0), [], []  # noqa: S311 - the router draws nothing
    for episode in range(episodes + 1):
        for turn, state in enumerate(states_of(episode, turns)):
            one = asyncio.run(selector.select(state, Allowance(), rng)).seconds
            if episode:
                (seconds if turn else first).append(one)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    many = [state for n in range(-(-batch // turns)) for state in states_of(10_000 + n, turns)][:batch]
    started, alone = time.perf_counter(), fresh()
    for state in many:
        asyncio.run(alone.select(state, Allowance(), rng))
    singly = time.perf_counter() - started
    started = time.perf_counter()
    fresh().select_many(many)
    together = time.perf_counter() - started
    seconds.sort()
    line = {
        "kind": read_manifest(Path(folder)).kind,
        "decisions": len(seconds),
        "median": seconds[len(seconds) // 2],
        "tail": seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))],
        "first": sum(first) / len(first),
        "loading": loading,
        "bytes": peak,
        "batch": len(many),
        "singly": singly,
        "together": together,
    }
    print(json.dumps(line))


def main() -> int:
    """Measure every router; exit 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--router", action="append", help="checkpoint folder; may be given again (default: the shipped)"
    )
    parser.add_argument("--quick", action="store_true", help="one short episode: does it run at all?")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = (1, 4, 8) if args.quick else (5, 30, 1000)
    if args.child:
        measure(args.child, *sizes)
        return 0
    good = True
    for folder in args.router or [str(ROOT / "checkpoints" / n) for n in ("helpdesk-linear", "helpdesk-encoder")]:
        command = [sys.executable, __file__, "--child", folder, *(["--quick"] if args.quick else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{folder} ({found['kind']}): loads in {found['loading']:.1f} s, peak {found['bytes'] / 1e6:.0f} MB")
        print(
            f"  {found['decisions']} decisions with a warm cache: median {1000 * found['median']:.1f} ms, "
            f"95 % {1000 * found['tail']:.1f} ms; an episode's first {1000 * found['first']:.1f} ms"
        )
        both = f"{found['singly']:.1f} s one by one, {found['together']:.1f} s together"
        print(f"  {found['batch']} decisions from cold: {both}")
        kept = found["median"] < LIMIT_MEDIAN and found["tail"] < LIMIT_TAIL and found["bytes"] < LIMIT_BYTES
        good &= kept
        print(f"  limits 30 ms, 80 ms, 1000 MB: {'kept' if kept else 'PASSED'}")
    return 0 if good else 1


from fama.agents.settings import HelperSettings  # noqa: E402 - the checkout is on the path only now
from fama.episodes.records import FunctionCall, Message, ToolCall, ToolSpec  # noqa: E402
from fama.helpers.pool import build_pool  # noqa: E402
from fama.selection.base import Allowance, SelectorContext  # noqa: E402
from fama.selection.learned import LearnedSelector, build  # noqa: E402
from fama.selection.router.checkpoint import read_manifest  # noqa: E402
from fama.state import EpisodeKey, VisibleState  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
