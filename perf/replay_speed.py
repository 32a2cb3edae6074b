"""Measure time and memory of replaying a comparison from a large outcome table, with its report.

    python perf/replay_speed.py

writes a SYNTHETIC outcome table of 500 helpdesk tasks × 4 trials × 50 subsets, trains a small linear router on other
tasks, lets 12 arms choose by ``fama compare`` with 2,000 bootstrap draws and writes the report with ``fama report``,
each in a process of its own; prints wall time and peak memory. Nothing else should run meanwhile.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fama.envs.helpdesk.benchmark import Helpdesk
from fama.episodes.outcome_table import OutcomeRow, write_outcomes
from fama.episodes.records import Message
from fama.episodes.state import VisibleState, state_to_json
from fama.selection.decision_rule import all_masks
from fama.subsets import POOL, flagged, join_subset
from perf.record import conclude, parser, process_rows, save, timed

LIMIT_SECONDS, LIMIT_BYTES = 60.0, 2_000_000_000
TRIALS, SUBSETS, DOMAIN, BACKBONE = 4, 50, "shop", "synthetic"
FIXED = (("DCE",), ("TSA",), ("TOR",), ("Verifier",), ("TSA", "Verifier"))


def first_states(task: str) -> list[str]:
    """Return the real first state of a helpdesk task in every trial: policy, tools and what the user says."""
    world = Helpdesk()
    environment = world.environment(DOMAIN, task)
    found = []
    for trial in range(TRIALS):
        said = asyncio.run(environment.reset(trial))
        message = Message(role="user", content=said.content)
        found.append(state_to_json(VisibleState(environment.policy, tuple(environment.tools), (message,))))
    return found


def synthetic_outcomes(tasks: Sequence[str], seed: int) -> list[OutcomeRow]:
    """Return SYNTHETIC outcomes: a task's ease, a gain per helper, tokens that grow with the subset."""
    rng = np.random.default_rng(seed)
    masks = np.concatenate([all_masks(len(POOL))[: SUBSETS - 1], np.ones((1, len(POOL)), dtype=np.bool_)])
    names = [join_subset(flagged(mask, POOL)) for mask in masks]
    version = Helpdesk().version(DOMAIN)
    made = []
    for task in tasks:
        ease, gains = rng.normal(-0.5, 1.0), rng.normal(0.1, 0.5, size=len(POOL))
        chances = 1 / (1 + np.exp(-(ease + masks @ gains)))
        for trial, state in enumerate(first_states(task)):
            won = rng.random(SUBSETS) < chances
            tokens = rng.integers(4000, 9000, size=SUBSETS) + 300 * masks.sum(axis=1)
            made += [
                OutcomeRow(
                    episode_id=f"{task}-{trial}-{names[place]}",
                    benchmark=Helpdesk.name,
                    benchmark_version=version,
                    domain=DOMAIN,
                    task_id=task,
                    trial=trial,
                    backbone=BACKBONE,
                    strategy="act",
                    subset=names[place],
                    propensity=1 / SUBSETS,
                    status="success" if won[place] else "failure",
                    success=bool(won[place]),
                    reward=float(won[place]),
                    tokens=int(tokens[place]),
                    tokens_agent=int(tokens[place]),
                    tokens_helper=0,
                    tokens_selector=0,
                    tokens_cached=0,
                    output_tokens=300,
                    decisions=6,
                    seconds=20.0,
                    pool=join_subset(POOL),
                    prompts_hash="synthetic",
                    state=state,
                )
                for place in range(SUBSETS)
            ]
    return made


def write_comparison_config(folder: Path, tasks: int) -> Path:
    """Return the comparison of twelve arms, none of which asks a model."""
    arms: list[dict[str, Any]] = [{"name": name} for name in ("none", "all", "irma", "best_fixed", "rule")]
    arms += [
        {"name": "random", "options": {"mean_size": 2}},
        {"name": "linear", "options": {"checkpoint": str(folder / "router")}},
        *[{"name": "fixed", "label": "+".join(s), "options": {"subset": list(s)}} for s in FIXED],
    ]
    config = {
        "benchmark": "helpdesk",
        "domain": DOMAIN,
        "split": "test",
        "tasks": tasks,
        "trials": TRIALS,
        "model": {"name": BACKBONE},
        "replay": str(folder / "test.parquet"),
        "outcomes": str(folder / "train.parquet"),
        "arms": arms,
        "bootstrap": 2000,
    }
    path = folder / "compare.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def prepare(folder: Path, tasks: int) -> None:
    """Write the table to replay and a small one to train on."""
    made = synthetic_outcomes([f"{DOMAIN}-test-{i:04d}" for i in range(tasks)], 0)
    write_outcomes(folder / "test.parquet", made, {"synthetic": True})
    training = synthetic_outcomes([f"{DOMAIN}-train-{i:04d}" for i in range(20)], 1)
    write_outcomes(folder / "train.parquet", training, {"synthetic": True})


def main() -> int:
    """Write, train, replay, report; exit 1 when a limit is passed."""
    args = parser(__doc__)
    args.add_argument("--tasks", type=int, default=500)
    wanted = args.parse_args()
    tasks = wanted.tasks
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # elsewhere, since a command's peak memory counts what its parent held when it was started
        process = get_context("spawn").Process(target=prepare, args=(folder, tasks))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit("the table was not written")
        timed(
            *("-m", "fama", "train", f"data.outcomes=[{folder / 'train.parquet'}]", "kind=linear"),
            *("vectors.source=hashed", "linear.strengths=[0.03]", "--out", str(folder / "router")),
        )
        config, out = write_comparison_config(folder, tasks), folder / "out"
        steps = {
            "fama compare": timed("-m", "fama", "compare", "--config", str(config), "--out", str(out)),
            "fama report": timed("-m", "fama", "report", str(out)),
        }
    found = process_rows(steps)
    note = f"{tasks * TRIALS * SUBSETS:,} synthetic rows of {tasks} tasks, 12 arms, 2,000 draws"
    save("replay_speed", found, ("numpy", "pyarrow"), wanted.out, note)
    together = sum(step.seconds for step in steps.values())
    good = together < LIMIT_SECONDS and max(step.peak for step in steps.values()) < LIMIT_BYTES
    return conclude(f"{LIMIT_SECONDS:.0f} s together, {LIMIT_BYTES / 1e6:.0f} MB", good)


if __name__ == "__main__":
    sys.exit(main())
