"""``fama profile LABELS...``: what breaks an agent how often, with intervals; ``--against`` tests for drift."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fama.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eval.annotation.failure_profiles import Profile
    from fama.episodes.records import Failure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("files", nargs="+", metavar="LABELS", help="failures.jsonl files, or folders; one profile each")
    parser.add_argument("--against", metavar="LABELS", help="older labels: has the profile drifted since?")
    parser.add_argument("--taxonomy", metavar="FILE", help="a taxonomy of your own (YAML)")
    parser.add_argument("--figure", metavar="FILE", help="draw the profiles (.png, .pdf or .svg)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def main(args: argparse.Namespace) -> int:
    """Print a table a profile and what the drift test says."""
    from eval.annotation.failure_profiles import draw_profiles, drift, in_words, profile, unlike_labels
    from eval.annotation.labels import NONE, check_codes, refuse_twice
    from fama.diagnosis.taxonomy import load_taxonomy
    from fama.episodes.records import NO_CAUSE
    from fama.episodes.store import given_labels

    if args.figure:
        from eval.report.figures import check_name

        check_name(args.figure)
    taxonomy = load_taxonomy(Path(args.taxonomy) if args.taxonomy else None)
    paths = [*([args.against] if args.against else []), *args.files]
    refuse_twice(map(Path, paths), "a profile has not drifted from itself")
    labels = {path: given_labels(Path(path)) for path in paths}
    for path, failures in labels.items():
        _check_taxonomy(path, failures, taxonomy.version)
        check_codes(Path(path), (code for label in failures for code in label.primary), taxonomy)
    bare = any(not label.causes for failures in labels.values() for label in failures)
    codes = (*taxonomy.codes, NO_CAUSE, *([NONE] if bare else []))
    profiles = [profile(path, failures, codes) for path, failures in labels.items()]
    drifts = {path: drift(labels[args.against], labels[path], codes) for path in args.files} if args.against else {}
    unlike = {path: unlike_labels(labels[args.against], labels[path]) for path in drifts}
    if args.figure:
        from eval.report.figures import save_figure

        save_figure(draw_profiles(profiles), Path(args.figure))
    if args.json:
        import json

        rows = [one.model_dump() for one in profiles]
        found = {
            path: {**one.model_dump(), "shown": one.is_significant, "labels_differ": unlike[path]}
            for path, one in drifts.items()
        }
        sys.stdout.write(json.dumps({"profiles": rows, "drift": found}, indent=2) + "\n")
        return 0
    _show(profiles)
    for path, one in drifts.items():
        sys.stdout.write(f"{path} against {args.against}: {in_words(one)}\n")
        if unlike[path] is not None:
            sys.stdout.write(f"careful: {unlike[path]}; a difference may be of the labels, not of the failures\n")
    return 0


def _check_taxonomy(path: str, labels: "Iterable[Failure]", version: str) -> None:
    """Refuse labels of another taxonomy: each of their categories would count as none."""
    for label in labels:
        if label.taxonomy_version.split("/")[0] != version.split("/")[0]:
            raise BadInput(
                f"{path}: labelled under {label.taxonomy_version}, not under {version}; give that taxonomy's file with "
                "--taxonomy, and labels of one taxonomy only"
            )


def _show(profiles: "list[Profile]") -> None:
    from eval.metrics.formats import percent
    from fama.commands.terminal import console, names, numbers, print_note, print_table

    shares = (f"{share.category} %" for share in profiles[0].shares)
    rows = [
        (one.name, str(one.failures), str(one.tasks), *(percent(share.interval, 0) for share in one.shares))
        for one in profiles
    ]
    screen = console()
    print_table(screen, [*names("labels"), *numbers("failures", "tasks", *shares)], rows)
    print_note(screen, "share of failures by primary category; 95 % intervals over tasks")
