"""``fama report``: a comparison as one offline page, Markdown, LaTeX tables and figures."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("folder", metavar="DIR", help="folder with the comparison.json of `fama compare`")


def main(args: argparse.Namespace) -> int:
    """Write the report beside the comparison and say where it is."""
    from eval.report import write_report

    written = write_report(Path(args.folder))
    page = written.files[0]
    sys.stdout.write(f"{page}: open it in a browser ({written.transcripts} transcripts inside)\n")
    sys.stdout.write("".join(f"{file}\n" for file in written.files[1:]))
    return 0
