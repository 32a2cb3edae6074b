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
        """The string as text."""
        return super().render_str(printable(text), **{**options, "markup": False, "emoji": False})


def console() -> Console:
    """A console for tables, without wrapping when the output goes to a file or a pipe.

    Names of arms, tasks and backbones come from other people's files: ``[/x]`` in one is no markup.
    """
    return _Plain(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def printable(text: str) -> str:
    """Text of users, tools and models without signs that steer a terminal; line breaks and tabs stay."""
    return "".join(
        sign if sign in "\n\t" or not unicodedata.category(sign).startswith("C") else "\N{REPLACEMENT CHARACTER}"
        for sign in text
    )
