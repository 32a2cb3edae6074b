"""How long importing and scoring a large τ-bench log takes, and how much memory.

    python benchmarks/import_speed.py --episodes 10000

writes SYNTHETIC episodes of real size (35 kB of JSON each, 40 messages), imports them with ``fama import`` and scores
them with ``fama score``, each in a process of its own, and prints wall time and peak memory. Nothing else should run
meanwhile.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS, LIMIT_BYTES = 60.0, 1_000_000_000


def record(number: int, rng: random.Random) -> dict[str, Any]:
    """One τ-bench record: 13 calls with long results, 13 exchanges of words."""
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


def write(path: Path, episodes: int) -> int:
    """A JSON list, written record by record; returns its bytes."""
    rng = random.Random(0)  # noqa: S311 - filler text
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number in range(episodes):
            file.write(",\n" * (number > 0) + json.dumps(record(number, rng)))
        file.write("]")
    return path.stat().st_size


def timed(*command: str) -> tuple[float, int]:
    """Wall seconds and peak resident bytes of a ``fama`` command."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "fama", *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"fama {' '.join(command)} failed with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> int:
    """Write, import, score; exit 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=10_000)
    episodes = parser.parse_args().episodes
    with tempfile.TemporaryDirectory() as folder:
        log, out = Path(folder) / "synthetic_fc_retail.json", Path(folder) / "out"
        size = write(log, episodes)
        imported, import_peak = timed("import", "tau-bench", str(log), "--out", str(out))
        scored, score_peak = timed("score", str(out), "--bootstrap", "2000")
    print(f"{episodes} synthetic episodes, {size / 1e6:.0f} MB of JSON")
    print(f"import {imported:.1f} s, peak {import_peak / 1e6:.0f} MB")
    print(f"score {scored:.1f} s, peak {score_peak / 1e6:.0f} MB")
    share = episodes / 10_000
    good = imported + scored < LIMIT_SECONDS * share and max(import_peak, score_peak) < LIMIT_BYTES
    print(f"limits: {LIMIT_SECONDS * share:.0f} s together, {LIMIT_BYTES / 1e6:.0f} MB: {'kept' if good else 'PASSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
