"""``fama value --config F``: what selectors would achieve, estimated from logged subsets with propensities."""

import argparse
import asyncio
import json
import logging
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from fama.config import add_config_flags, read_settings
from fama.errors import BadInput

if TYPE_CHECKING:
    from eval.off_policy import OffPolicy
    from fama.settings import CompareSettings

VALUE = "value.json"
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    add_config_flags(parser, out_default="runs/value")


def main(args: argparse.Namespace) -> int:
    """Let every arm choose on the table's tasks, estimate its value four ways, write and print it."""
    from eval.compare.arm_replay import check_replayable
    from fama.files import write_atomically
    from fama.settings import CompareSettings

    settings = read_settings(args, CompareSettings)
    if settings is None:
        return 0
    if not settings.replay:
        raise BadInput("replay: name the outcome table to estimate from, e.g. replay=results/outcomes.parquet")
    check_replayable(settings)
    for name in settings.changed("lambdas", "questions", "lattice"):
        log.warning("%s: fama value does not read it; it has no effect", name)
    found, beware = asyncio.run(_values(settings))
    out = Path(args.out) / VALUE
    write_atomically(out, json.dumps([one.model_dump() for one in found], indent=2) + "\n")
    _show(found, beware)
    sys.stdout.write(f"{out}\n")
    return 0


async def _values(settings: "CompareSettings") -> "tuple[list[OffPolicy], list[str]]":
    """Return the value of every arm, and what to beware of in its inputs and its selector's choices."""
    from eval.collect.outcomes import with_executed
    from eval.compare.arm_replay import replay_arm, select_rows, unheld_limits
    from eval.compare.arms import build_arms, read_task_labels
    from eval.compare.lazy_models import lazy_helper_model
    from eval.compare.stale_inputs import stale_inputs
    from eval.compare.task_sets import learned_from, outside_split, task_splits
    from eval.off_policy import off_policy
    from fama.agents.runs.plan import load_benchmark
    from fama.episodes.outcome_table import read_metadata, read_outcomes
    from fama.helpers.pool import build_pool
    from fama.selection.base import SELECTORS

    path = str(settings.replay)
    world = load_benchmark(settings)
    rows = with_executed(read_outcomes(path, world.versions(settings.domain)), read_metadata(path))
    table = select_rows(rows, settings, path, task_splits(settings, world))
    helpers = build_pool(settings.helpers)
    async with AsyncExitStack() as stack:
        model = lazy_helper_model(settings, stack)
        found: list[OffPolicy] = []
        beware = [
            *unheld_limits(settings),
            *outside_split(settings, world, table.tasks),
            *learned_from(settings, table.tasks),
            *stale_inputs(settings),
        ]
        blind = {arm.arm: SELECTORS.traits(arm.name).blind for arm in settings.arms}
        for arm, selector in build_arms(settings, helpers, model, read_task_labels(settings)).items():
            replayed = await replay_arm(arm, selector, table, settings, helpers)
            # Where no choice could be read, no helper is what would have been used.
            choices = {key: chosen or "" for key, (_, chosen) in zip(table.keys, replayed.choices, strict=True)}
            found.append(off_policy(arm, choices, table.rows, settings.bootstrap, settings.seed))
            beware += replayed.health.warnings(arm, blind[arm])
        return found, beware


def _show(found: "list[OffPolicy]", beware: list[str]) -> None:
    from eval.metrics.formats import percent
    from fama.commands.terminal import console, names, numbers, print_note, print_table

    measures = numbers("matched tasks", "errors", "IPS %", "self-normalised %", "direct %", "doubly robust %")
    rows = [
        (
            one.arm,
            f"{one.matched} of {one.tasks}",
            str(one.errors),
            *map(percent, (one.ips, one.snips, one.direct, one.doubly_robust)),
        )
        for one in found
    ]
    screen = console()
    print_table(screen, [*names("arm"), *measures], rows)
    print_note(screen, "95 % intervals over tasks. An arm that learned from these very tasks is flattered by all four.")
    if any(one.errors for one in found):
        print_note(screen, "Errors: chosen episodes that a server or the benchmark broke; they are in no rate.")
    for one in found:
        if one.warning:
            print_note(screen, f"{one.arm}: {one.warning}")
    for line in beware:
        print_note(screen, line)
