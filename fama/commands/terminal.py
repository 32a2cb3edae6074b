"""The terminal that commands write to."""

import sys
import unicodedata
from typing import Any

from rich.console import Console
from rich.text import Text

#: columns where the output is no terminal: wide enough that tables in files and pipes are whole
_PIPE_WIDTH = 220


class _Plain(Console):
    """Takes every string as it is: no markup in it, no signs that steer a terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the string as text."""
        return super().render_str(printable(text), **{**options, "markup": False, "emoji": False})


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
