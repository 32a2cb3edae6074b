"""pass^k: the chance that k independent trials of a task all succeed."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb


@dataclass(frozen=True)
class TaskTrials:
    """Scored trials of one task and how many succeeded; errors are not trials."""

    trials: int
    successes: int


@dataclass(frozen=True)
class PassK:
    """pass^k over tasks. ``value`` is None when no task has k scored trials.

    ``per_task`` has the tasks that count; ``short`` is how many had fewer than k scored trials and
    were left out.
    """

    k: int
    value: float | None
    per_task: dict[str, float]
    short: int


def task_pass_k(counts: TaskTrials, k: int) -> float | None:
    """Return the unbiased estimate C(c, k) / C(n, k) for one task (τ-bench, Yao et al. 2024); None when n < k."""
    if counts.trials < k:
        return None
    return comb(counts.successes, k) / comb(counts.trials, k)


def pass_k(tasks: Mapping[str, TaskTrials], k: int) -> PassK:
    """Return pass^k averaged over the tasks with at least k scored trials.

    Raises:
        ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; pass^k needs k of at least 1")
    values = {task: task_pass_k(counts, k) for task, counts in tasks.items()}
    kept = {task: value for task, value in values.items() if value is not None}
    mean = sum(kept.values()) / len(kept) if kept else None
    return PassK(k=k, value=mean, per_task=kept, short=len(values) - len(kept))
