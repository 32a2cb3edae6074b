"""Markdown tables, and the names of subsets and commands in them."""

from collections import Counter
from collections.abc import Iterable, Sequence

from fama.subsets import POOL, subset_label


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def name(subset: Iterable[str]) -> str:
    """Return what an ordered subset is called in tables."""
    names = tuple(subset)
    return "all six" if names == POOL else subset_label(names)


def tally(names: Iterable[str]) -> str:
    """Return how often each name occurs, the most frequent first."""
    return ", ".join(f"{one} {times}" for one, times in Counter(names).most_common())


def public(command: str) -> str:
    """Return the command without where the model was served and cached."""
    private = ("model.base_url=", "user_model.base_url=", "model.cache=")
    return " ".join(word for word in command.split() if not word.startswith(private))
