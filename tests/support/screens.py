"""Printed tables read back: from a pipe, where they are whole, and from a terminal of some width."""

import re
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_GAP = re.compile(r" {2,}")
_INDENT = "  "


class Line(NamedTuple):
    """One row of one printed table: the text of its first column, and its other cells."""

    name: str
    cells: list[str]

    @property
    def squashed(self) -> str:
        """The whole row without what wrapping adds."""
        return squash(self.name + "".join(self.cells))


def squash(text: str) -> str:
    return re.sub(r"[\s,]", "", text)


def on_screen(
    width: int | None, run: Callable[[], object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """Return the output of a command in a terminal of that width, without colours; into a pipe for None."""
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm")
        if width is not None:
            patch.setenv("COLUMNS", str(width))
            patch.setattr(sys.stdout, "isatty", lambda: True)
        run()
    return _ANSI.sub("", capsys.readouterr().out)


def whole_rows(text: str) -> list[list[str]]:
    """The rows of tables in a pipe: lines of several cells, without the heads."""
    lines = [_GAP.split(line.strip()) for line in text.splitlines()]
    return [cells for cells in lines if len(cells) > 1]


def printed_lines(text: str) -> list[Line]:
    """The rows of all blocks in a terminal, a folded name put together again."""
    found: list[Line] = []
    for line in text.splitlines():
        first, *cells = _GAP.split(line.strip())
        if line[:1].strip():
            found.append(Line(first, cells))
        elif found and line.strip():
            named = line.startswith(_INDENT) and line[len(_INDENT) : len(_INDENT) + 1].strip()
            last = found.pop()
            more = cells if named else [first, *cells]
            found.append(Line(last.name + first if named else last.name, [*last.cells, *more]))
    return found
