"""Measure what logged episodes would take in a comparison of this package: ``python -m eval.planning.collect LOGS``.

LOGS is what ``fama import`` wrote. They are not part of the project, so that the means are committed.
"""

import argparse
import shlex
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np

from eval.planning.workload import WORKLOADS, AskedHelper, Contrast, TokenLoad, Workload, Workloads
from eval.planning.workload_meter import ALL, MeasuredEpisode, Tokenizer, WorkloadMeter
from fama.agents.runs.plan import load_benchmark
from fama.config import load_settings
from fama.episodes.records import Episode
from fama.episodes.store import read_episodes
from fama.intervals import Interval, ratio_interval, task_weights
from fama.provenance import git_commit
from fama.settings import CompareSettings

#: The benchmarks' names in logs, and in configs.
BENCHMARKS = {"tau-bench": "tau_bench", "tau-trait": "tau_trait"}
#: Backbones as the logs name them, and as pages do; the Qwen3-4B of these logs is the Instruct edition.
BACKBONES = {
    "qwen3-4b-instruct": "Qwen3-4B",
    "qwen3-4b": "Qwen3-4B",
    "llama-3.1-8b": "Llama-3.1-8B",
    "gpt-4o": "gpt-4o",
    "gpt-5": "gpt-5",
}
CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "compare"
DRAWS = 2000
#: Benchmark, domain, backbone and strategy.
WorkloadGroup = tuple[str, str, str, str]


def summarise_workload(rows: Sequence[MeasuredEpisode], about: Mapping[str, str], helpers: Iterable[str]) -> Workload:
    """Return the means per episode, with intervals over tasks."""
    tasks = sorted({row.task for row in rows})
    place = {task: i for i, task in enumerate(tasks)}
    weights = task_weights(len(tasks), DRAWS, 0, "workload")

    def over(value: Callable[[MeasuredEpisode], float]) -> Interval:
        total, count = np.zeros(len(tasks)), np.zeros(len(tasks))
        for row in rows:
            total[place[row.task]] += value(row)
            count[place[row.task]] += 1
        return _rounded(ratio_interval(total, count, weights))

    def mean(name: str) -> Interval:
        return over(lambda row: row.sums.get(name, 0.0))

    def asked(name: str) -> AskedHelper:
        return AskedHelper(**{part: mean(f"{name} {part}") for part in AskedHelper.model_fields})

    different, pairs = np.zeros(len(tasks)), np.zeros(len(tasks))
    for one, other in combinations(rows, 2):
        if one.task == other.task:
            different[place[one.task]] += one.success != other.success
            pairs[place[one.task]] += 1
    return Workload.model_validate(
        {
            **about,
            "episodes": len(rows),
            "decisions": mean("decisions"),
            "agent": TokenLoad(**{part: mean(f"agent {part}") for part in TokenLoad.model_fields}),
            "user": TokenLoad(**{part: mean(f"user {part}") for part in TokenLoad.model_fields}),
            "helpers": {name: asked(name) for name in helpers},
            "all_helpers": asked(ALL),
            "selection": mean("selection"),
            "opening": max(row.opening for row in rows),
            "longest": max(row.longest for row in rows),
            "success": over(lambda row: float(row.success)),
            "discordance": _rounded(ratio_interval(different, pairs, weights)) if pairs.any() else None,
            "pairs": int(pairs.sum()),
        }
    )


