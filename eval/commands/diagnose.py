"""``fama diagnose DIR --out OUT``: episodes → failure labels, with a profile printed."""

import argparse
import asyncio
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from eval.readings.judge_flags import JUDGE_FLAGS, add_judge_flags, judge_settings
from fama.commands.flags import refuse_unused
from fama.commands.terminal import DASH, console, names, numbers, print_table, printable, row_name
from fama.config import add_executor_flag
from fama.diagnosis.diagnose import DiagnosisSummary, diagnose, group_of
from fama.diagnosis.orchestrator import rests_on
from fama.diagnosis.taxonomy import Taxonomy, load_taxonomy
from fama.dialogue.turns import shorten
from fama.episodes.records import NO_CAUSE, Episode, Evidence, Failure
from fama.episodes.store import read_episodes, read_failures
from fama.errors import BadInput
from fama.settings import ModelSettings
from fama.subsets import base_of

if TYPE_CHECKING:
    from eval.annotation.failure_profiles import CategoryShare, Profile
    from fama.helpers.base import Helper

#: A judge that gives one category to this share of at least so many failures is warned about.
ALIKE, ENOUGH = 0.9, 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("path", metavar="DIR", help="folder with episodes.jsonl, or the file")
    parser.add_argument("--out", metavar="OUT", required=True, help="folder that gets failures.jsonl and summary.json")
    parser.add_argument("--judge", metavar="NAME", default="none", help="model that judges (default: %(default)s)")
    add_judge_flags(parser)
    parser.add_argument(
        "--taxonomy", metavar="FILE", help="YAML file of failure categories in place of the shipped one"
    )
    parser.add_argument(
        "--repairs", metavar="MINED", help="folder of fama mine: what was executed outranks what is read"
    )
    add_executor_flag(parser)
    parser.add_argument("--figure", metavar="FILE", help="draw the profiles (.png, .pdf or .svg)")
    parser.add_argument("--show", metavar="N", type=int, default=0, help="print the first N failures as blocks")


def main(args: argparse.Namespace) -> int:
    """Diagnose; run again, it goes on where it stopped."""
    taxonomy = load_taxonomy(Path(args.taxonomy) if args.taxonomy else None)
    if args.no_evidence and args.judge == "none":
        raise BadInput("--no-evidence: without a judge the detectors' findings are all there is; add --judge NAME")
    if args.judge == "none":
        refuse_unused(args, JUDGE_FLAGS, "no judge is asked without --judge NAME")
    settings = judge_settings(args)
    if args.show < 0:
        raise BadInput(f"--show {args.show}: give at least 0")
    if args.repairs and args.executor == "ray":
        raise BadInput("--repairs: is read by the local executor alone; leave --executor ray out")
    if args.figure:
        from eval.report.figures import check_name

        check_name(args.figure)
    summary = asyncio.run(_run(args, taxonomy, None if args.judge == "none" else settings))
    screen = console()
    if args.show > 0:
        print_failures(screen, Path(args.path), Path(args.out), args.show, taxonomy)
    profiles = _profiles(Path(args.path), Path(args.out), taxonomy)
    print_profile(screen, summary, taxonomy, profiles)
    if args.judge != "none":
        from eval.readings.measured import lines_about
        from fama.diagnosis.judge_model import stated_sampling

        for line in lines_about(summary.labeller, taxonomy.version, args.context, stated_sampling(settings)):
            screen.print(Text(printable(line)), soft_wrap=True)
    if args.figure and profiles:
        from eval.annotation.failure_profiles import draw_profiles
        from eval.report.figures import save_figure

        save_figure(draw_profiles(list(profiles.values())), Path(args.figure))
        screen.print(Text(f"→ {args.figure}"), soft_wrap=True)
    screen.print(Text(f"→ {Path(args.out) / 'failures.jsonl'}"), soft_wrap=True)
    return 0


