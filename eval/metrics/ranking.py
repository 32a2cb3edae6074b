"""Order of arms by success, then by cost."""

from math import inf

#: Digits of a rate that are compared: means of thirds differ in their last bits by the order of the tasks.
_DIGITS = 12


def comparable(rate: float) -> float:
    """Return a rate such that equal ones are equal numbers."""
    return round(rate, _DIGITS)


def rank(solved: float | None, spent: float | None) -> tuple[float, float]:
    """Return a key that sorts the highest success first, the fewest tokens among equals; unknown values come last."""
    return (inf if solved is None else -comparable(solved), inf if spent is None else spent)
