"""Tables of a report, rendered in LaTeX and Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from eval.metrics.formats import DASH


@dataclass(frozen=True)
class Cell:
    """A cell's text, the number it is sorted by, whether it is the best of its column, and its mark.

    Marks are stars of significance, or a dagger beside an arm.
    """

    text: str
    sort: float | None = None
    best: bool = False
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a short name for files. The first column is text, the others are numbers."""

    name: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def latex(table: Table) -> str:
    """Return the table with booktabs rules, the best in bold, marks of significance as superscripts."""

    def shown(cell: Cell) -> str:
        text = rf"\textbf{{{_tex(cell.text)}}}" if cell.best else _tex(cell.text)
        return text + (f"$^{{{cell.mark.replace('†', _DAGGER)}}}$" if cell.mark else "")

    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        " & ".join(map(_tex, table.columns)) + r" \\",
        r"\midrule",
        *(" & ".join(map(shown, row)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return f"% {' '.join(table.caption.split())}\n" + "\n".join(lines) + "\n"


_DAGGER = r"\dagger"
_TEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    DASH: "--",
    "×": r"$\times$",
    "−": "$-$",
    "†": r"$\dagger$",
    "<": r"$<$",
    "[": "{[}",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in text)


def markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown, the best in bold."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = ["---", *["---:"] * (len(table.columns) - 1)]
    rows = [line([(f"**{md(c.text)}**" if c.best else md(c.text)) + md(c.mark) for c in row]) for row in table.rows]
    return "\n".join([line([md(c) for c in table.columns]), line(rule), *rows]) + "\n"


def md(text: str) -> str:
    """Return text as Markdown that shows it as it is, on one line."""
    escaped = "".join(f"\\{sign}" if sign in "\\|*_`<>[]#" else sign for sign in text)
    return " ".join(escaped.split())
