"""The command line that produced a result, as it goes into files."""

import shlex
import sys


def command_line() -> str:
    """What was typed, with the program's name in place of its path."""
    return shlex.join(["fama", *sys.argv[1:]])
