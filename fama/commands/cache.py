"""``fama cache RUN...``: the replies of recorded episodes → a response cache."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folders of `fama run` or `fama compare`, published ones too"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the cache, as model.cache names it")


def main(args: argparse.Namespace) -> int:
    """Fill the cache; return the exit code."""
    from fama.agents.recorded_calls import RecordedReplies
    from fama.agents.runs.plan import load_benchmark
    from fama.agents.runs.run_config import read_run_settings
    from fama.commands.terminal import Column, console, names, numbers, print_note, print_table
    from fama.episodes.store import read_episodes
    from fama.errors import BadInput

    rows = []
    for run, settings in [(run, read_run_settings(run)) for run in map(Path, args.runs)]:
        replies = RecordedReplies(settings, load_benchmark(settings))
        kept = replies.keep(read_episodes(run), Path(args.out))
        why = "; ".join(f"{count:,} {reason}" for reason, count in sorted(kept.left_out.items()))
        if not kept.new and not kept.there:
            raise BadInput(f"{run}: no reply to keep ({why or 'no decision in its episodes'})")
        rows.append((str(run), f"{kept.new:,}", f"{kept.there:,}", f"{kept.other:,}", why))
    screen = console()
    print_table(
        screen,
        [*names("run"), *numbers("kept", "there before", "with another reply"), Column("left out", "words")],
        rows,
    )
    print_note(screen, f"Decisions of the agent; go on with model.cache={args.out}")
    return 0
