"""The terminal that commands write to, and the tables they print there."""

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: mark of a value that is unknown or does not apply; never 0
DASH = "–"
#: columns where the output is no terminal: tables and lines in files and pipes are whole
_PIPE_WIDTH = 100_000
#: columns between two columns of a table
_GAP = 2
#: narrowest column of words, and of names once numbers need the room
_WORDS, _NAMES, _LEAST = 20, 24, 8


class _Plain(Console):
    """Takes every string as it is: no markup in it, no signs that steer a terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the string as text."""
        return super().render_str(printable(text), **{**options, "markup": False, "emoji": False})


class Column(NamedTuple):
    """One column of a table: ``name`` columns identify the row, numbers stay whole, words may wrap."""

    title: str
    kind: Literal["name", "number", "words"] = "number"


class _Sized(NamedTuple):
    column: Column
    cells: tuple[str, ...]

    @property
    def natural(self) -> int:
        """Width without any wrapping."""
        return max(map(_width, (self.column.title, *self.cells)))

    @property
    def least(self) -> int:
        """Width with the title wrapped at spaces; a column of words shrinks to a readable width."""
        title = max(map(cell_len, self.column.title.split()), default=0)
        least = max(title, *map(_width, self.cells), 1)
        return min(least, max(title, _WORDS)) if self.column.kind == "words" else least


def console() -> Console:
    """Return a console for tables, without wrapping when the output goes to a file or a pipe.

    Names of arms, tasks and backbones come from other people's files: ``[/x]`` in one is no markup.
    """
    return _Plain(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def printable(text: str) -> str:
    """Remove signs that steer a terminal from text of users, tools and models; keep line breaks and tabs."""
    return "".join(
        sign if sign in "\n\t" or not unicodedata.category(sign).startswith("C") else "\N{REPLACEMENT CHARACTER}"
        for sign in text
    )


def names(*titles: str) -> list[Column]:
    """Return columns that identify a row."""
    return [Column(title, "name") for title in titles]


def numbers(*titles: str) -> list[Column]:
    """Return columns whose cells are numbers."""
    return [Column(title) for title in titles]


def row_name(parts: Iterable[str]) -> str:
    """Return the identity of a row as one text, as tables and the footnotes below them write it."""
    return ", ".join(part or DASH for part in parts)


def print_table(screen: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table that never loses the identity of a row and never cuts a number.

    A table that is too wide for the screen gets one folded column of names, and its other columns in blocks that
    fit, each block below the names again.
    """
    if title:
        print_note(screen, title, style="italic")
    sized = [_Sized(column, tuple(_cell(row[i], column) for row in rows)) for i, column in enumerate(columns)]
    for number, (block, widths) in enumerate(_blocks(sized, screen.width)):
        if number:
            screen.print()
        screen.print(_table(block, widths))


def print_note(screen: Console, line: str, style: str = "dim") -> None:
    """Print a line that belongs to a table, wrapped at words."""
    screen.print(Text(printable(line)), style=style)


def _cell(text: str, column: Column) -> str:
    return " ".join(printable(text).split()) or DASH if column.kind == "name" else printable(text).replace("\t", " ")


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _blocks(sized: list[_Sized], width: int) -> list[tuple[list[_Sized], list[int]]]:
    """Return the tables to print, each with the widths of its columns."""
    for widths in ([one.natural for one in sized], [one.least for one in sized]):
        if _total(widths) <= width:
            return [(sized, _stretched(sized, widths, width))]
    parts = [one for one in sized if one.column.kind == "name"]
    rest = [one for one in sized if one.column.kind != "name"]
    title = Column(", ".join(filter(None, (one.column.title for one in parts))), "name")
    joined = _Sized(title, tuple(map(row_name, zip(*(one.cells for one in parts), strict=True))))
    wanted = min(joined.natural, max(_NAMES, width // 3))
    widest = max((one.least for one in rest), default=0)
    kept = max(min(wanted, width - _GAP - widest), min(wanted, _LEAST))
    packed: list[list[tuple[_Sized, int]]] = [[]]
    for one in rest:
        needed = max(1, min(one.least, width - kept - _GAP))
        if packed[-1] and kept + _GAP + _total([w for _, w in packed[-1]]) + _GAP + needed > width:
            packed.append([])
        packed[-1].append((one, needed))
    most = max(_total([w for _, w in block]) for block in packed) if rest else -_GAP
    names_width = max(kept, min(joined.natural, width - _GAP - most))
    blocks = [([joined, *(one for one, _ in block)], [names_width, *(w for _, w in block)]) for block in packed]
    return [(block, _stretched(block, widths, width)) for block, widths in blocks]


def _stretched(sized: list[_Sized], widths: list[int], width: int) -> list[int]:
    """Give the room that is left to the columns of words."""
    left, stretched = width - _total(widths), list(widths)
    for place, one in enumerate(sized):
        if one.column.kind == "words":
            more = min(left, max(0, one.natural - stretched[place]))
            stretched[place] += more
            left -= more
    return stretched


def _table(block: list[_Sized], widths: list[int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    columns = []
    for one, width in zip(block, widths, strict=True):
        number = one.column.kind == "number"
        table.add_column(
            Text("\n".join(_folded(one.column.title, width, indent=""))),
            justify="right" if number else "left",
            width=width,
            vertical="top",
            overflow="fold",
        )
        indent = "  " if one.column.kind == "name" else ""
        columns.append([Text("\n".join(_folded(cell, width, indent))) for cell in one.cells])
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return table


def _folded(text: str, width: int, indent: str) -> list[str]:
    """Return the lines of a text in a column, continued lines indented; only a word longer than a line is split."""
    if _width(text) <= width:
        return text.split("\n")
    indent = indent if len(indent) <= width // 4 else ""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines[-1].strip() else f"{lines[-1]}{word}"
        if cell_len(joined) <= width:
            lines[-1] = joined
            continue
        start = indent if lines[-1].strip() else lines.pop()
        pieces = [word] if cell_len(start + word) <= width else chop_cells(word, width - len(indent))
        lines += [start + pieces[0], *(indent + piece for piece in pieces[1:])]
    return lines