def contrast(one: Sequence[MeasuredEpisode], other: Sequence[MeasuredEpisode]) -> tuple[int, float, float] | None:
    """Return the tasks with two trials of each, the variance of the true difference between them, and the discordance.

    None where there are fewer than two such tasks. The variance of the differences of per-task rates is that of the
    true ones and of the trials' own noise; the noise of the rate p of n trials is estimated without bias by
    p(1 - p)/(n - 1).
    """
    ours, theirs = _ends(one), _ends(other)
    tasks = [task for task in ours if min(len(ours[task]), len(theirs.get(task, ()))) > 1]
    if len(tasks) < 2:
        return None
    rates = np.array([[np.mean(ours[task]), np.mean(theirs[task])] for task in tasks])
    trials = np.array([[len(ours[task]), len(theirs[task])] for task in tasks])
    noise = (rates * (1 - rates) / (trials - 1)).sum(axis=1)
    between = float(np.var(rates[:, 0] - rates[:, 1], ddof=1) - noise.mean())
    apart = rates[:, 0] * (1 - rates[:, 1]) + rates[:, 1] * (1 - rates[:, 0])
    return len(tasks), round(max(0.0, between), 4), round(float(apart.mean()), 4)


def _ends(rows: Iterable[MeasuredEpisode]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        found[row.task].append(row.success)
    return found


def _rounded(value: Interval) -> Interval:
    low, middle, high = (None if one is None else float(f"{one:.4g}") for one in (value.low, value.value, value.high))
    return Interval(middle, low, high, value.n)


def collect_workloads(logs: Path, tokenizer: str, command: str) -> Workloads:
    """Measure all episodes of known backbones that ended without error, with no trait asked of the user.

    Raises:
        BadInput: a benchmark of the logs is not installed.
    """
    groups: dict[WorkloadGroup, list[Episode]] = defaultdict(list)
    for episode in read_episodes(logs):
        known = episode.benchmark in BENCHMARKS and episode.backbone in BACKBONES and episode.settings is None
        if known and episode.outcome.status != "error":
            backbone = BACKBONES[episode.backbone or ""]
            groups[BENCHMARKS[episode.benchmark], episode.domain, backbone, episode.strategy or ""].append(episode)
    shown = list(dict.fromkeys(BACKBONES.values()))
    order = sorted(groups, key=lambda group: (*group[:2], shown.index(group[2]), group[3]))
    counter = Tokenizer(tokenizer)
    measured: dict[WorkloadGroup, list[MeasuredEpisode]] = {}
    workloads: list[Workload] = []
    versions: dict[str, str] = {}
    for group in order:
        about = dict(zip(("benchmark", "domain", "backbone", "strategy"), group, strict=True))
        settings = load_settings(CompareSettings, [CONFIGS / "paper.yaml", CONFIGS / f"paper-{group[1]}.yaml"])
        world = load_benchmark(settings)
        versions |= world.versions(group[1])
        meter = WorkloadMeter(counter, world, group[3], int(settings.helpers.options["Memory"]["k"]))
        measured[group] = [meter.measure(episode) for episode in groups[group]]
        workloads.append(summarise_workload(measured[group], about, meter.helpers))
    contrasts = []
    for one, other in combinations(order, 2):
        found = contrast(measured[one], measured[other]) if one[:3] == other[:3] else None
        if found is not None:
            tasks, between, discordance = found
            contrasts.append(
                Contrast(
                    benchmark=one[0],
                    domain=one[1],
                    backbone=one[2],
                    strategies=(one[3], other[3]),
                    tasks=tasks,
                    between=between,
                    discordance=discordance,
                )
            )
    return Workloads(
        made=datetime.now(UTC).date().isoformat(),
        commit=git_commit(),
        command=command,
        tokenizer=Path(tokenizer).name,
        versions=versions,
        workloads=tuple(workloads),
        contrasts=tuple(contrasts),
    )


def main(arguments: Sequence[str]) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", type=Path, help="a folder that fama import wrote")
    parser.add_argument("--tokenizer", default="Qwen/Qwen3-4B", help="a repository, a folder or a .gguf file")
    parser.add_argument("--out", type=Path, default=WORKLOADS)
    args = parser.parse_args(arguments)
    command = shlex.join(["python", "-m", "eval.planning.collect", str(args.logs), "--tokenizer", args.tokenizer])
    found = collect_workloads(args.logs, args.tokenizer, command)
    args.out.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
