"""Markdown tables, the names of subsets and commands in them, and pages that hold made tables.

A made table stands between ``<!-- table NAME -->`` and ``<!-- end NAME -->``.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from fama.subsets import POOL, subset_label

_BLOCK = re.compile(r"(?P<head><!-- table (?P<name>[\w-]+) -->\n).*?(?P<tail><!-- end (?P=name) -->)", re.DOTALL)


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


def fill_tables(page: str, make: Callable[[str], str]) -> str:
    """Return the page with what ``make`` gives for each name in place of what stood there."""
    return _BLOCK.sub(lambda match: f"{match['head']}{make(match['name']).rstrip()}\n{match['tail']}", page)
