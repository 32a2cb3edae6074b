"""Measure time and memory of importing and scoring a large τ-bench log.

    python perf/import_speed.py --episodes 10000

writes SYNTHETIC episodes of real size (35 kB of JSON each, 40 messages), imports them with ``fama import`` and scores
them with ``fama score``, each in a process of its own, and prints wall time and peak memory. Nothing else should run
meanwhile.
"""

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from perf.record import conclude, parser, process_rows, save, timed

LIMIT_SECONDS, LIMIT_BYTES = 60.0, 1_000_000_000


def tau_bench_record(number: int, rng: random.Random) -> dict[str, Any]:
    """Return one τ-bench record: 13 calls with long results, 13 exchanges of words."""
    turns: list[dict[str, Any]] = [{"role": "system", "content": "# Retail agent policy\n" + "Be kind. " * 700}]
    for step in range(13):
        words = " ".join(f"word{rng.randrange(9999)}" for _ in range(40))
        call = {
            "id": f"c{step}",
            "type": "function",
            "function": {"name": "get_order", "arguments": f'{{"id": "W{step}"}}'},
        }
        turns += [
            {"role": "user", "content": words},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{step}", "content": json.dumps({"rows": [words] * 5})},
        ]
    reward = float(rng.random() < 0.4)
    info = {"task": {"actions": []}, "reward_info": {"reward": reward, "info": {"r_actions": reward}}}
    return {"task_id": number % 500, "trial": number // 500, "reward": reward, "info": info, "traj": turns}


def write_log(path: Path, episodes: int) -> int:
    """Write a JSON list record by record; return its bytes."""
    rng = random.Random(0)  # noqa: S311 - filler text
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number in range(episodes):
            file.write(",\n" * (number > 0) + json.dumps(tau_bench_record(number, rng)))
        file.write("]")
    return path.stat().st_size


def main() -> int:
    """Write, import, score; exit 1 when a limit is passed."""
    args = parser(__doc__)
    args.add_argument("--episodes", type=int, default=10_000)
    wanted = args.parse_args()
    episodes = wanted.episodes
    with tempfile.TemporaryDirectory() as folder:
        log, out = Path(folder) / "synthetic_fc_retail.json", Path(folder) / "out"
        size = write_log(log, episodes)
        steps = {
            "fama import tau-bench": timed("-m", "fama", "import", "tau-bench", str(log), "--out", str(out)),
            "fama score": timed("-m", "fama", "score", str(out), "--bootstrap", "2000"),
        }
    rows = process_rows(steps)
    note = f"{episodes:,} synthetic episodes, {size / 1e6:.0f} MB of JSON"
    save("import_speed", rows, ("pydantic", "ijson"), wanted.out, note)
    share = episodes / 10_000
    together = sum(step.seconds for step in steps.values())
    good = together < LIMIT_SECONDS * share and max(step.peak for step in steps.values()) < LIMIT_BYTES
    return conclude(f"{LIMIT_SECONDS * share:.0f} s together, {LIMIT_BYTES / 1e6:.0f} MB", good)


if __name__ == "__main__":
    sys.exit(main())
