"""``fama report``: a comparison as one offline page, Markdown, LaTeX tables and figures; or many as a leaderboard."""

import argparse
import sys
from pathlib import Path

from fama.errors import BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("folders", metavar="DIR", nargs="+", help="folder with the comparison.json of `fama compare`")
    parser.add_argument(
        "--leaderboard", metavar="OUT", help="verify the comparisons of all DIRs and write them as one page into OUT"
    )
    parser.add_argument(
        "--wandb",
        choices=("offline", "online"),
        nargs="?",
        const="offline",
        help="log to wandb, too (default: offline)",
    )


def main(args: argparse.Namespace) -> int:
    """Write the report beside the comparison and say where it is."""
    from eval.report.page import write_report

    folders = [Path(name) for name in args.folders]
    if args.leaderboard and args.wandb:
        raise BadInput("--wandb: logs one comparison; leave it out with --leaderboard, or run fama report DIR --wandb")
    if args.leaderboard:
        from eval.report.leaderboard import write_leaderboard

        sys.stdout.write("".join(f"{file}\n" for file in write_leaderboard(folders, Path(args.leaderboard))))
        return 0
    if len(folders) > 1:
        raise BadInput("fama report: one DIR at a time; several go on one page with --leaderboard OUT")
    written = write_report(folders[0])
    page = written.files[0]
    sys.stdout.write(f"{page}: open it in a browser ({written.transcripts} transcripts inside)\n")
    sys.stdout.write("".join(f"{file}\n" for file in written.files[1:]))
    if args.wandb:
        from eval.report.tracking import log_comparison

        if place := log_comparison(folders[0], args.wandb):
            sys.stdout.write(f"{place}: a wandb run, {args.wandb}\n")
    return 0
