"""``fama effects DIR...``: what single notes fixed and broke, by helper, form, domain and arm, with intervals."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from fama.intervals import Interval
    from fama.mining.note_effects import NoteEffects
    from fama.mining.records import EpisodeKind

_WORDS = {"failed": "fixed", "solved": "broke"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("folders", nargs="+", metavar="DIR", help="folders that `fama mine` wrote")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def main(args: argparse.Namespace) -> int:
    """Print what the notes of all the folders did together."""
    from fama.commands.terminal import console
    from fama.errors import BadInput
    from fama.mining.mined_folder import read_repairs
    from fama.mining.note_effects import note_effects

    effects = note_effects([read_repairs(Path(folder)) for folder in args.folders])
    if not effects:
        raise BadInput(f"{', '.join(args.folders)}: no note was tried before a single decision; run `fama mine` first")
    if args.json:
        import json
        from dataclasses import asdict

        rows = [{**one.group._asdict(), **asdict(one)} for one in effects]
        for row in rows:
            del row["group"]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    print_effects(console(), effects)
    return 0


def print_effects(screen: "Console", effects: "Sequence[NoteEffects]") -> None:
    """Print a table for failed episodes and one for solved ones, as far as there are notes."""
    from fama.commands.terminal import DASH, print_note

    told = [kind for kind in ("failed", "solved") if _print_kind(screen, effects, kind)]
    if told:
        print_note(screen, "count (% of notes, 95 % interval over tasks). changed: the action, not the outcome.")
    if any(one.group.arm is not None for one in effects):
        print_note(
            screen,
            "arm: the notes were given beside those of the arm's own helpers, and in place of another form's; "
            f"{DASH}: alone.",
        )
    if _has_versions(effects):
        print_note(screen, "texts: version of the template forms, or of the helper's own question.")
    if any(one.unknown for one in effects):
        print_note(
            screen,
            "unknown: the run with the note ended in an error or the budget, or no action could be read with and "
            "without it; not in the shares.",
        )


def _print_kind(screen: "Console", effects: "Sequence[NoteEffects]", kind: "EpisodeKind") -> bool:
    from fama.commands.terminal import DASH, names, numbers, print_table

    chosen = [one for one in effects if one.group.kind == kind]
    wide = [key for key in ("benchmark", "backbone") if len({getattr(one.group, key) for one in effects}) > 1]
    wide += ["texts"] if _has_versions(effects) else []
    wide += ["arm"] if any(one.group.arm is not None for one in effects) else []
    unknown = any(one.unknown for one in chosen)
    rows = [
        (
            one.group.helper,
            one.group.form,
            one.group.domain or DASH,
            *(getattr(one.group, key) or DASH for key in wide),
            str(one.asked),
            str(one.notes),
            str(one.tasks),
            _cell(one.flipped, one.flipped_share),
            _cell(one.changed, one.changed_share),
            _cell(one.same, one.same_share),
            *([str(one.unknown)] if unknown else []),
        )
        for one in chosen
    ]
    if rows:
        columns = [*names("helper", "form", "domain", *wide), *numbers("asked", "notes", "tasks", _WORDS[kind])]
        columns += numbers("changed", "same action", *(["unknown"] if unknown else []))
        print_table(screen, columns, rows, title=f"Single notes before decisions of {kind} episodes")
    return bool(rows)


def _has_versions(effects: "Sequence[NoteEffects]") -> bool:
    """Return whether notes of one helper and form are written by several versions of its texts."""
    groups = [one.group for one in effects]
    return len({(g.helper, g.form, g.texts) for g in groups}) > len({(g.helper, g.form) for g in groups})


def _cell(count: int, share: "Interval") -> str:
    from fama.commands.terminal import DASH

    if share.value is None:
        return DASH
    ends = "" if share.low is None or share.high is None else f" [{100 * share.low:.0f}, {100 * share.high:.0f}]"
    return f"{count} ({100 * share.value:.0f}{ends})"
