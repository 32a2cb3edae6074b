"""Failure profiles of published agents, counted once by ``python -m eval.publish.real_logs LOGS LABELS SELECTED``.

The logs are not part of the project, so that the counts are committed and the tables are made from them.
SELECTED is what ``fama select --json`` printed for a router that learned from these logs.
"""

import argparse
import json
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from eval.annotation.failure_profiles import Profile, draw_profiles, profile
from eval.metrics.formats import percent
from eval.publish.markdown import table
from eval.report.figures import save_figure
from fama.diagnosis.mitigation import minimal_cover
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import NO_CAUSE, Failure, Record
from fama.episodes.store import read_episodes, read_failures
from fama.helpers.pool import build_pool
from fama.intervals import Interval, clustered_share
from fama.provenance import git_commit
from fama.settings import HelperSettings
from fama.subsets import POOL

ROOT = Path(__file__).resolve().parents[2]
COUNTS = ROOT / "results" / "real-logs" / "counts.json"
FIGURE = ROOT / "docs" / "images" / "real-profiles.png"
#: Backbones as the logs name them, and as the tables do.
BACKBONES = {
    "qwen3-4b": "Qwen3-4B",
    "qwen3-4b-instruct": "Qwen3-4B",
    "llama-3.1-8b": "Llama-3.1-8B",
    "gpt-4o": "gpt-4o",
    "gpt-5": "gpt-5",
}


class HelperShares(Record):
    """Share of a backbone's failures for which each helper of the pool is chosen; intervals over tasks."""

    backbone: str
    by: str
    failures: int
    shares: dict[str, Interval]


class Counts(Record):
    """Profiles by backbone and domain, and helpers chosen by the cover of the categories and by a trained router."""

    made: str
    commit: str | None
    command: str
    taxonomy: str
    profiles: tuple[Profile, ...]
    choices: tuple[HelperShares, ...]


def profiles() -> str:
    """Tabulate failure categories: one row per backbone and domain."""
    counts = _read()
    codes = [share.category for share in counts.profiles[0].shares]
    rows = [
        (
            one.name,
            str(one.failures),
            str(one.tasks),
            *(percent(Interval(s.value, s.low, s.high, one.tasks), 0) for s in one.shares),
        )
        for one in counts.profiles
    ]
    return table(("backbone, domain", "failures", "tasks", *(f"{code} %" for code in codes)), rows)


def helpers() -> str:
    """Tabulate how often each helper is chosen: one row per backbone and chooser."""
    rows = [
        (one.backbone, one.by, str(one.failures), *(percent(one.shares[helper], 0) for helper in POOL))
        for one in _read().choices
    ]
    return table(("backbone", "chosen by", "failures", *(f"{helper} %" for helper in POOL)), rows)


def count_labels(logs: Path, labels: Path, selected: Path) -> Counts:
    """Count the labels of the failures of known backbones, and what is chosen for them."""
    taxonomy = load_taxonomy()
    where = {e.id: (BACKBONES[e.backbone], e.domain) for e in read_episodes(logs) if e.backbone in BACKBONES}
    groups: dict[tuple[str, str], list[Failure]] = defaultdict(list)
    for label in read_failures(labels):
        if label.episode_id in where:
            groups[where[label.episode_id]].append(label)
    order = sorted(groups, key=lambda group: (list(BACKBONES.values()).index(group[0]), group[1]))
    pool = build_pool(HelperSettings())
    by_backbone: dict[str, list[Failure]] = defaultdict(list)
    for backbone, domain in order:
        by_backbone[backbone] += groups[backbone, domain]
    router = _selected(selected)
    choices = []
    for backbone, failures in by_backbone.items():
        covers = {label.episode_id: minimal_cover(label.primary, pool) for label in failures}
        choices.append(_choices(backbone, "cover of the labels", failures, covers))
        known = [label for label in failures if label.episode_id in router]
        if known:
            choices.append(_choices(backbone, "router", known, router))
    return Counts(
        made=datetime.now(UTC).date().isoformat(),
        commit=git_commit(),
        command=shlex.join(["python", "-m", "eval.publish.real_logs", *map(str, (logs, labels, selected))]),
        taxonomy=taxonomy.version,
        profiles=tuple(profile(", ".join(group), groups[group], (*taxonomy.codes, NO_CAUSE)) for group in order),
        choices=tuple(choices),
    )


def _choices(backbone: str, by: str, failures: Sequence[Failure], chosen: Mapping[str, Sequence[str]]) -> HelperShares:
    tasks = sorted({str(label.key) for label in failures})
    counts = {helper: Counter[str]() for helper in POOL}
    totals: Counter[str] = Counter()
    for label in failures:
        totals[str(label.key)] += 1
        for helper in chosen[label.episode_id]:
            counts[helper][str(label.key)] += 1
    n = [totals[task] for task in tasks]
    shares = {helper: clustered_share([counts[helper][task] for task in tasks], n) for helper in POOL}
    return HelperShares(backbone=backbone, by=by, failures=len(failures), shares=shares)


def _selected(path: Path) -> dict[str, Sequence[str]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    return {row["episode_id"]: row["subset"] for row in rows}


def _read() -> Counts:
    return Counts.model_validate_json(COUNTS.read_text(encoding="utf-8"))


def main(arguments: Sequence[str]) -> int:
    """Count, write the counts and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("selected", type=Path)
    args = parser.parse_args(arguments)
    counts = count_labels(args.logs, args.labels, args.selected)
    COUNTS.parent.mkdir(exist_ok=True)
    COUNTS.write_text(counts.model_dump_json(indent=1) + "\n", encoding="utf-8")
    save_figure(draw_profiles(counts.profiles), FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