async def _run(args: argparse.Namespace, taxonomy: Taxonomy, settings: ModelSettings | None) -> DiagnosisSummary:
    path, out = Path(args.path), Path(args.out)
    from tqdm import tqdm

    from fama.diagnosis.judge_model import connect_judge
    from fama.diagnosis.ray_jobs import DiagnosisRecipe
    from fama.execution.ray_tasks import check_ray, ray_tasks
    from fama.models.connect import check_shared

    if args.executor == "ray":
        check_ray()
        if settings is not None:
            check_shared(settings, "the judge", "--judge-url")
    recipe = DiagnosisRecipe(settings, taxonomy, not args.no_evidence, args.context)
    async with AsyncExitStack() as stack:
        judge = await stack.enter_async_context(connect_judge(settings))
        label = stack.enter_context(ray_tasks(recipe, args.concurrency)) if args.executor == "ray" else None
        total = sum(e.outcome.status == "failure" for e in read_episodes(path)) if judge is not None else None
        bar = stack.enter_context(tqdm(total=total, unit="failure", file=sys.stderr, disable=judge is None))

        def step(episode: Episode, label: Failure | None) -> None:
            bar.update(1)

        return await diagnose(
            path,
            out,
            judge,
            taxonomy=taxonomy,
            use_evidence=recipe.use_evidence,
            context_tokens=recipe.context_tokens,
            progress=step,
            concurrency=args.concurrency,
            label=label,
            executed=executed(Path(args.repairs), taxonomy) if args.repairs else None,
        )


def executed(folder: Path, taxonomy: Taxonomy) -> dict[str, Evidence]:
    """Return what mined repairs show, by episode: the decision from which notes of the repair made it succeed.

    The category is the first one that a helper of the decision's notes stands for.

    Raises:
        BadInput: the folder holds no repairs.
    """
    from fama.helpers.pool import build_pool
    from fama.mining.mined_folder import read_repairs

    mined = read_repairs(folder)
    pool = build_pool(mined.helpers)
    found: dict[str, Evidence] = {}
    for repair in mined.records:
        if repair.kind != "failed" or repair.repair is None or repair.decisive is None:
            continue
        notes = [placed for placed in repair.repair if placed.decision == repair.decisive] or list(repair.repair)
        covers = [code for placed in notes for code in sorted(_covers(pool, placed.note.helper, taxonomy))]
        category = next(iter(covers), None)
        if category is None:
            continue
        told = "; ".join(f"{placed.note.helper}: {placed.note.text}" for placed in notes)
        quote = shorten(f"executed again, it succeeds with {len(repair.repair)} notes; here {told}", 240)
        found[repair.episode_id] = Evidence(source="executed:repair", category=category, step=repair.step, quote=quote)
    return found


def _covers(pool: "Mapping[str, Helper]", name: str, taxonomy: Taxonomy) -> frozenset[str]:
    """Return what a helper stands for; a note is signed with the helper's name, whatever its form."""
    own = frozenset().union(*(helper.covers for key, helper in pool.items() if base_of(key) == base_of(name)))
    return taxonomy.covered_by(name, own)


def _profiles(path: Path, out: Path, taxonomy: Taxonomy) -> "dict[str, Profile]":
    """Tabulate shares with intervals over tasks, a row per backbone × domain × strategy."""
    from eval.annotation.failure_profiles import profile

    labels = {label.episode_id: label for label in read_failures(out)}
    groups: dict[str, list[Failure]] = {}
    for episode in read_episodes(path):
        if episode.id in labels:
            groups.setdefault(group_of(episode), []).append(labels[episode.id])
    return {name: profile(name, found, (*taxonomy.codes, NO_CAUSE)) for name, found in sorted(groups.items())}


