"""The training table: its episodes by subset, and effects of subsets and helpers within its tasks."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.metrics.episode_scores import known_mean
from eval.metrics.formats import p_value, percent, plain_number
from eval.metrics.measures import Resampling
from eval.publish.markdown import name, public, table, tally
from eval.stats.interaction import margin_test
from eval.stats.proportions import clustered_proportion
from fama.episodes.outcome_table import OutcomeRow, read_metadata, read_outcomes
from fama.episodes.store import read_episodes
from fama.intervals import percentile_interval
from fama.subsets import POOL, split_subset

#: Tables in which every task has every subset, by what their tasks are.
GRIDS = {
    "test tasks of both domains, unseen wording": "grid-mixed.parquet",
    "development tasks of saas": "grid-saas-dev.parquet",
    "test tasks of the shop, the helpers' own wording": "lattice-test.parquet",
}


def outcomes(path: Path) -> str:
    """Tabulate the training episodes by subset. Rows of one subset are of different tasks, hence the plain interval."""
    meta = read_metadata(str(path))
    rows = read_outcomes(str(path), str(meta["benchmark_version"]))
    by_subset: dict[str, list[OutcomeRow]] = defaultdict(list)
    scored = [row for row in rows if row.success is not None]
    for row in scored:
        by_subset[row.subset].append(row)
    order = sorted(by_subset, key=lambda s: (-_solved(by_subset[s]) / len(by_subset[s]), s))
    body = [
        (
            name(split_subset(subset)),
            str(len(own := by_subset[subset])),
            str(_solved(own)),
            _share(_solved(own), len(own)),
            plain_number(sum(row.tokens for row in own) / len(own)),
            plain_number(
                known_mean([None if row.tokens_cached is None else row.tokens - row.tokens_cached for row in own])
            ),
        )
        for subset in order
    ]
    caption = (
        f"{len(rows)} episodes on {len({row.task_id for row in rows})} training tasks, {_solved(rows)} solved "
        f"({_share(_solved(rows), len(scored))} %, rows taken as independent), {len(rows) - len(scored)} errors. Made "
        f"at commit {str(meta['commit'])[:7]} by `{public(str(meta['command']))}`."
    )
    head = ("subset", "n", "solved", "% [95 %]", "tokens", "of them not from the cache")
    return f"{caption}\n\n{table(head, body)}"


def solved_subsets(path: Path) -> str:
    """Count the tasks on which none, some and all of the executed subsets succeed."""
    by_task = _by_task(path)
    most = max(len(rows) for rows in by_task.values())
    counts = np.bincount([sum(bool(row.success) for row in rows) for rows in by_task.values()], minlength=most + 1)
    depends = sum(0 < sum(bool(row.success) for row in rows) < len(rows) for rows in by_task.values())
    rest = "the others are solved with all of theirs or none."
    caption = f"The subset decides on {depends} of {len(by_task)} tasks: {rest}"
    head = (f"subsets of {most} that solve the task", *map(str, range(most + 1)))
    return f"{caption}\n\n{table(head, [('tasks', *map(str, counts))])}"


def within_margins(folder: Path) -> str:
    """Test for each full grid whether subsets that share helpers solve the same tasks."""
    body = []
    for title, file in GRIDS.items():
        by_task = _by_task(folder / file)
        subsets = sorted({row.subset for rows in by_task.values() for row in rows})
        solved = {task: {row.subset: bool(row.success) for row in rows} for task, rows in by_task.items()}
        full = np.array([[own[one] for one in subsets] for own in solved.values() if len(own) == len(subsets)])
        found = margin_test(full, np.array([[_shared(one, other) for other in subsets] for one in subsets]))
        decided = int(np.sum((full.sum(1) > 0) & (full.sum(1) < len(subsets))))
        numbers = (str(len(full)), str(len(subsets)), str(decided), f"{found.seen:.1f}", f"{found.expected:.1f}")
        body.append((title, *numbers, p_value(found.p)))
    head = ("tasks", "n", "subsets", "tasks that the subset decides", "shared successes", "expected", "p")
    return table(head, body)


def _shared(one: str, other: str) -> float:
    """Return the share of the helpers of two subsets that both hold (Jaccard)."""
    mine, theirs = set(split_subset(one)), set(split_subset(other))
    return len(mine & theirs) / max(1, len(mine | theirs))


def helper_effects(path: Path) -> str:
    """Estimate the points of success that a helper adds, by least squares within tasks."""
    by_task = _by_task(path)
    grams, sides = _within(list(by_task.values()))
    weights = Resampling().weights(len(by_task))
    draws = np.array([_solve(np.tensordot(w, grams, 1), w @ sides) for w in weights])
    value = _solve(grams.sum(0), sides.sum(0))
    body = [
        (helper, percent(percentile_interval(float(value[i]), draws[:, i], len(by_task)), 1, signed=True))
        for i, helper in enumerate(POOL)
    ]
    return table(("helper", f"points [95 %], {len(by_task)} tasks"), body)


def outcomes_against_none(path: Path) -> str:
    """Tabulate every subset on the tasks that drew it and none."""
    pairs: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for rows in _by_task(path).values():
        solved = {row.subset: bool(row.success) for row in rows}
        for subset in solved.keys() - {""} if "" in solved else ():
            pairs[subset].append((solved[subset], solved[""]))
    body = [
        (name(split_subset(subset)), str(len(own)), str(sum(a for a, _ in own)), str(sum(b for _, b in own)))
        for subset, own in sorted(pairs.items(), key=lambda item: (len(split_subset(item[0])), item[0]))
    ]
    return table(("subset", "tasks that drew it and none", "solved", "by none"), body)


def _by_task(path: Path) -> dict[str, list[OutcomeRow]]:
    by_task: dict[str, list[OutcomeRow]] = defaultdict(list)
    for row in read_outcomes(path):
        if row.success is not None:
            by_task[row.task_id].append(row)
    return by_task


def _within(tasks: Sequence[Sequence[OutcomeRow]]) -> tuple[np.ndarray, np.ndarray]:
    """Return XᵀX and Xᵀy of each centred task: shapes [tasks, helpers, helpers] and [tasks, helpers]."""
    grams, sides = [], []
    for rows in tasks:
        x = np.array([[helper in split_subset(row.subset) for helper in POOL] for row in rows], dtype=np.float64)
        y = np.array([bool(row.success) for row in rows], dtype=np.float64)
        x -= x.mean(axis=0)
        grams.append(x.T @ x)
        sides.append(x.T @ (y - y.mean()))
    return np.array(grams), np.array(sides)


def _solve(gram: np.ndarray, side: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.lstsq(gram, side, rcond=None)[0])


def _solved(rows: Sequence[OutcomeRow]) -> int:
    return sum(bool(row.success) for row in rows)


def _share(solved: int, n: int) -> str:
    return percent(clustered_proportion(np.array([1.0] * solved + [0.0] * (n - solved)), n), 0)


def runs(folder: Path) -> str:
    """Tabulate the logs beside the first backbone's tables: how many tasks, what was solved, how episodes ended."""
    body = []
    for stem in ("prompted-train", "outcomes-train-0.5b", "lattice-test-0.5b"):
        episodes = list(read_episodes(folder / f"{stem}.episodes.jsonl.gz"))
        solved: dict[str, list[float]] = defaultdict(list)
        scored = [episode for episode in episodes if episode.outcome.status != "error"]
        for episode in scored:
            solved[episode.task_id].append(float(episode.outcome.status == "success"))
        rates = np.array([float(np.mean(values)) for values in solved.values()])
        body.append(
            (
                f"`{stem}`",
                str(len({episode.task_id for episode in episodes})),
                str(len(episodes)),
                f"{sum(map(sum, solved.values())):.0f}",
                percent(clustered_proportion(rates, len(scored)), 0),
                tally(str(episode.outcome.reason) for episode in episodes),
            )
        )
    return table(("file", "tasks", "episodes", "solved", "mean over tasks, %", "ended by"), body)
