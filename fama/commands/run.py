"""``fama run``: tasks of a benchmark with one selector → episodes.jsonl, summary.json."""

import argparse
import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from fama.commands.terminal import DASH, Column, console, names, print_note, print_table
from fama.config import add_config_flags, read_settings
from fama.errors import FamaError
from fama.settings import RunSettings

if TYPE_CHECKING:
    from fama.agents.runs.summary import ArmSummary, RunSummary
    from fama.selection.health import SelectorHealth

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    add_config_flags(parser, out_default="runs/run", executor=True)
    parser.add_argument("--progress", action="store_true", help="show the progress bar where there is no terminal too")


def main(args: argparse.Namespace) -> int:
    """Run the episodes that are not there yet; return the exit code."""
    settings = read_settings(args, RunSettings)
    if settings is None:
        return 0
    from fama.agents.runs.plan import Planned, load_benchmark, select_tasks
    from fama.agents.runs.runner import run_planned
    from fama.agents.runs.stale_routers import stale_router, text_hashes
    from fama.selection.base import SELECTORS

    out = Path(args.out)
    benchmark = load_benchmark(settings)
    tasks = select_tasks(settings, benchmark)
    plan = [Planned(task, trial, settings.selector) for trial in range(settings.trials) for task in tasks]
    if stale := stale_router(settings.selector, text_hashes(settings), settings.helpers):
        log.warning(stale)
    try:
        summary = asyncio.run(
            run_planned(settings, plan, out, benchmark=benchmark, progress=True if args.progress else None)
        )
    except KeyboardInterrupt:
        raise FamaError(
            f"interrupted; finished episodes are kept in {out}, the same command goes on from there"
        ) from None
    _print_summary(summary, out, SELECTORS.traits(settings.selector.name).blind)
    status = summary.overall.status
    if status.get("error", 0):
        print(f"{status['error']} episodes ended in errors; the same command runs them again")
    return 1 if status.get("error", 0) == summary.overall.episodes else 0


def _print_summary(summary: "RunSummary", out: Path, blind: bool) -> None:
    arms = [_measures(arm) for arm in summary.arms.values()]
    rows = [(measure, *(arm[measure] for arm in arms)) for measure in (arms[0] if arms else ())]
    columns = [*names("measure"), *(Column(arm, "words") for arm in summary.arms)]
    from fama.selection.health import cut_by_budget

    screen = console()
    print_table(screen, columns, rows, title=str(out / "episodes.jsonl"))
    for name, arm in summary.arms.items():
        health = arm.health.warnings(name, blind) if arm.health is not None else ()
        for line in (*health, *cut_by_budget(name, arm.cut)):
            print_note(screen, line)


def _measures(arm: "ArmSummary") -> dict[str, str]:
    """Return one column of the table; means are over the episodes that did not end in an error."""
    status = arm.status
    rate = DASH if arm.success_rate is None else f"{arm.success_rate:.0%}"
    endings = sorted(arm.reasons.items(), key=lambda item: -item[1])
    return {
        "episodes": f"{arm.episodes}",
        "success": f"{status.get('success', 0)} ({rate})",
        "failure": f"{status.get('failure', 0)}",
        "error": f"{status.get('error', 0)}",
        "ended by": ", ".join(f"{reason} {count}" for reason, count in endings),
        "mean tokens": _number(arm.tokens.get("total"), 0),
        "cached, of the agent": _number(arm.tokens.get("cached"), 0),
        "mean decisions": _number(arm.decisions, 1),
        "mean seconds": _number(arm.seconds, 1),
        "unparsed replies": f"{arm.parse_failures}",
        **(_health(arm.health) if arm.health is not None else {}),
    }


def _health(health: "SelectorHealth") -> dict[str, str]:
    """Return the rows about the selector."""
    from fama.selection.health import portion

    counts = {"unparsed": health.unparsed, "truncated": health.truncated, "asked again": health.repaired}
    return {
        "selections": f"{health.selections}",
        **{f"of these {what}": DASH if n is None else portion(n, health.selections) for what, n in counts.items()},
        "left without helpers": portion(health.fell_back, health.selections),
        "not asked, no budget": f"{health.unaffordable}",
        "subsets chosen": f"{health.subsets} in {health.chosen} selections",
    }


def _number(value: float | None, digits: int) -> str:
    return DASH if value is None else f"{value:,.{digits}f}"
