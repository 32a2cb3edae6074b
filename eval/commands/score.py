"""``fama score``: success, pass^k and tokens of episodes, own or imported."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fama.errors import BadInput

if TYPE_CHECKING:
    from eval.metrics.measures import Measures
    from eval.metrics.summary import GroupSummary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("folders", nargs="+", metavar="DIR", help="folders with episodes.jsonl, or such files")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--bootstrap", type=int, default=2000, metavar="N", help="resamples an interval")


def main(args: argparse.Namespace) -> int:
    """Read the episodes one by one and print a line a group."""
    from eval.metrics.episode_scores import read_scores
    from eval.metrics.measures import Resampling
    from eval.metrics.summary import summarise

    if args.bootstrap < 100:
        raise BadInput(f"--bootstrap {args.bootstrap}: intervals need at least 100 resamples")
    scores = read_scores([Path(folder) for folder in args.folders])
    if not scores:
        raise BadInput(f"{args.folders[0]}: holds no episodes; run `fama run` or `fama import` first")
    summaries = summarise(scores, Resampling(draws=args.bootstrap))
    if args.json:
        sys.stdout.write(json.dumps([summary.model_dump() for summary in summaries], indent=2) + "\n")
    else:
        _show(summaries)
    return 0


def _show(summaries: "list[GroupSummary]") -> None:
    from rich.table import Table

    from eval.metrics.formats import count, errors, number, percent
    from eval.metrics.summary import distinctions
    from fama.commands.terminal import console

    most = max(summary.measures.trials for summary in summaries)
    shown = [k for k in range(1, most + 1) if k <= 5 or k == most]
    table = Table("benchmark", "domain", "backbone", "strategy", "selector", box=None, pad_edge=False)
    for title in ("tasks", "success", "failure", "error"):
        table.add_column(title, justify="right")
    for k in shown:
        table.add_column(f"pass^{k} %", justify="right", no_wrap=True)
    for title in ("tokens/episode", "tokens/success", "s/episode"):
        table.add_column(title, justify="right", no_wrap=True)
    short: list[str] = []
    lines: list[tuple[GroupSummary, Measures, str]] = []
    apart = dict(zip(map(id, summaries), distinctions(summaries), strict=True))
    for summary in summaries:
        lines.append((summary, summary.measures, ""))
        if summary.corrected is not None:
            lines.append((summary, summary.corrected, f" without {len(summary.wrong_tasks)} wrong tasks"))
    for summary, m, note in lines:
        passes = {estimate.k: estimate for estimate in m.pass_k}
        table.add_row(
            *(summary.benchmark, summary.domain + note, summary.backbone, summary.strategy),
            ", ".join(filter(None, (summary.selector, apart[id(summary)]))).removeprefix("-, "),
            *(str(m.tasks), str(m.successes), str(m.failures), errors(m.errors)),
            *(percent(passes[k].estimate) if k in passes else "–" for k in shown),
            *(count(m.tokens), count(m.tokens_per_success), number(m.episode_seconds.value, 1)),
        )
        short += [
            f"{summary.selector}: pass^{e.k} leaves out {e.short} tasks with fewer trials" for e in m.pass_k if e.short
        ]
    screen = console()
    screen.print(table)
    screen.print("95 % intervals over tasks. Errors are not failures and count in no rate.", style="dim")
    if len(lines) > len(summaries):
        screen.print("Wrong tasks, with reasons and source: fama/envs/exclusions.yaml", style="dim")
    for line in short:
        screen.print(line, style="dim")
