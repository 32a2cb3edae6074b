"""``fama mine``: failed episodes → repairs.jsonl, by executing helpers' notes before single decisions."""

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from fama.config import add_config_flags, read_settings
from fama.errors import FamaError

if TYPE_CHECKING:
    from fama.mining.records import Repair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    told = "folder of `fama run`: of the plain agent, or with base=selector of an arm"
    parser.add_argument("episodes", metavar="DIR", help=told)
    add_config_flags(parser, out_default="runs/repairs", executor=True)


def main(args: argparse.Namespace) -> int:
    """Mine the episodes that are not there yet; print the repairs and what each helper's notes did."""
    from fama.commands.terminal import printable
    from fama.mining.runner import mine_folder
    from fama.mining.settings import MineSettings

    settings = read_settings(args, MineSettings)
    if settings is None:
        return 0
    out = Path(args.out)
    try:
        mined = asyncio.run(mine_folder(Path(args.episodes), settings, out, told=_tell))
    except KeyboardInterrupt:
        raise FamaError(
            f"interrupted; finished episodes are kept in {out}, the same command goes on from there"
        ) from None
    for line in mined.refused:
        sys.stderr.write(f"fama: {printable(line)}\n")
    _print(mined.records, out)
    return 1 if mined.failed or (mined.refused and not mined.added) else 0


def _tell(record: "Repair") -> None:
    sys.stderr.write(f"{record.in_a_line()}\n")


def _print(records: "tuple[Repair, ...]", out: Path) -> None:
    from fama.commands.effects import print_effects
    from fama.commands.terminal import DASH, Column, console, names, numbers, print_note, print_table
    from fama.mining.mined_folder import read_repairs
    from fama.mining.note_effects import note_effects

    screen = console()
    rows = [
        (
            f"{one.domain}/{one.task_id}",
            str(one.trial),
            one.verdict,
            one.means or DASH,
            DASH if one.repair is None else str(len(one.repair)),
            DASH if one.decisive is None else str(one.decisive),
            DASH if one.proven is None else "yes" if one.proven else "no",
            str(one.calls),
            DASH if one.tokens is None else f"{one.tokens:,}",
            f"{one.seconds:.0f}",
        )
        for one in records
        if one.kind == "failed"
    ]
    columns = [*names("task", "trial"), Column("verdict", "words"), Column("helpers", "words")]
    columns += numbers("notes", "decision", "proven", "calls", "tokens", "seconds")
    print_table(screen, columns, rows, title="Failed episodes")
    print_note(screen, "decision: the first one whose action the repair changes. proven: no repair has fewer notes.")
    if records:
        print_effects(screen, note_effects([read_repairs(out)]))
    counts = Counter(one.verdict for one in records)
    told = ", ".join(f"{verdict} {count}" for verdict, count in counts.items()) or "no episode"
    screen.print(f"{out / 'repairs.jsonl'}: {told}")
