"""Tables of a report in LaTeX, with the columns that fit a page's or a column's width.

Widths are those of Computer Modern at ``footnotesize`` (8 pt), which is wider than Times, and tables are at most as
wide as the narrowest of the common styles: 5.5 in per page (NeurIPS), 3.0 in per column (ACL: 3.03 in).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from eval.metrics.formats import DASH
from eval.report.table_format import Table, TableCell

#: What the first line of every table begins with, by which a later report knows the tables of an earlier one.
FIRST_WORDS = r"% Needs \usepackage{booktabs}."


@dataclass(frozen=True)
class Width:
    """A width that tables are made for: its ending of file names, in points, and the environment that has it."""

    suffix: str
    points: float
    inches: str
    environment: str


PAGE = Width("", 397.0, "5.5", "table*")
COLUMN = Width("-column", 216.0, "3.0", "table")
WIDTHS = (PAGE, COLUMN)

#: The largest share of the width that the rows' names take in one line; longer ones are stacked.
_NAMES = 0.5
#: Space between two columns, in points.
_SEPARATION = 5.0
#: The width of signs in points, rounded up; any other counts as ``_OTHER``.
_POINTS = {
    sign: points
    for points, signs in {
        2.4: "il.,:;'`!|[]·",
        2.9: "fj- ",
        3.4: "rst()I_",
        3.8: "cez†",
        4.3: 'ago0123456789?/*"{}\\~^$²' + DASH,
        4.8: "bdhknpquvxyJSτ",
        5.4: "LZλ",
        6.2: "wBCEFPT",
        6.7: "ADGHKNOQRUVXY&+=@<>≤≥×−",
        7.1: "m%#",
        8.8: "MW∞",
        11.4: "…",
    }.items()
    for sign in signs
}
_OTHER = 7.1
_BOLD, _SMALL = 1.16, 0.94
_INTERVAL = re.compile(r"^(.+?) (\[.*\])$")
_SENTENCE = re.compile(r"(?<=\.) (?=\S)")
_TEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{sign: f"${sign}$" for sign in "<>|"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",
    "*": "{*}",  # the first sign of a row stands behind \\, whose star it would be
    DASH: "--",
    "×": r"$\times$",
    "−": "$-$",
    "†": r"$\dagger$",
    "λ": r"$\lambda$",
    "τ": r"$\tau$",
    "²": "$^2$",
    "∞": r"$\infty$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "·": r"$\cdot$",
    "…": r"\ldots{}",
}


def latex(table: Table, width: Width = PAGE) -> str:
    """Return the table as a float with caption and label, for input by a paper; the comment names what it needs.

    Rules are booktabs', the best cells bold, marks of significance superscripts, intervals smaller. Columns go by
    ``table.priority`` until the width is full; a comment names those that are left out, and the caption's sentences
    about them (``Name: …``) are left out, too.
    """
    limit = _NAMES * width.points
    shown = _fitting(table, width.points, limit)
    absent = [name for index, name in enumerate(table.columns) if index not in shown]
    alignment = "".join("l" if index == 0 or _is_text(table, index) else "r" for index in shown)
    heads = [_head(table, index, side) for index, side in zip(shown, alignment, strict=True)]
    lines = [f"{FIRST_WORDS} Fits a width of {width.inches} in at 10 pt."]
    if absent:
        lines.append(" ".join(f"% Left out for width: {' · '.join(absent)}.".split()))  # a comment ends with its line
    lines += [
        rf"\begin{{{width.environment}}}[t]",
        r"\centering\footnotesize\setlength{\tabcolsep}{2.5pt}",
        rf"\begin{{tabular}}{{@{{}}{alignment}@{{}}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *(" & ".join([_name(row[0], limit), *(_cell(row[i]) for i in shown[1:])]) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{\textbf{{{_tex(table.title)}.}} {_tex(_caption(table, shown))}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}{width.suffix}}}",
        rf"\end{{{width.environment}}}",
    ]
    return "\n".join(lines) + "\n"


def _fitting(table: Table, points: float, limit: float) -> list[int]:
    """Return the columns that fit, each once and in their order; the first is there, stacked where above its limit."""
    order = dict.fromkeys((0, *table.priority, *range(len(table.columns))))
    names = max((_name_width(row[0], limit) for row in table.rows), default=0.0)
    left, shown = points - max(names, *map(_text_width, table.columns[0].split())), [0]
    for index in list(order)[1:]:
        left -= _column_width(table, index) + _SEPARATION
        if left < 0:
            break
        shown.append(index)
    return sorted(shown)


def _column_width(table: Table, index: int) -> float:
    return max(_body_width(table, index), *map(_text_width, _head_lines(table, index)))


def _body_width(table: Table, index: int) -> float:
    return max((_cell_width(row[index]) for row in table.rows), default=0.0)


def _cell_width(cell: TableCell) -> float:
    value, interval = _split(cell.text)
    return (
        _text_width(value) * (_BOLD if cell.best else 1.0)
        + (_text_width(f" {interval}") * _SMALL if interval else 0.0)
        + _text_width(cell.mark) * _SMALL
    )


def _text_width(text: str) -> float:
    """Return the width of a text in points, in Computer Modern of 8 pt."""
    return sum(_POINTS.get(sign, _OTHER) for sign in text)


def _head_lines(table: Table, index: int) -> list[str]:
    """Return a column's name in lines that are no wider than its cells, where its words allow that."""
    words = table.columns[index].split()
    return _lines(words, max(_body_width(table, index), *map(_text_width, words)))


