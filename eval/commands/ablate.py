"""``fama ablate --config F --out DIR``: routers of several kinds, losses and sizes → one table on unseen tasks."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fama.config import add_config_flags, config_words, read_settings

if TYPE_CHECKING:
    from eval.ablation.variant_runs import Ablation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    add_config_flags(parser, out_default="runs/ablate")


def main(args: argparse.Namespace) -> int:
    """Train and test every variant; run again, it goes on with those that are not trained yet."""
    from eval.ablation.settings import AblateSettings

    settings = read_settings(args, AblateSettings)
    if settings is None:
        return 0
    from eval.ablation.figure import curves
    from eval.ablation.table import ablation_markdown, as_csv
    from eval.ablation.variant_runs import ablate
    from eval.report.figures import save_figure
    from fama.files import write_atomically
    from training.kinds.base import trainer_of

    for kind in {settings.of(variant).kind for variant in settings.chosen()}:
        trainer_of(kind).quieten()
    out = Path(args.out)
    command = shlex.join(["fama", "ablate", *config_words(args), "--out", str(out), *args.overrides])
    found = ablate(settings, out, command, lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201
    write_atomically(out / "ablation.md", ablation_markdown(found))
    write_atomically(out / "ablation.csv", as_csv(found))
    if (figure := curves(found)) is not None:
        save_figure(figure, out / "curves.svg")
    if sys.stdout.isatty():
        _show(found)
    else:
        sys.stdout.write(ablation_markdown(found))
    return 0


def _show(found: "Ablation") -> None:
    from eval.ablation.table import ablation_header, ablation_tables
    from fama.commands.terminal import console, names, numbers, print_note, print_table

    screen = console()
    for line in ablation_header(found):
        print_note(screen, line)
    for table in ablation_tables(found):
        screen.print()
        columns = [*names(*table.columns[: table.names]), *numbers(*table.columns[table.names :])]
        print_table(screen, columns, table.rows, table.title.replace("**", ""))
        if table.differences:
            print_note(screen, table.differences)
