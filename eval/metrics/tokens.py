"""What an arm costs: tokens by role, per success, and over the plain agent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from eval.metrics.scores import Score
from fama.episodes.records import known_total

ROLES = ("agent", "helper", "selector", "user", "judge")


@dataclass(frozen=True)
class TokenMeans:
    """Tokens of an arm's episodes that ended in success or failure.

    ``by_role`` and ``total`` are means an episode, ``total`` without user and judges.
    ``per_success`` is every charged token over the number of successes, None without one.
    ``cached_share`` is cached over charged input tokens, None without input. All are None where a count is unknown.
    """

    episodes: int
    by_role: dict[str, float | None]
    total: float | None
    per_success: float | None
    cached_share: float | None
    output: float | None


def token_means(scores: Sequence[Score]) -> TokenMeans:
    """Means over the scored episodes; episodes that ended in an error are not averaged in."""
    kept = [score for score in scores if score.scored]
    n = len(kept)
    total = known_total(score.tokens.total for score in kept)
    successes = sum(score.success for score in kept)
    charged = known_total(score.tokens.charged_input for score in kept)
    cached = known_total(score.tokens.cached for score in kept)
    return TokenMeans(
        episodes=n,
        by_role={role: known_mean([getattr(s.tokens, role) for s in kept]) for role in ROLES} if n else {},
        total=known_mean([s.tokens.total for s in kept]),
        per_success=None if total is None or not successes else total / successes,
        cached_share=None if cached is None or not charged else cached / charged,
        output=known_mean([s.tokens.output for s in kept]),
    )


def overhead(arm: Sequence[Score], plain: Sequence[Score]) -> float | None:
    """Charged tokens of an arm over those of the plain agent, minus 1, on the tasks both have.

    Every task weighs the same within an arm's trials: means a task, summed over the shared tasks.
    None when no task is shared, the plain agent spent nothing or a count is unknown.
    """
    ours, theirs = task_means(arm), task_means(plain)
    shared = ours.keys() & theirs.keys()
    base = sum(theirs[task] for task in shared)
    over = sum(ours[task] for task in shared)
    return over / base - 1 if base and not math.isnan(over + base) else None


def task_means(scores: Sequence[Score]) -> dict[str, float]:
    """Mean charged tokens of every task's scored episodes; not a number where a count is unknown."""
    sums: dict[str, list[float]] = {}
    for score in scores:
        if score.scored:
            sums.setdefault(score.task_id, []).append(amount(score.tokens.total))
    return {task: sum(values) / len(values) for task, values in sums.items()}


def amount(count: int | None) -> float:
    """A count for arithmetic over arrays: not a number where it is unknown."""
    return math.nan if count is None else float(count)


def known_mean(counts: Sequence[int | None]) -> float | None:
    """The mean of counts; None where one is unknown, or there is none."""
    total = known_total(counts)
    return None if total is None or not counts else total / len(counts)
