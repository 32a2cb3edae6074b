"""Estimate tokens, GPU hours and storage of many episodes from measured ones.

    python perf/capacity.py --tokens-in 10000 --tokens-out 1000 --decisions 20

prints the tables of docs/scaling.md; with the rates of your own server (tokens per second that one GPU reads and
writes) and the decisions that your episodes take, they are yours.
"""

import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fama.episodes.records import CHARGED, role_group
from fama.episodes.store import read_episodes
from perf.record import ROOT, parser

EPISODES = ROOT / "results" / "helpdesk" / "compare" / "episodes.jsonl.gz"
SHOWN = ("none", "all", "prompted", "learned")
SIZES = {"ten thousand episodes": 10_000, "one million episodes": 1_000_000}


@dataclass(frozen=True)
class EpisodeMeans:
    """Means per episode of one arm: decisions, tokens of all charged roles, bytes of its line plain and packed."""

    count: int
    decisions: float
    read: float
    cached: float
    written: float
    bytes: float
    packed: float


def measure_episodes() -> dict[str, EpisodeMeans]:
    """Return the means by arm of the committed episodes; the packed size is the file's, split by plain size."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * 6)
    with gzip.open(EPISODES) as file:
        sizes = [len(line) for line in file]
    packed = EPISODES.stat().st_size / sum(sizes)
    for episode, size in zip(read_episodes(EPISODES), sizes, strict=True):
        rows = [row for row in episode.ledger if role_group(row.role) in CHARGED]
        added = (
            *(1, len(episode.decisions), sum(row.input_tokens or 0 for row in rows)),
            *(sum(row.cached_input_tokens or 0 for row in rows), sum(row.output_tokens or 0 for row in rows), size),
        )
        arm = episode.selector or "none"
        sums[arm] = [total + more for total, more in zip(sums[arm], added, strict=True)]
    found = {}
    for arm, (count, *summed) in sums.items():
        decisions, read, cached, written, stored = (total / count for total in summed)
        found[arm] = EpisodeMeans(int(count), decisions, read, cached, written, stored, packed * stored)
    return found


def gpu_hours(anew: float, written: float, tokens_in: float, tokens_out: float) -> float:
    """Return the hours of one GPU that reads and writes so many tokens per second."""
    return (anew / tokens_in + written / tokens_out) / 3600


def per_episode() -> str:
    """Return the measured means as a table."""
    body = [
        [arm, f"{e.count}", f"{e.decisions:.1f}", *(f"{v:,.0f}" for v in (e.read, e.read - e.cached, e.written))]
        + [f"{e.bytes / 1000:.1f}", f"{e.packed / 1000:.2f}"]
        for arm, e in measure_episodes().items()
        if arm in SHOWN
    ]
    head = ["arm", "episodes", "decisions", "tokens read", "of them anew", "tokens written", "kB", "kB packed"]
    return _table(head, body)


def capacity(tokens_in: float = 10_000, tokens_out: float = 1_000, decisions: float = 20) -> str:
    """Return ten thousand and a million episodes at these rates, of the arm that reads most per decision."""
    costliest = max(measure_episodes().values(), key=lambda e: e.read / e.decisions)
    times = decisions / costliest.decisions
    body = []
    for name, count in SIZES.items():
        # tokens read grow at most with the square of the length (each decision reads the history), what is new with it
        read, anew = count * costliest.read * times**2, count * (costliest.read - costliest.cached) * times
        written, size = count * costliest.written * times, count * costliest.bytes * times
        body.append(
            [name, f"{count:,}", *(f"{v / 1e6:,.0f}" for v in (read, anew, written))]
            + [f"{gpu_hours(anew, written, tokens_in, tokens_out):,.1f}", f"{size / 1e9:,.2f}"]
            + [f"{size / 1e9 * costliest.packed / costliest.bytes:,.2f}"]
        )
    head = ["", "episodes", "M tokens read, at most", "anew", "M tokens written", "GPU hours", "GB", "GB packed"]
    return _table(head, body)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> int:
    """Print both tables."""
    args = parser(__doc__)
    args.add_argument("--tokens-in", type=float, default=10_000, help="tokens per second that one GPU reads")
    args.add_argument("--tokens-out", type=float, default=1_000, help="tokens per second that one GPU writes")
    args.add_argument("--decisions", type=float, default=20, help="decisions of an episode")
    wanted = args.parse_args()
    text = f"{per_episode()}\n{capacity(wanted.tokens_in, wanted.tokens_out, wanted.decisions)}"
    if wanted.out is not None:
        wanted.out.write_text(json.dumps({"tables": text}) + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
