"""``fama compare``: arms on the same tasks, trials and seeds → comparison.json."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fama.config import add_config_flags, read_settings

if TYPE_CHECKING:
    from eval.compare.schema import Comparison
    from eval.planning.comparison_plan import ComparisonPlan
    from fama.settings import CompareSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    add_config_flags(parser, out_default="runs/compare", executor=True)
    parser.add_argument(
        "--plan",
        action="store_true",
        help="run nothing; check settings, arms and files, and print what so many tasks and trials can find and take",
    )
    parser.add_argument(
        "--tokens-per-second",
        type=_positive,
        default=1000.0,
        metavar="N",
        help="new tokens per second of one card, for the GPU hours of --plan (1000: a unit, not a measurement)",
    )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def main(args: argparse.Namespace) -> int:
    """Run or replay what is missing, write the comparison, print its table."""
    import asyncio

    from eval.compare.comparison import run_comparison
    from fama.agents.runs.run_config import COMPARISON
    from fama.commands.terminal import console
    from fama.provenance import command_line
    from fama.settings import CompareSettings

    settings = read_settings(args, CompareSettings)
    if settings is None:
        return 0
    if args.plan:
        return _plan(settings, Path(args.out), args.tokens_per_second)
    out = Path(args.out)
    comparison = asyncio.run(run_comparison(settings, out, command=command_line()))
    print_comparison(comparison)
    episodes = sum(arm.measures.episodes for arm in comparison.arms)
    errors = sum(sum(arm.measures.errors.values()) for arm in comparison.arms)
    console().print(f"{out / COMPARISON}: {episodes} episodes; fama report {out} makes the report")
    return 1 if errors == episodes else 0


def _plan(settings: "CompareSettings", out: Path, per_second: float) -> int:
    from eval.metrics.formats import detectable_points
    from eval.planning.comparison_plan import plan_comparison
    from eval.planning.sample_size import EFFECTS
    from fama.commands.terminal import console, names, numbers, print_note, print_table

    plan = plan_comparison(settings, out)
    varies = plan.spread.between is not None
    needed = (f"tasks for {100 * effect:.0f} points" for effect in EFFECTS)
    found = [f"found with {plan.tasks} tasks, points", *(["if it varies by task"] if varies else [])]
    rows = [
        (
            str(row.alike.trials),
            *(detectable_points(one.detectable, 1) for one in row if one is not None),
            *map(str, row.alike.needed),
        )
        for row in plan.power
    ]
    screen = console()
    print_table(screen, [*names("trials"), *numbers(*found, *needed)], rows)
    spread, holm = plan.spread, plan.holm
    print_note(
        screen,
        "A paired test at 5 % that finds the difference 4 times in 5; two arms end differently on "
        f"{spread.discordance:.0%} of the trials ({spread.source}). More trials help only as far as the tasks do not "
        f"differ. Holm over {max(1, plan.arms - 1)} comparisons asks for more: "
        f"{detectable_points(holm.alike.detectable, 1)} points at {plan.trials} trials. "
        f"This config: {plan.arms} arms × {plan.tasks} tasks × {plan.trials} trials = {plan.episodes} episodes.",
    )
    if spread.between is not None:
        print_note(
            screen,
            "If it varies by task: the true difference has a standard deviation between tasks of "
            f"{100 * spread.between**0.5:.0f} points, the largest of two strategies in logs.",
        )
    if settings.replay:
        print_note(screen, f"Replayed from {settings.replay}: no episode is run.")
    else:
        _print_cost(plan, settings, per_second)
    for line in plan.elsewhere:
        print_note(
            screen,
            f"{settings.outcomes} is of {line}, this config runs {plan.here}: right for a transfer; otherwise set "
            "options to the table's (`{phrases: first}` for helpdesk-1.1), or run `fama outcomes` with these settings.",
        )
    for line in plan.missing:
        print_note(screen, f"Missing before the run: {line}", style="yellow")
    return 0


def _print_cost(plan: "ComparisonPlan", settings: "CompareSettings", per_second: float) -> None:
    from eval.metrics.formats import span
    from fama.commands.terminal import console, print_note

    screen, cost, expected = console(), plan.cost, plan.expected
    if cost is not None and (cost.measured or expected is None):
        spent = "unknown" if cost.tokens is None else f"{round(cost.tokens, -3) or cost.tokens:,.0f}"
        hours = "unknown" if cost.hours is None else f"{cost.hours:,.1f}"
        print_note(
            screen,
            f"To run: {cost.episodes} episodes, about {spent} tokens of agent, helpers and selection; hours: {hours} "
            f"at concurrency {settings.concurrency}. Basis: {cost.basis}.",
        )
    if expected is not None:
        millions = [span(part.low / 1e6, part.high / 1e6) for part in (expected.agent.read, expected.agent.new)]
        added, user = expected.added.new, expected.user.new
        gpu = [span(h.low, h.high) for h in (expected.hours(per_second), expected.user_hours(per_second))]
        print_note(
            screen,
            f"Millions of tokens of all {plan.episodes} episodes: the agent reads {millions[0]}, new to its server are "
            f"{millions[1]}; helpers and selection add {span(added.low / 1e6, added.high / 1e6)} new ones, the user's "
            f"model {span(user.low / 1e6, user.high / 1e6)}. GPU hours at {per_second:,.0f} new tokens per second and "
            f"card: {gpu[0]} for the backbone, {gpu[1]} for the user. Basis: {expected.basis.words}.",
        )


def print_comparison(comparison: "Comparison") -> None:
    """Print a comparison as a table, with what is simulated and what to beware of below it."""
    from eval.commands.footnotes import unknown_cost
    from eval.metrics.formats import DASH, count, error_counts, p_value, percent
    from eval.report.health_table import BROKEN, BROKEN_NOTE
    from fama.commands.terminal import Column, console, names, numbers, print_note, print_table

    most = comparison.trials
    titles = ["success %", *([f"pass^{most} %"] if most > 1 else []), f"against {comparison.plain}, points", "p, Holm"]
    titles += ["tokens/episode", f"over {comparison.plain}, %", "tokens/success", "right subset %"]
    rows = []
    for arm in comparison.arms:
        m, versus, chosen = arm.measures, arm.versus_none, arm.selection
        last = next((e.estimate for e in m.pass_k if e.k == most), None)
        mark = f" {BROKEN}" if arm.broken else ""
        row = (
            f"{arm.arm}{mark}",
            percent(m.success),
            *([percent(last) if last else DASH] if most > 1 else []),
            percent(versus.estimate, signed=True) if versus else DASH,
            p_value(versus.p_holm) if versus else DASH,
            count(m.tokens),
            percent(versus.overhead, 0, signed=True) if versus else DASH,
            count(m.tokens_per_success),
            f"{percent(chosen.exact, 0)}{mark}" if chosen else DASH,
            error_counts(m.errors),
        )
        rows.append(row)
    screen = console()
    print_table(screen, [*names("arm"), *numbers(*titles), Column("error", "words")], rows)
    nothing = percent(comparison.do_nothing)
    best = ""
    if comparison.lattice:
        best = f"; best executed subset per task: {percent(comparison.lattice.oracle)}{comparison.grid_part}"
    print_note(screen, f"Doing nothing scores {nothing} %{best}. {comparison.tasks} tasks; 95 % intervals over tasks.")
    wrong = f"without the {len(comparison.wrong_tasks)} tasks known to be wrong"
    corrected = []
    for arm in comparison.arms:
        if (right := arm.corrected) is not None:
            against = f", {percent(right.versus_none.estimate, signed=True)} points" if right.versus_none else ""
            corrected.append(f"{arm.arm} {wrong}: {percent(right.success)} %{against}")
    unknown = unknown_cost((arm.measures for arm in comparison.arms), "the server reported no usage")
    marked = [BROKEN_NOTE] if any(arm.broken for arm in comparison.arms) else []
    for line in (*corrected, *unknown, *marked, *comparison.simulated, *comparison.warnings):
        print_note(screen, line)
