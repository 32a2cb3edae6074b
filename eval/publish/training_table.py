"""Effects of subsets and helpers within the tasks of the training table."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.metrics.formats import percent
from eval.metrics.measures import Resampling
from eval.publish.markdown import name, table
from fama.episodes.outcome_table import OutcomeRow, read_outcomes
from fama.intervals import percentile_interval
from fama.subsets import POOL, split_subset


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


def against_none(path: Path) -> str:
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
