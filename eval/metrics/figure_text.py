"""Names of arms and categories in figures, shown as they are."""

from contextlib import AbstractContextManager
from typing import Any

#: Settings of matplotlib with which a name with two dollar signs is no formula.
PLAIN: Any = {"text.parse_math": False}


def plain_text() -> AbstractContextManager[None]:
    """Return a context in which figures take names as they are."""
    import matplotlib

    return matplotlib.rc_context(PLAIN)


def legend_text(name: str) -> str:
    """Return a name as a legend shows it: matplotlib leaves out those that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name
