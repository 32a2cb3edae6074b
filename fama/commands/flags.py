"""Flags that have no effect with what else a command was given."""

import argparse
from collections.abc import Mapping

from fama.errors import BadInput


def refuse_unused(args: argparse.Namespace, flags: Mapping[str, object], why: str) -> None:
    """Refuse flags that are not at their default where nothing reads them; ``flags`` are names with defaults.

    Raises:
        BadInput: names the first one.
    """
    for name, default in flags.items():
        if (value := getattr(args, name)) != default:
            shown = "" if isinstance(value, bool) else f" {value}"
            raise BadInput(f"--{name.replace('_', '-')}{shown}: {why}; leave it out")
