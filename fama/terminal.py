"""The terminal that commands write to."""

import sys
import unicodedata

from rich.console import Console

#: columns where the output is no terminal: wide enough that tables in files and pipes are whole
_PIPE_WIDTH = 220


def console() -> Console:
    """A console for tables, without wrapping when the output goes to a file or a pipe."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def printable(text: str) -> str:
    """Text of users, tools and models without signs that steer a terminal; line breaks and tabs stay."""
    return "".join(
        sign if sign in "\n\t" or not unicodedata.category(sign).startswith("C") else "\N{REPLACEMENT CHARACTER}"
        for sign in text
    )
