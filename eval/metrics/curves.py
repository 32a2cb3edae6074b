"""Success over tokens: the attainable frontier, its area, and the success or tokens read off it.

Nothing can be read off a curve with a point of unknown tokens (not a number).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from eval.metrics.ranking import comparable


class OperatingPoint(NamedTuple):
    """One operating point: mean tokens per episode and success rate."""

    tokens: float
    success: float


def measured(points: Sequence[OperatingPoint]) -> bool:
    """Return whether the tokens of every point are known."""
    return all(math.isfinite(point.tokens) for point in points)


def frontier(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """Return the points that no cheaper or equally cheap one reaches in success, by rising tokens."""
    kept: list[OperatingPoint] = []
    for point in sorted(points, key=lambda p: (p.tokens, -p.success)):
        if not kept or comparable(point.success) > comparable(kept[-1].success):
            kept.append(point)
    return kept


def success_at(points: Sequence[OperatingPoint], tokens: float) -> float | None:
    """Return the best success that at most ``tokens`` buy; None below the cheapest point, or where it is unknown."""
    if not measured(points):
        return None
    within = [point.success for point in points if point.tokens <= tokens]
    return max(within, default=None)


def tokens_at(points: Sequence[OperatingPoint], success: float) -> float | None:
    """Return the fewest tokens that reach ``success``; None when no point does, or where they are unknown."""
    if not measured(points):
        return None
    enough = [point.tokens for point in points if comparable(point.success) >= comparable(success)]
    return min(enough, default=None)


def area(points: Sequence[OperatingPoint], low: float, high: float) -> float | None:
    """Return the mean of the best attainable success over budgets from ``low`` to ``high`` tokens.

    Between points the curve is flat (a step), and 0 below the cheapest one. None without points, or with one
    of unknown tokens.

    Raises:
        ValueError: high is not above low.
    """
    if high <= low:
        raise ValueError(f"the area needs low < high; got {low} and {high}")
    if not points or not measured(points):
        return None
    steps = frontier(points)
    total = 0.0
    for index, point in enumerate(steps):
        until = steps[index + 1].tokens if index + 1 < len(steps) else high
        total += point.success * max(0.0, min(until, high) - max(point.tokens, low))
    return total / (high - low)
