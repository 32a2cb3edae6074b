"""``fama mine-check EPISODES REPAIRS``: mined repairs against every subset of what the effect map leaves open."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fama.config import add_config_flags, read_settings
from fama.errors import FamaError

if TYPE_CHECKING:
    from rich.console import Console

    from eval.mine_check.records import CheckedFailure, CheckSummary, Grid
    from eval.mine_check.summary import Measure
    from fama.mining.records import Repair

RESULT = "mine-check.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("episodes", metavar="EPISODES", help="folder of `fama run` that was mined")
    parser.add_argument("repairs", metavar="REPAIRS", help="folder that `fama mine` wrote")
    add_config_flags(parser, out_default="runs/mine-check")


def main(args: argparse.Namespace) -> int:
    """Run the grids that are not there yet; write and print how mining compares."""
    import fama
    from eval.mine_check.check import check_repairs
    from eval.mine_check.records import MineCheck
    from eval.mine_check.settings import MineCheckSettings
    from eval.mine_check.summary import checked_failure, summarise_checks
    from fama.commands.terminal import console, printable
    from fama.files import write_atomically
    from fama.mining.mined_folder import read_repairs
    from fama.provenance import command_line, git_commit

    settings = read_settings(args, MineCheckSettings)
    if settings is None:
        return 0
    out, repairs = Path(args.out), read_repairs(Path(args.repairs))
    try:
        found = asyncio.run(check_repairs(Path(args.episodes), repairs, out, settings, told=_tell))
    except KeyboardInterrupt:
        raise FamaError(f"interrupted; finished grids are kept in {out}, the same command goes on from there") from None
    for line in found.refused:
        sys.stderr.write(f"fama: {printable(line)}\n")
    if not found.checked:
        return 1
    failures = tuple(checked_failure(record, grid) for record, grid in found.checked)
    check = MineCheck(
        command=command_line(),
        config=dict(repairs.content),
        package_version=fama.__version__,
        git_commit=git_commit(),
        summary=summarise_checks(failures, settings.seed),
        failures=failures,
        refused=found.refused,
    )
    write_atomically(out / RESULT, check.model_dump_json(indent=2) + "\n")
    screen = console()
    _print_failures(screen, failures)
    _print_summary(screen, check.summary)
    screen.print(f"{out / RESULT}: {check.summary.failures} failures of {check.summary.tasks} tasks")
    return 0


def _tell(record: "Repair", grid: "Grid") -> None:
    counts = f"{len(grid.runs)} subsets, {len(grid.successes)} repair, {grid.calls} calls"
    sys.stderr.write(f"{record.domain}/{record.task_id}: {counts}\n")


def _print_failures(screen: "Console", failures: "tuple[CheckedFailure, ...]") -> None:
    from fama.commands.terminal import DASH, Column, names, numbers, print_note, print_table
    from fama.subsets import subset_label

    marks = {None: DASH, True: "yes", False: "no"}
    rows = [
        (
            one.task,
            str(one.trial),
            one.verdict,
            DASH if one.members is None else subset_label(one.members),
            subset_label(one.grid.open),
            f"{len(one.grid.successes)} of {len(one.grid.runs)}",
            DASH if one.least_size is None else str(one.least_size),
            marks[one.smallest],
            marks[one.cheapest],
            str(one.mined_calls),
            str(one.grid.calls),
        )
        for one in failures
    ]
    columns = [*names("task", "trial"), *(Column(title, "words") for title in ("mined", "subset", "left open"))]
    columns += numbers("grid repairs", "least size", "smallest", "cheapest", "mining calls", "grid calls")
    print_table(
        screen, columns, rows, title="Failures, as mined and in the grid of subsets asked before every decision"
    )
    print_note(screen, "smallest, cheapest: the mined subset succeeds in the grid with the least size, note tokens.")


def _print_summary(screen: "Console", summary: "CheckSummary") -> None:
    from eval.mine_check.summary import measures
    from fama.commands.terminal import names, numbers, print_note, print_table

    rows = [(one.name, one.over, *_format_measure(one)) for one in measures(summary)]
    screen.print()
    print_table(screen, [*names("measure", "over"), *numbers("value", "95 % interval", "tasks")], rows)
    print_note(screen, "repairable: by the grid or by mining. Intervals are over tasks.")
    if summary.incomplete:
        print_note(screen, f"{summary.incomplete} of the failures were mined within a budget that ran out.")
    if summary.grid_errors:
        print_note(screen, f"{summary.grid_errors} runs of the grid ended in an error; they count as no repair.")


def _format_measure(one: "Measure") -> tuple[str, str, str]:
    from fama.commands.terminal import DASH

    scale, digits = (100, 0) if one.share else (1, one.digits)

    def format_number(value: float | None) -> str:
        return DASH if value is None else f"{scale * value:.{digits}f}"

    interval = one.value
    ends = DASH if interval.low is None else f"[{format_number(interval.low)}, {format_number(interval.high)}]"
    return format_number(interval.value), ends, str(interval.n)
