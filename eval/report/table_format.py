"""Tables of a report, and their Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TableCell:
    """A cell's text, the number it is sorted by, whether it is the best of its column, and its mark.

    Marks are stars of significance, or a dagger beside an arm.
    """

    text: str
    sort: float | None = None
    best: bool = False
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a short name for files. The first column is text, the others are numbers.

    ``priority`` names columns by place, the most important first, for where not all fit; the others follow in order.
    """

    name: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    priority: tuple[int, ...] = ()


def markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown, the best in bold."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = ["---", *["---:"] * (len(table.columns) - 1)]
    rows = [line([(f"**{md(c.text)}**" if c.best else md(c.text)) + md(c.mark) for c in row]) for row in table.rows]
    return "\n".join([line([md(c) for c in table.columns]), line(rule), *rows]) + "\n"


def md(text: str) -> str:
    """Return text as Markdown that shows it as it is, on one line."""
    escaped = "".join(f"\\{sign}" if sign in "\\|*_`<>[]#~&$" else sign for sign in text)
    return " ".join(escaped.split())
