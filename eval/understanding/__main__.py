"""Measure what the helpdesk user understands: ``python -m eval.understanding``; ``--errors`` lists what it misses."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.understanding.hearing import hear
from eval.understanding.hearing_tables import hearing_errors, hearing_tables
from eval.understanding.labelled_replies import DATA, LABELS, read_reply_labels
from fama.errors import BadInput


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or the list of errors; return 2 for bad input, told in one line."""
    parser = argparse.ArgumentParser(prog="python -m eval.understanding", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the episodes (default: %(default)s)")
    parser.add_argument("--labels", type=Path, help=f"file of labels (default: {LABELS} in that folder)")
    parser.add_argument("--errors", action="store_true", help="list what was missed or wrongly heard instead")
    args = parser.parse_args(arguments)
    try:
        replies = asyncio.run(hear(read_reply_labels(args.labels or args.data / LABELS), args.data))
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{hearing_errors(replies) if args.errors else hearing_tables(replies)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