def _lines(words: Sequence[str], limit: float) -> list[str]:
    """Return words in lines of at most a width in points; a word that is wider has a line of its own."""
    lines: list[str] = []
    for word in words:
        if lines and _text_width(f"{lines[-1]} {word}") <= limit:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _head(table: Table, index: int, side: str) -> str:
    return _stacked(_head_lines(table, index), side)


def _stacked(lines: Sequence[str], side: str) -> str:
    stacked = r"\\".join(map(_tex, lines))
    return stacked if len(lines) == 1 else rf"\shortstack[{side}]{{{stacked}}}"


def _name_lines(text: str, limit: float) -> list[str]:
    """Return the name of a row in lines of at most a width in points; words that are wider are cut."""
    words = []
    for word in text.split():
        rest = word
        while _text_width(rest) > limit:
            size = max(1, sum(_text_width(rest[: n + 1]) <= limit for n in range(len(rest))))
            words.append(rest[:size])
            rest = rest[size:]
        words += [rest] if rest else []
    return _lines(words, limit)


def _name_width(cell: TableCell, limit: float) -> float:
    whole = _cell_width(cell)
    return whole if whole <= limit else max(map(_text_width, _name_lines(cell.text, limit))) + _text_width(cell.mark)


def _name(cell: TableCell, limit: float) -> str:
    """Return the cell of a row's name, stacked where it is wider than the limit."""
    if _cell_width(cell) <= limit:
        return _cell(cell)
    return _stacked(_name_lines(cell.text, limit), "l") + _mark(cell)


def _is_text(table: Table, index: int) -> bool:
    """Return whether a column holds words, such as the subsets chosen most."""
    return any(cell.sort is None and cell.text != DASH for cell in (row[index] for row in table.rows))


def _caption(table: Table, shown: list[int]) -> str:
    """Return the caption without the sentences that explain a column that is left out."""
    here = [table.columns[index].casefold() for index in shown]
    gone = [name.casefold() for index, name in enumerate(table.columns) if index not in shown]

    def needed(sentence: str) -> bool:
        name = sentence.partition(":")[0].casefold()
        about = [column.startswith(name) for column in gone]
        return ":" not in sentence or not any(about) or any(column.startswith(name) for column in here)

    return " ".join(filter(needed, _SENTENCE.split(" ".join(table.caption.split()))))


def _cell(cell: TableCell) -> str:
    value, interval = _split(cell.text)
    text = rf"\textbf{{{_tex(value)}}}" if cell.best else _tex(value)
    text += rf" {{\scriptsize {_tex(interval)}}}" if interval else ""
    return text + _mark(cell)


def _mark(cell: TableCell) -> str:
    mark = cell.mark.replace("†", r"\dagger")
    return f"$^{{{mark}}}$" if mark else ""


def _split(text: str) -> tuple[str, str]:
    """Return a cell's value and its interval; the latter is empty without one."""
    match = _INTERVAL.match(text)
    return (match[1], match[2]) if match else (text, "")


def _tex(text: str) -> str:
    """Return text that LaTeX sets as it is, on one line, without signs that cannot be printed."""
    return "".join(
        " " if sign.isspace() else _TEX.get(sign, sign) for sign in text if sign.isspace() or sign.isprintable()
    )