def print_profile(
    screen: Console, summary: DiagnosisSummary, taxonomy: Taxonomy, profiles: "dict[str, Profile] | None" = None
) -> None:
    """Print the table of primary categories by backbone × domain × strategy, and the counts around it."""
    title = "Failures by primary category: count and % [95 % over tasks]; one with two causes counts in both"
    rows = []
    total: Counter[str] = Counter()
    for name, counts in summary.profile.items():
        known = (profiles or {}).get(name)
        intervals = {share.category: share for share in known.shares} if known else {}
        parts = (DASH if part == "unknown" else part for part in name.split(" × "))
        rows.append((row_name(parts), *_cells(counts, taxonomy, intervals)))
        total.update(counts)
    if len(summary.profile) > 1:
        rows.append(("all", *_cells(total, taxonomy)))
    print_table(screen, [*names("backbone, domain, strategy"), *numbers("n", *taxonomy.codes, NO_CAUSE)], rows, title)
    blame = ", ".join(f"{who} {count}" for who, count in sorted(summary.blame.items())) or "nobody"
    lines = [
        f"{summary.failures} failures labelled by {summary.labeller} ({summary.labelled_now} now); blame: {blame}",
        "resting on: "
        + (", ".join(f"{kind} {count}" for kind, count in sorted(summary.rests_on.items())) or "nothing"),
        f"skipped: {summary.successes_skipped} successes, {summary.errors_skipped} errors",
    ]
    if not summary.failures:
        lines.append(
            "nothing to label: no episode failed"
            + ("; why episodes are errors: fama show DIR --status error" if summary.errors_skipped else "")
        )
    if summary.calls:
        spent = ", ".join(
            f"{role} {'unknown' if count is None else format(count, ',')}"
            for role, count in sorted(summary.tokens.items())
        )
        lines.append(f"{summary.calls} calls, {summary.unparsed} of them unparsed; tokens: {spent}")
        if 2 * summary.unparsed >= summary.calls:
            lines.append("warning: most answers cannot be read; a judge that thinks first needs more --judge-tokens")
        if same := _named_always(total, taxonomy):
            told = f"warning: the judge names {' and '.join(same)} for at least {ALIKE:.0%} of the failures"
            lines.append(f"{told}; such labels hardly tell failures apart, see how far to trust them with `fama agree`")
    if summary.without_reference and summary.labeller == "detectors":
        lines.append(
            f"{summary.without_reference} failures have no reference actions: use a judge (--judge NAME) or annotate "
            "(`fama annotate`); detectors alone find little there"
        )
    if guessed := total.get(NO_CAUSE):
        lines.append(f"{guessed} unexplained: no detector found a cause; `fama train` leaves them out unless asked")
    if summary.judge_errors:
        lines.append(f"{len(summary.judge_errors)} left unlabelled, the judge did not answer; run the command again")
    for line in lines:
        screen.print(Text(printable(line)), soft_wrap=True)


def _named_always(total: Mapping[str, int], taxonomy: Taxonomy) -> list[str]:
    """Return the categories that a judge gives to nearly all of enough failures."""
    n = total.get("n", 0)
    return [code for code in taxonomy.codes if n >= ENOUGH and total.get(code, 0) >= ALIKE * n]


def _cells(
    counts: dict[str, int] | Counter[str], taxonomy: Taxonomy, intervals: "Mapping[str, CategoryShare] | None" = None
) -> list[str]:
    n = counts.get("n", 0)
    cells = [str(n)]
    for code in (*taxonomy.codes, NO_CAUSE):
        count = counts.get(code, 0)
        share = (intervals or {}).get(code)
        known = share is not None and share.low is not None and share.high is not None
        spread = f" [{100 * share.low:.0f}, {100 * share.high:.0f}]" if known else ""  # type: ignore[union-attr,operator]
        cells.append(f"{count} {100 * count / n:.0f}%{spread}" if n else "0")
    return cells


def print_failures(screen: Console, path: Path, out: Path, count: int, taxonomy: Taxonomy) -> None:
    """Print the first labelled failures of a log as readable blocks."""
    labels = {label.episode_id: label for label in read_failures(out)}
    for episode in read_episodes(path):
        label = labels.get(episode.id)
        if label is None:
            continue
        if count == 0:
            return
        count -= 1
        screen.print(Text(printable(block(episode, label, taxonomy))), soft_wrap=True)
        screen.print()


def block(episode: Episode, label: Failure, taxonomy: Taxonomy) -> str:
    """Return one failure as text: task, categories, decisive step, quotes, rationale."""
    names = " + ".join(f"{code} {taxonomy.category(code).name}" for code in label.primary)
    others = [code for code in label.categories if code not in label.primary]
    guess = f"   (a guess: {NO_CAUSE})" if label.unexplained else ""
    lines = [
        f"task {episode.task_id}  {episode.benchmark}/{episode.domain}  trial {episode.trial}  blame: {label.blame}",
        f"  primary   {names}" + (f"   (also {', '.join(others)})" if others else "") + guess,
        f"  rests on  {rests_on(label)}",
        f"  step      message {label.step}" if label.step is not None else "  step      unknown",
    ]
    best = [item for item in label.evidence if item.category in label.primary]
    best.sort(key=lambda item: (item.step != label.step, item.step or 0))
    for item in best[:3]:
        text = textwrap.shorten(item.quote, 150, placeholder="…")
        lines.append(f"  evidence  [{item.step}] {item.source}: {text}")
    lines.append(textwrap.fill(label.rationale, 110, initial_indent="  because   ", subsequent_indent=" " * 12))
    return "\n".join(lines)
