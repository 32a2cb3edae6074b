"""``fama agree FILE FILE...``: agreement of annotators on the same failures."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fama.errors import BadInput

if TYPE_CHECKING:
    from eval.annotation.agreement import Agreement
    from eval.annotation.reference_scores import Against
    from fama.episodes.records import Failure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="failures.jsonl files, or the folders that hold them")
    parser.add_argument("--taxonomy", metavar="FILE", help="a taxonomy of your own (YAML)")
    parser.add_argument(
        "--crosswalk", metavar="FILE", help="a crosswalk of your own (YAML) from other label sets to it"
    )
    parser.add_argument(
        "--reference", metavar="FILE", help="one of the files: precision, recall and F1 of the others against it"
    )
    parser.add_argument(
        "--without-guesses", action="store_true", help="leave out labels of failures that no detector explains"
    )
    parser.add_argument("--on", choices=("primary", "categories"), help="what F1 is of (default primary)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--bootstrap", type=int, default=2000, metavar="N", help="resamples of tasks per interval")


def main(args: argparse.Namespace) -> int:
    """Read the labels, bring them under one taxonomy, print agreement by category and by pair."""
    from eval.annotation.agreement import agreement
    from eval.annotation.labels import guess_counts, label_file, load_scheme, read_labels, without_guesses
    from eval.commands.footnotes import guessed_labels
    from fama.commands.terminal import console, print_note

    if args.bootstrap < 100:
        raise BadInput(f"--bootstrap {args.bootstrap}: intervals need at least 100 resamples")
    if args.on is not None and not args.reference:
        raise BadInput(f"--on {args.on}: F1 is against a reference; add --reference FILE, or leave it out")
    args.on = args.on or "primary"
    taxonomy, crosswalk = load_scheme(args.taxonomy, args.crosswalk)
    paths = [Path(name) for name in args.files]
    if args.reference:
        given = {label_file(path): path for path in paths}
        args.reference = given.get(label_file(Path(args.reference)), Path(args.reference))
        paths = list(dict.fromkeys([*paths, args.reference]))
    labels = read_labels(paths, taxonomy, crosswalk)
    guesses = guess_counts(labels)
    if args.without_guesses:
        labels = without_guesses(labels)
    found = agreement(labels, taxonomy.codes, draws=args.bootstrap)
    scored = _scored(args, labels, taxonomy.codes) if args.reference else []
    if args.json:
        rows = {"against": [one.model_dump() for one in scored]} if args.reference else {}
        told = {**found.model_dump(), "guesses": guesses, **rows}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        _show(found)
        for line in guessed_labels(guesses, args.without_guesses):
            print_note(console(), line)
        for one in scored:
            _show_against(one, args.on)
    return 0


def _scored(args: argparse.Namespace, labels: "dict[str, dict[str, Failure]]", codes: Sequence[str]) -> "list[Against]":
    from eval.annotation.reference_scores import against

    said = {rater: rows for rater, rows in labels.items() if rater.endswith(f"({Path(args.reference)})")} or {
        rater: rows for rater, rows in labels.items() if rater in _annotators(Path(args.reference))
    }
    if len(said) != 1:
        raise BadInput(f"--reference {args.reference}: holds the labels of {len(said)} annotators; give a file of one")
    ((reference, rows),) = said.items()
    others = [rater for rater in labels if rater != reference]
    return [against(labels[rater], rows, (rater, reference), codes, args.on, draws=args.bootstrap) for rater in others]


def _annotators(path: Path) -> set[str]:
    from fama.episodes.store import read_failures

    return {failure.labeller for failure in read_failures(path)}


def _show_against(one: "Against", what: str) -> None:
    from eval.metrics.formats import coefficient
    from fama.commands.terminal import console, names, numbers, print_table

    screen = console()
    title = f"{one.labeller} against {one.reference}, {what}, {one.units} failures of {one.tasks} tasks"
    measures = ("true", "told", "precision", "recall", "F1", "always the commonest", "by chance")
    rows = []
    for row in one.categories:
        cells = (row.precision, row.recall, row.f1, row.majority, row.random)
        rows.append((row.category, str(row.positives), str(row.told), *map(coefficient, cells)))
    macro = (one.macro, one.macro_majority, one.macro_random)
    rows.append(("mean F1", "", "", "", "", *map(coefficient, macro)))
    screen.print("")
    print_table(screen, [*names("category"), *numbers(*measures)], rows, title)


def _show(found: "Agreement") -> None:
    from eval.annotation.agreement import TENTATIVE
    from eval.metrics.formats import DASH, coefficient, percent
    from fama.commands.terminal import console, names, numbers, print_note, print_table

    screen = console()
    kappa = "Cohen κ" if len(found.raters) == 2 else "Fleiss κ"
    titles = ("failures", "agreed %", kappa, "Krippendorff α", *(f"{rater} %" for rater in found.raters))
    rows = [
        (
            variable.name,
            f"{variable.units}",
            percent(variable.observed, 0),
            coefficient(variable.cohen or variable.fleiss),
            coefficient(variable.alpha),
            *(f"{variable.shares[rater]:.0%}" if rater in variable.shares else DASH for rater in found.raters),
        )
        for variable in found.variables
    ]
    print_table(screen, [*names("label"), *numbers(*titles)], rows)
    for pair in found.pairs:
        steps = ", ".join(f"±{near} {percent(share, 0)} %" for near, share in pair.steps.items())
        screen.print(f"\n{pair.raters[0]} against {pair.raters[1]}, {pair.units} failures", markup=False)
        screen.print(f"  primary category: κ {coefficient(pair.cohen)}", markup=False)
        screen.print(f"  same step ({pair.step_units} failures with one): {steps}", markup=False)
        for row, columns in pair.confusion.items():
            told = ", ".join(f"{column} {count}" for column, count in columns.items())
            screen.print(f"  {row} → {told}", markup=False)
    weak = [v.name for v in found.variables if v.alpha.value is not None and v.alpha.value < TENTATIVE]
    if weak:
        screen.print(
            f"\nα below {TENTATIVE}: not to be trusted as labels (Krippendorff 2004): {', '.join(weak)}", markup=False
        )
    whole = found.variables[0].fleiss_units
    if whole is not None and whole < found.units:
        print_note(
            screen,
            f"Fleiss κ: over the {whole} of {found.units} failures that all {len(found.raters)} label; α: over all.",
        )
    print_note(
        screen,
        f"{found.units} failures of {found.tasks} tasks, {found.alone} more with one annotator only; intervals: 95 %, "
        "over tasks",
    )
