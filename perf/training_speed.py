"""Measure time and memory of a training of the encoder.

    python perf/training_speed.py

trains MiniLM with LoRA for three epochs on 2,000 examples (a quarter of all is held out for validation) in a process of
its own: real first states of helpdesk tasks, no two of them equal, with SYNTHETIC outcomes. Limits are those of two
quiet cores at 2.5 GHz: ten minutes, 3 GB. Nothing else should run meanwhile.
"""

import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from fama.episodes.outcome_table import write_outcomes
from perf import replay_speed
from perf.record import conclude, parser, save, timed

LIMIT_SECONDS, LIMIT_BYTES, EPOCHS = 600.0, 3_000_000_000, 3
#: of the rows of a task's four trials with fifty subsets each, every 51st: one per trial, with another subset each time
STRIDE = replay_speed.SUBSETS + 1


def write_outcome_table(path: Path, tasks: int) -> None:
    """Write an outcome table with about four rows per task, no state twice."""
    made = replay_speed.synthetic_outcomes([f"{replay_speed.DOMAIN}-train-{i:04d}" for i in range(tasks)], 0)
    write_outcomes(path, made[::STRIDE], {"synthetic": True})


def main() -> int:
    """Write, train; exit 1 when a limit is passed."""
    args = parser(__doc__)
    args.add_argument("--examples", type=int, default=2000, help="training examples, about")
    args.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of fama train")
    wanted = args.parse_args()
    tasks = -(-wanted.examples * 4 // 3 // replay_speed.TRIALS)
    with tempfile.TemporaryDirectory() as name:
        table = Path(name) / "outcomes.parquet"
        # elsewhere, since a command's peak memory counts what its parent held when it was started
        process = get_context("spawn").Process(target=write_outcome_table, args=(table, tasks))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit("the table was not written")
        step = timed(
            *("-m", "fama", "train", f"data.outcomes=[{table}]", "kind=encoder", f"optimiser.epochs={EPOCHS}"),
            *("trainer.wandb=disabled", "trainer.progress=false", *wanted.set, "--out", str(Path(name) / "router")),
        )
    what = f"{wanted.examples:,} examples, {EPOCHS} epochs"
    rows: list[dict[str, Any]] = [{"what": what, "seconds": round(step.seconds, 1), "peak MB": round(step.peak / 1e6)}]
    packages = ("torch", "transformers", "peft", "lightning")
    save("training_speed", rows, packages, wanted.out, "MiniLM with LoRA; real states, synthetic outcomes")
    good = step.seconds < LIMIT_SECONDS and step.peak < LIMIT_BYTES
    return conclude(f"{LIMIT_SECONDS:.0f} s, {LIMIT_BYTES / 1e6:.0f} MB", good)


if __name__ == "__main__":
    sys.exit(main())
