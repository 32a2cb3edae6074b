"""``fama score``: success, pass^k and tokens of episodes, own or imported."""

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fama.errors import BadInput

if TYPE_CHECKING:
    from eval.metrics.measures import Measures
    from eval.metrics.summary import GroupSummary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("folders", nargs="+", metavar="DIR", help="folders with episodes.jsonl, or such files")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--bootstrap", type=int, default=2000, metavar="N", help="resamples per interval")


def main(args: argparse.Namespace) -> int:
    """Read the episodes one by one and print a line per group."""
    from eval.metrics.episode_scores import read_scores
    from eval.metrics.measures import Resampling
    from eval.metrics.run_settings import recorded_arms, settings_by_hash
    from eval.metrics.summary import summarise_scores

    if args.bootstrap < 100:
        raise BadInput(f"--bootstrap {args.bootstrap}: intervals need at least 100 resamples")
    paths = [Path(folder) for folder in args.folders]
    scores = read_scores(paths)
    if not scores:
        raise BadInput(f"{args.folders[0]}: holds no episodes; run `fama run` or `fama import` first")
    summaries = summarise_scores(scores, Resampling(draws=args.bootstrap), recorded_arms(paths))
    if args.json:
        sys.stdout.write(json.dumps([summary.model_dump() for summary in summaries], indent=2) + "\n")
    else:
        _show(summaries, settings_by_hash(paths))
    return 0


def _show(summaries: "list[GroupSummary]", settings: Mapping[str, Collection[str]]) -> None:
    from eval.commands.footnotes import short_tasks, unknown_cost
    from eval.metrics.formats import DASH
    from eval.metrics.summary import UNNAMED, distinctions
    from fama.commands.terminal import Column, console, names, numbers, print_note, print_table, row_name
    from fama.selection.health import cut_by_budget

    most = max(summary.measures.trials for summary in summaries)
    shown = [k for k in range(1, most + 1) if k <= 5 or k == most]
    columns = [
        *names("benchmark", "domain", "backbone", "strategy", "selector"),
        *(*numbers("tasks", "success", "failure"), Column("error", "words")),
        *numbers(*(f"pass^{k} %" for k in shown), "tokens/episode", "tokens/success", "s/episode"),
    ]
    lines = [
        (_identity(summary, note, apart), measures)
        for summary, apart in zip(summaries, distinctions(summaries, settings), strict=True)
        for note, measures in _variants(summary)
    ]
    imported = [one.measures for one in summaries if one.selector == UNNAMED]
    own = [one.measures for one in summaries if one.selector != UNNAMED]
    notes = ["95 % intervals over tasks. Errors are not failures and count in no rate."]
    notes += unknown_cost(imported, "the log does not say")
    notes += unknown_cost(own, "the server reported no usage")
    if any(len(m.pass_k) < most for _, m in lines):
        notes.append(f"{DASH} in pass^k: no task has k trials with a verdict")
    if len(lines) > len(summaries):
        notes.append("Wrong tasks, with reasons and source: fama/envs/exclusions.yaml")
    notes += [line for one in summaries for line in cut_by_budget(one.selector, one.cut)]
    screen = console()
    print_table(screen, columns, [(*identity, *_cells(m, shown)) for identity, m in lines])
    for note in (*notes, *(line for identity, m in lines for line in short_tasks(row_name(identity), m))):
        print_note(screen, note)


def _variants(summary: "GroupSummary") -> "Iterator[tuple[str, Measures]]":
    """Yield the measures of a group, and those without its wrong tasks if it has any."""
    yield "", summary.measures
    if summary.corrected is not None:
        yield f" without {len(summary.wrong_tasks)} wrong tasks", summary.corrected


def _identity(summary: "GroupSummary", note: str, apart: str) -> tuple[str, ...]:
    from eval.metrics.formats import DASH
    from eval.metrics.summary import UNNAMED

    selector = ", ".join(part for part in (summary.selector, apart) if part not in ("", UNNAMED))
    parts = (summary.benchmark, summary.domain + note, summary.backbone, summary.strategy, selector)
    return tuple(DASH if part in ("", UNNAMED) else part for part in parts)


def _cells(m: "Measures", shown: list[int]) -> tuple[str, ...]:
    from eval.metrics.formats import DASH, count, error_counts, percent, plain_number

    passes = {estimate.k: estimate for estimate in m.pass_k}
    return (
        *(str(m.tasks), str(m.successes), str(m.failures), error_counts(m.errors)),
        *(percent(passes[k].estimate) if k in passes else DASH for k in shown),
        *(count(m.tokens), count(m.tokens_per_success), plain_number(m.episode_seconds.value, 1)),
    )
