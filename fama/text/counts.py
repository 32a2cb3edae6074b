"""Counts of tokens as servers and logs report them; what cannot be one is unknown."""

from typing import Any

#: More tokens than any call can have; a larger number is an error of whoever counted.
MOST_TOKENS = 100_000_000


def token_count(value: Any) -> int | None:
    """Return a whole number from 0 to ``MOST_TOKENS``, also as digits or a whole float; None for anything else."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_TOKENS:
        return None
    return value
