"""``fama compare``: arms on the same tasks, trials and seeds → comparison.json."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fama.config import add_config_flags, read_settings

if TYPE_CHECKING:
    from eval.compare.schema import Comparison
    from fama.settings import CompareSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    add_config_flags(parser, out_default="runs/compare", executor=True)
    parser.add_argument(
        "--plan",
        action="store_true",
        help="run nothing; check settings, arms and files, and print what so many tasks and trials can find",
    )


def main(args: argparse.Namespace) -> int:
    """Run or replay what is missing, write the comparison, print its table."""
    import asyncio

    from eval.compare.comparison import COMPARISON, run_comparison
    from fama.commands.terminal import console
    from fama.provenance import command_line
    from fama.settings import CompareSettings

    settings = read_settings(args, CompareSettings)
    if settings is None:
        return 0
    if args.plan:
        return _plan(settings, Path(args.out))
    out = Path(args.out)
    comparison = asyncio.run(run_comparison(settings, out, command=command_line()))
    show(comparison)
    episodes = sum(arm.measures.episodes for arm in comparison.arms)
    errors = sum(sum(arm.measures.errors.values()) for arm in comparison.arms)
    console().print(f"{out / COMPARISON}: {episodes} episodes; fama report {out} makes the report")
    return 1 if errors == episodes else 0


def _plan(settings: "CompareSettings", out: Path) -> int:
    from eval.compare.comparison import check_arms
    from eval.planning.run_cost import estimate_cost
    from eval.planning.sample_size import EFFECTS, GUESS, discordance_of, plans
    from eval.metrics.formats import number
    from fama.agents.runs.plan import load_benchmark, select_tasks
    from fama.commands.terminal import console, names, numbers, print_note, print_table
    from fama.episodes.outcome_table import read_outcomes

    world = load_benchmark(settings)
    chosen = select_tasks(settings, world)
    tasks = len(chosen)
    check_arms(settings)
    table = read_outcomes(settings.outcomes) if settings.outcomes else []
    measured = discordance_of(table)
    discordance, source = GUESS, "a guess; name an outcome table with outcomes=F to measure it"
    if measured is not None:
        discordance, source = measured[0], f"of {measured[1]} pairs of executed subsets in {settings.outcomes}"
        if not discordance:  # nothing was seen to vary: the most that is still plausible, by the rule of three
            discordance, source = min(1.0, 3.0 / measured[1]), f"at most, by the rule of three: none {source}"
    needed = (f"tasks for {100 * effect:.0f} points" for effect in EFFECTS)
    columns = [*names("trials"), *numbers(f"found with {tasks} tasks, points", *needed)]
    rows = [
        (str(plan.trials), number(plan.detectable and 100 * plan.detectable, 1), *map(str, plan.needed))
        for plan in plans(tasks, discordance)
    ]
    screen = console()
    print_table(screen, columns, rows)
    arms, trials = len(settings.arms), settings.trials
    print_note(
        screen,
        f"A paired test at 5 % that finds the difference 4 times in 5; two arms end differently on {discordance:.0%} "
        f"of the trials ({source}). More trials help only as far as the tasks do not differ. Holm over "
        f"{max(1, arms - 1)} comparisons asks for more. "
        f"This config: {arms} arms × {tasks} tasks × {trials} trials = {arms * tasks * trials} episodes.",
    )
    if settings.replay:
        print_note(screen, f"Replayed from {settings.replay}: no episode is run.")
        return 0
    cost = estimate_cost(settings, chosen, out, table)
    spent = "unknown" if cost.tokens is None else f"{round(cost.tokens, -3):,.0f}"
    hours = "unknown" if cost.hours is None else f"{cost.hours:,.1f}"
    print_note(
        screen,
        f"To run: {cost.episodes} episodes, about {spent} tokens of agent, helpers and selection; hours: {hours} at "
        f"concurrency {settings.concurrency}. Basis: {cost.basis}.",
    )
    own = {f"{version} {domain}" for domain, version in world.versions(settings.domain).items()}
    here = " and ".join(sorted(own))
    for there in sorted({f"{row.benchmark_version or 'unknown version'} {row.domain}" for row in table} - own):
        print_note(
            screen,
            f"{settings.outcomes} is of {there}, this config runs {here}: right for a transfer; otherwise set options "
            "to the table's (`{phrases: first}` for helpdesk-1.1), or run `fama outcomes` with these settings.",
        )
    return 0


def show(comparison: "Comparison") -> None:
    """Print a comparison as a table, with what is simulated and what to beware of below it."""
    from eval.commands.footnotes import unknown_cost
    from eval.metrics.formats import DASH, count, errors, p_value, percent
    from eval.report.health_table import BROKEN, BROKEN_NOTE
    from fama.commands.terminal import Column, console, names, numbers, print_note, print_table

    most = comparison.trials
    titles = ["success %", *([f"pass^{most} %"] if most > 1 else []), "against none, points", "p"]
    titles += ["tokens/episode", "over none, %", "tokens/success", "right subset %"]
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
            errors(m.errors),
        )
        rows.append(row)
    screen = console()
    print_table(screen, [*names("arm"), *numbers(*titles), Column("error", "words")], rows)
    nothing = percent(comparison.do_nothing)
    best = f"; best executed subset a task: {percent(comparison.lattice.oracle)}" if comparison.lattice else ""
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
