"""``fama run``: tasks of a benchmark with one selector → episodes.jsonl, summary.json."""

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from fama.agents.settings import RunSettings
from fama.config import add_config_flags, read_settings
from fama.errors import FamaError

if TYPE_CHECKING:
    from fama.agents.summary import RunSummary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    add_config_flags(parser, out_default="runs/run")
    parser.add_argument("--progress", action="store_true", help="show the progress bar where there is no terminal too")


def main(args: argparse.Namespace) -> int:
    """Run the episodes that are not there yet; returns the exit code."""
    settings = read_settings(args, RunSettings)
    if settings is None:
        return 0
    from fama.agents.runner import Planned, load_benchmark, run_planned, select_tasks

    out = Path(args.out)
    benchmark = load_benchmark(settings)
    tasks = select_tasks(settings, benchmark)
    plan = [Planned(task, trial, settings.selector) for trial in range(settings.trials) for task in tasks]
    try:
        summary = asyncio.run(
            run_planned(settings, plan, out, benchmark=benchmark, progress=True if args.progress else None)
        )
    except KeyboardInterrupt:
        raise FamaError(
            f"interrupted; finished episodes are kept in {out}, the same command goes on from there"
        ) from None
    _print_summary(summary, out)
    status = summary.overall.status
    if status.get("error", 0):
        print(f"{status['error']} episodes ended in errors; the same command runs them again")
    return 1 if status.get("error", 0) == summary.overall.episodes else 0


def _print_summary(summary: "RunSummary", out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{out}/episodes.jsonl")
    for column in (
        "selector",
        "episodes",
        "success",
        "failure",
        "error",
        "rate",
        "tokens",
        "cached",
        "s/episode",
        "ends",
    ):
        table.add_column(column, justify="left" if column in ("selector", "ends") else "right")
    for name, arm in summary.arms.items():
        rate = "-" if arm.success_rate is None else f"{arm.success_rate:.0%}"
        ends = ", ".join(f"{reason} {count}" for reason, count in arm.reasons.items())
        counts = [str(arm.status.get(status, 0)) for status in ("success", "failure", "error")]
        tokens = [f"{arm.tokens[role]:,.0f}" if role in arm.tokens else "-" for role in ("total", "cached")]
        seconds = "-" if arm.seconds is None else f"{arm.seconds:.1f}"
        table.add_row(name, str(arm.episodes), *counts, rate, *tokens, seconds, ends)
    Console().print(table)
