"""``fama outcomes``: run randomised helper subsets and write their outcome table."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fama.config import add_config_flags, read_settings

if TYPE_CHECKING:
    from eval.collect.outcomes import WrittenTable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    add_config_flags(parser, out_default="runs/outcomes", executor=True)


def main(args: argparse.Namespace) -> int:
    """Run what is missing, write the table, print success and tokens by subset."""
    import asyncio

    from eval.collect.outcomes import run_outcomes
    from fama.provenance import command_line
    from fama.settings import OutcomesSettings

    settings = read_settings(args, OutcomesSettings)
    if settings is None:
        return 0
    written = asyncio.run(run_outcomes(settings, Path(args.out), command=command_line()))
    _show(written)
    if written.errors:
        sys.stderr.write(f"fama: {written.errors} episodes ended in an error; the same command runs them again\n")
    return 1 if written.errors == written.episodes else 0


def _show(written: "WrittenTable") -> None:
    from eval.commands.footnotes import unknown_cost
    from eval.metrics.episode_scores import score_of_row
    from eval.metrics.formats import count, error_counts, percent
    from eval.metrics.measures import Resampling
    from eval.metrics.summary import summarise_scores
    from fama.commands.terminal import Column, console, names, numbers, print_note, print_table
    from fama.subsets import split_subset, subset_label

    summaries = summarise_scores(
        [score_of_row(row, subset_label(split_subset(row.subset))) for row in written.rows], Resampling()
    )
    rows = [
        (one.selector, str(m.tasks), str(m.episodes), error_counts(m.errors), percent(m.success), count(m.tokens))
        for one in sorted(summaries, key=lambda s: -(s.measures.success.value or 0.0))
        for m in (one.measures,)
    ]
    columns = [
        *(*names("subset"), *numbers("tasks", "episodes")),
        *(Column("error", "words"), *numbers("success %", "tokens/episode")),
    ]
    screen = console()
    print_table(screen, columns, rows)
    for line in unknown_cost((one.measures for one in summaries), "the server reported no usage"):
        print_note(screen, line)
    drawn: dict[tuple[str, str], set[str]] = {}
    for row in written.rows:
        drawn.setdefault((row.domain, row.task_id), set()).add(row.subset)
    if len({frozenset(subsets) for subsets in drawn.values()}) > 1:
        print_note(screen, "Different tasks drew different subsets: compare them with `fama compare`.")
    if written.fewer:
        print_note(
            screen,
            f"{written.fewer} tasks and trials were run with some of their {written.draws} subsets only: propensities "
            "count the others as left out by chance.",
        )
    screen.print(f"{written.path}: {len(written.rows)} episodes, {written.planned} planned")
