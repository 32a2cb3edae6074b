"""Order of arms by success, then by cost."""

from math import inf

from fama.intervals import Interval


def rank(success: Interval, tokens: Interval) -> tuple[float, float]:
    """Return a key that sorts the highest success first, the fewest tokens among equals; unknown values come last."""
    solved, spent = success.value, tokens.value
    return (inf if solved is None else -solved, inf if spent is None else spent)
