"""Markdown tables, and how subsets are called in them."""

from collections.abc import Sequence

from fama.subsets import POOL

_ALL = "+".join(POOL)


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def name(subset: str) -> str:
    """How a subset is called in tables."""
    return {"": "none", _ALL: "all six"}.get(subset, subset)
