"""``fama combine FILE FILE... --out DIR``: several annotators → one label per failure, and what is disputed."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fama.errors import BadInput

if TYPE_CHECKING:
    from eval.annotation.consensus import Consensus

DISPUTED = "disputed.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="failures.jsonl files, or the folders that hold them")
    parser.add_argument("--out", required=True, metavar="DIR", help=f"folder that gets failures.jsonl and {DISPUTED}")
    parser.add_argument(
        "--method", choices=("dawid-skene", "majority"), help="default: dawid-skene from three annotators on"
    )
    parser.add_argument("--taxonomy", metavar="FILE", help="a taxonomy of your own (YAML)")
    parser.add_argument("--crosswalk", metavar="FILE", help="a crosswalk of your own (YAML)")
    parser.add_argument(
        "--without-guesses", action="store_true", help="leave out labels of failures that no detector explains"
    )
    parser.add_argument("--show", type=int, default=10, metavar="N", help="print the N least sure disagreements")


def main(args: argparse.Namespace) -> int:
    """Combine, write, and print how each annotator fares against the consensus."""
    from eval.annotation.consensus import combine
    from eval.annotation.labels import guess_counts, load_scheme, read_labels, without_guesses
    from eval.commands.footnotes import guessed_labels
    from fama.commands.terminal import console, print_note
    from fama.episodes.store import write_failures

    out = Path(args.out)
    _check_replaced(out)
    taxonomy, crosswalk = load_scheme(args.taxonomy, args.crosswalk)
    labels = read_labels([Path(name) for name in args.files], taxonomy, crosswalk)
    guesses = guess_counts(labels)
    if args.without_guesses:
        labels = without_guesses(labels)
    found = combine(labels, taxonomy.codes, taxonomy.version, args.method)
    if not found.labels:
        raise BadInput(f"{' and '.join(labels)} label no failure in common; were they given the same episodes?")
    out.mkdir(parents=True, exist_ok=True)
    write_failures(out, found.labels)
    write_failures(out / DISPUTED, found.disputed)
    _show(found, args.show)
    for line in guessed_labels(guesses, args.without_guesses):
        print_note(console(), line)
    sys.stdout.write(f"→ {out / 'failures.jsonl'} ({len(found.labels)} labels)\n")
    disputed = out / DISPUTED
    sys.stdout.write(f"→ {disputed} ({len(found.disputed)}; for a human: fama annotate EPISODES --only {disputed})\n")
    return 0


def _check_replaced(out: Path) -> None:
    """Refuse a folder whose labels are somebody's own: they would be replaced, and they may be among those given.

    Raises:
        BadInput: names the annotator.
    """
    from eval.annotation.consensus import COMBINED
    from fama.episodes.store import FAILURES, read_failures

    path = out / FAILURES
    others = [f.labeller for f in read_failures(path) if not f.labeller.startswith(COMBINED)] if path.exists() else []
    if others:
        raise BadInput(f"{path}: holds labels of {others[0]}, which would be replaced; give another folder with --out")


def _show(found: "Consensus", count: int) -> None:
    from eval.annotation.labels import category_label
    from eval.metrics.formats import plain_number
    from fama.commands.terminal import console, names, numbers, print_note, print_table

    screen = console()
    title = "Annotators against the consensus that they are part of"
    columns = [*names("annotator", "category"), *numbers("told", "sensitivity", "specificity")]
    rows = [
        (row.labeller, row.category, str(row.told), plain_number(row.sensitivity, 2), plain_number(row.specificity, 2))
        for row in found.quality
    ]
    print_table(screen, columns, rows, title)
    for label in found.disputed[:count]:
        verdict = category_label(label.primary)
        screen.print(
            f"task {label.task_id}, {label.episode_id[:10]}: {label.rationale} → {verdict} ({label.confidence:.2f})",
            markup=False,
        )
    told = f"{len(found.labels)} failures by {len(found.labellers)} annotators, {found.method}"
    if found.alone:
        told += f"; {found.alone} more have one annotator only and are left out"
    if len(found.labellers) == 2:
        told += "; two annotators who differ are equally likely to be right: let a third decide"
    print_note(screen, told)
