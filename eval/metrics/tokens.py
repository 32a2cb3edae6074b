"""What an arm costs: tokens by role, per success, and over the plain agent."""

from collections.abc import Sequence
from dataclasses import dataclass

from eval.metrics.scores import Score

ROLES = ("agent", "helper", "selector", "user", "judge")


@dataclass(frozen=True)
class TokenMeans:
    """Tokens of an arm's episodes that ended in success or failure.

    ``by_role`` and ``total`` are means an episode, ``total`` without user and judges.
    ``per_success`` is every charged token over the number of successes, None without one.
    ``cached_share`` is cached over charged input tokens, None without input.
    """

    episodes: int
    by_role: dict[str, float]
    total: float | None
    per_success: float | None
    cached_share: float | None
    output: float | None


def token_means(scores: Sequence[Score]) -> TokenMeans:
    """Means over the scored episodes; episodes that ended in an error are not averaged in."""
    kept = [score for score in scores if score.scored]
    n = len(kept)
    total = sum(score.tokens.total for score in kept)
    successes = sum(score.success for score in kept)
    charged = sum(score.tokens.charged_input for score in kept)
    return TokenMeans(
        episodes=n,
        by_role={role: sum(getattr(s.tokens, role) for s in kept) / n for role in ROLES} if n else {},
        total=total / n if n else None,
        per_success=total / successes if successes else None,
        cached_share=sum(s.tokens.cached for s in kept) / charged if charged else None,
        output=sum(s.tokens.output for s in kept) / n if n else None,
    )


def overhead(arm: Sequence[Score], plain: Sequence[Score]) -> float | None:
    """Charged tokens of an arm over those of the plain agent, minus 1, on the tasks both have.

    Every task weighs the same within an arm's trials: means a task, summed over the shared tasks.
    None when no task is shared or the plain agent spent nothing.
    """
    ours, theirs = task_means(arm), task_means(plain)
    shared = ours.keys() & theirs.keys()
    base = sum(theirs[task] for task in shared)
    return sum(ours[task] for task in shared) / base - 1 if base else None


def task_means(scores: Sequence[Score]) -> dict[str, float]:
    """Mean charged tokens of every task's scored episodes."""
    sums: dict[str, list[int]] = {}
    for score in scores:
        if score.scored:
            sums.setdefault(score.task_id, []).append(score.tokens.total)
    return {task: sum(values) / len(values) for task, values in sums.items()}
