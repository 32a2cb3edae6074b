"""The terminal that commands write tables to."""

import sys

from rich.console import Console

#: columns where the output is no terminal: wide enough that tables in files and pipes are whole
_PIPE_WIDTH = 220


def console() -> Console:
    """A console for tables, without wrapping when the output goes to a file or a pipe."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
