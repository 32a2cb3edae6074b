"""Measure the time of a router's decision at turn cadence, by kind and by length of the conversation.

    python perf/decision_speed.py

measures the shipped linear and encoder routers and routers of the kinds knn, boosting and prior, which it trains on the
committed outcome table with hashed words. Conversations are SYNTHETIC: users, calls, results and words of the agent,
whose sizes are those of ``serving_speed``; 30 decisions in an episode. "warm" are the decisions of an episode as they
come; "cold" is each of 30 decisions in a conversation of which nothing was seen before. "Long" is a state of
5,000 short messages: its first decision, those of the next turns, and those where no result has the id of a call.
Every round runs each router in a fresh process; the medians over rounds count.

Milliseconds are wall time; CPU milliseconds, of all threads of the process, say more where something else runs.
``--against DIR`` measures the ``fama`` of another checkout in turn with this one; "times faster" is the ratio of the
CPU medians of both within a round. Limits, for all kinds but the encoder: warm median 2 ms, 95 % 5 ms. Nothing else
should run meanwhile.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perf.record import ROOT, conclude, parser, save, timed

if TYPE_CHECKING:
    from fama.episodes.records import Message
    from fama.episodes.state import VisibleState

MEDIAN, TAIL = 2.0, 5.0
SHIPPED = ("linear", "encoder")
#: Trees always, since the default lets the folds choose none.
TRAINED: dict[str, tuple[str, ...]] = {
    "knn": ("vectors.source=hashed",),
    "boosting": ("vectors.source=hashed", "boosting.rounds=[100]"),
    "prior": (),
}
TURNS = 30
#: Wall and CPU milliseconds by what was decided, shape (decisions, 2).
RoundTimes = dict[str, NDArray[np.float64]]
#: Decisions that follow the first one of a long state.
NEXT = 5


def conversation(
    episode: int, turns: int, words: Callable[[random.Random], int], fitting: bool = True
) -> "list[list[Message]]":
    """Return the messages before decision 0, 1 and so on: every fourth turn the agent speaks and the user answers.

    Args:
        episode: seed of the words, all fresh.
        turns: decisions, the last one included.
        words: draws the words of a user turn or a result.
        fitting: whether results carry the ids of their calls.
    """
    from fama.episodes.records import FunctionCall, Message, ToolCall

    rng = random.Random(episode)  # noqa: S311 - filler text

    def text(count: int) -> str:
        return " ".join(f"word{rng.randrange(9999)}" for _ in range(count))

    parts: list[list[Message]] = [[Message(role="user", content=text(words(rng)))]]
    for turn in range(turns - 1):
        if turn % 4 == 3:
            said = Message(role="assistant", content=f"{text(12)}?")
            parts.append([said, Message(role="user", content=f"No, and also {text(words(rng))}, order #W{turn}.")])
            continue
        function = FunctionCall(name=f"get_{turn % 5}", arguments=json.dumps({"id": text(1)}))
        call = ToolCall(id=f"c{turn}", function=function)
        result = json.dumps({"rows": [{"status": "open", "text": text(words(rng))}]})
        parts.append(
            [
                Message(role="assistant", tool_calls=(call,)),
                Message(role="tool", tool_call_id=f"{'c' if fitting else 'r'}{turn}", content=result),
            ]
        )
    return parts


def states_of(parts: "Sequence[Sequence[Message]]") -> "list[VisibleState]":
    """Return the state before every decision."""
    from fama.episodes.records import ToolSpec
    from fama.episodes.state import VisibleState

    schema = json.dumps({"type": "object", "properties": {"id": {"type": "string"}}})
    tools = tuple(ToolSpec(name=f"get_{n}", description=f"Shows thing {n}.", parameters=schema) for n in range(15))
    policy = "# Retail agent policy\n" + "- Be kind and check who is speaking before any change.\n" * 100
    messages: list[Message] = []
    states = []
    for turn, part in enumerate(parts):
        messages += part
        states.append(VisibleState(policy, tools, tuple(messages), turn))
    return states


def published(rng: random.Random) -> int:
    """Draw the words of a message from what a published log has."""
    from perf.serving_speed import CALL, SIZES, WORD

    size = float(np.interp(rng.uniform(0.0, SIZES[0][-1]), *SIZES))
    return max(1, round((size - CALL) / WORD))


def measure(folder: str, source: str, episodes: int, long: int) -> None:
    """Print one line of JSON: milliseconds of one router's decisions with the ``fama`` of a checkout."""
    sys.path.insert(0, source)
    from fama.helpers.pool import build_pool
    from fama.selection.base import Allowance, SelectorContext
    from fama.selection.router.checkpoint import read_manifest
    from fama.selection.router.features import featurise
    from fama.selection.selectors.learned import LearnedSelector, build
    from fama.settings import HelperSettings

    context = SelectorContext(helpers=build_pool(HelperSettings(pool=read_manifest(Path(folder)).pool)))
    selector = build(context, checkpoint=folder)
    assert isinstance(selector, LearnedSelector)  # noqa: S101 - what build gives

    def decide(states: "Sequence[VisibleState]") -> list[list[float]]:
        found = []
        for state in states:
            wall, cpu = time.perf_counter(), time.process_time()
            selector.choose(featurise(state), Allowance(), wall)
            found.append([1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)])
        return found

    def episode(number: int, decisions: slice = slice(None)) -> list[list[float]]:
        return decide(states_of(conversation(number, TURNS, published))[decisions])

    episode(0)  # imports, policy and tools
    whole, unfitting = (
        states_of(conversation(number, long // 2, lambda _: 10, fitting))[-NEXT - 1 :]
        for number, fitting in ((2000, True), (3000, False))
    )
    warm = [one for number in range(episodes) for one in episode(1 + number)]
    cold = [one for turn in range(TURNS) for one in episode(1000 + turn, slice(turn, turn + 1))]
    first, *following = decide(whole)
    found = {"warm": warm, "cold": cold, "long, first": [first], "long, next": following}
    print(json.dumps({**found, "long, no id fits, next": decide(unfitting)[1:]}))


def train_router(kind: str, settings: Sequence[str], folder: Path) -> None:
    """Train a router on the committed outcome table."""
    config = str(ROOT / "configs" / "train" / f"{kind}.yaml")
    timed("-m", "fama", "train", "--config", config, *settings, "--out", str(folder))


def round_of(folder: Path, source: Path, sizes: Sequence[str]) -> RoundTimes:
    """Return the milliseconds of one round by what was decided."""
    command = [sys.executable, __file__, "--child", str(folder), str(source), *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, list[list[float]]] = json.loads(done.stdout.splitlines()[-1])
    return {what: np.array(decisions) for what, decisions in found.items()}


def row(kind: str, what: str, rounds: Sequence[RoundTimes], before: Sequence[RoundTimes]) -> dict[str, Any]:
    """Return a row of the table: quantiles within a round, then the median over rounds."""

    def over(some: Sequence[RoundTimes], clock: int, quantile: float) -> float:
        return round(statistics.median(float(np.quantile(one[what][:, clock], quantile)) for one in some), 2)

    found: dict[str, Any] = {
        "what": f"{kind}, {what}",
        "decisions": sum(len(one[what]) for one in rounds),
        "median ms": over(rounds, 0, 0.5),
        "95 % ms": over(rounds, 0, 0.95),
        "CPU median ms": over(rounds, 1, 0.5),
        "CPU 95 % ms": over(rounds, 1, 0.95),
    }
    if before:
        found |= {"before: CPU median ms": over(before, 1, 0.5), "before: CPU 95 % ms": over(before, 1, 0.95)}
        pairs = zip(rounds, before, strict=True)
        times = [float(np.median(old[what][:, 1]) / np.median(new[what][:, 1])) for new, old in pairs]
        found["times faster"] = round(statistics.median(times), 1)
    return found


def router_rows(
    kind: str, folder: Path, against: Path | None, rounds: int, sizes: Sequence[str]
) -> list[dict[str, Any]]:
    """Measure one router, in turn with the other checkout."""
    now: list[RoundTimes] = []
    before: list[RoundTimes] = []
    for _ in range(rounds):
        now.append(round_of(folder, ROOT, sizes))
        if against is not None:
            before.append(round_of(folder, against.resolve(), sizes))
    return [row(kind, what, now, before) for what in now[0]]


def main() -> int:
    """Train, measure, write; exit 1 when a limit is passed."""
    args = parser(__doc__)
    args.add_argument("--kind", action="append", choices=[*SHIPPED, *TRAINED], help="kind to measure (default: all)")
    args.add_argument("--against", type=Path, metavar="DIR", help="another checkout to compare with")
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--episodes", type=int, default=5, help="warm episodes per round")
    args.add_argument("--long", type=int, default=5000, help="messages of the long state")
    args.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    wanted = args.parse_args()
    if wanted.child:
        checkpoint, source = wanted.child
        measure(checkpoint, source, wanted.episodes, wanted.long)
        return 0
    sizes = ("--episodes", str(wanted.episodes), "--long", str(wanted.long))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for kind in wanted.kind or [*SHIPPED, *TRAINED]:
            folder = ROOT / "checkpoints" / f"helpdesk-{kind}"
            if kind in TRAINED:
                folder = Path(name) / kind
                train_router(kind, TRAINED[kind], folder)
            rows += router_rows(kind, folder, wanted.against, wanted.rounds, sizes)
    judged = [one for one in rows if one["what"].endswith(", warm") and not one["what"].startswith("encoder")]
    good = all(one["median ms"] <= MEDIAN and one["95 % ms"] <= TAIL for one in judged)
    counts = f"{wanted.episodes} synthetic episodes of {TURNS} decisions per round, {wanted.rounds} rounds"
    save(
        "decision_speed",
        rows,
        ("torch", "transformers", "numpy", "lightgbm"),
        wanted.out,
        f"{counts}; long: {wanted.long:,} messages",
    )
    return conclude(f"without an encoder median {MEDIAN:.0f} ms, 95 % {TAIL:.0f} ms", good)


if __name__ == "__main__":
    sys.exit(main())
