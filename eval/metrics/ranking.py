"""Order of arms by success, then by cost."""

from math import inf


def rank(solved: float | None, spent: float | None) -> tuple[float, float]:
    """Return a key that sorts the highest success first, the fewest tokens among equals; unknown values come last."""
    return (inf if solved is None else -solved, inf if spent is None else spent)
