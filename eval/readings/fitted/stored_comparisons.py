"""The committed comparison of the fitted models with the rule, from the command to a table of the docs."""

from pathlib import Path

from pydantic import ValidationError

from eval.metrics.formats import percent
from eval.readings.fitted.rule_comparison import Compared, compared_cells, compared_columns
from eval.readings.readings import FOLDER
from fama.episodes.record_faults import fault_of
from fama.episodes.records import Record
from fama.errors import BadInput
from fama.files import write_atomically
from fama.intervals import Interval

FILE = "fitted.json"


class Part(Record):
    """The comparison on some failures. ``among`` is how often what was read is that of some finding, by target."""

    title: str
    rows: tuple[Compared, ...]
    among: dict[str, Interval] = {}


class FittedComparisons(Record):
    """All comparisons of one run of the command."""

    parts: tuple[Part, ...]
    commit: str | None = None


def write_comparisons(found: FittedComparisons, folder: Path) -> None:
    """Put the comparisons in the place of those of a folder of readings."""
    write_atomically(folder / FILE, found.model_dump_json(indent=1) + "\n")


def read_comparisons(folder: Path = FOLDER) -> FittedComparisons:
    """Return the comparisons of a folder of readings.

    Raises:
        BadInput: there is no file, or it holds something else.
    """
    path = folder / FILE
    try:
        return FittedComparisons.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError:
        raise BadInput(
            f"{path}: no such file; `python -m eval.readings fit LOGS --models --record` writes it"
        ) from None
    except ValidationError as error:
        raise BadInput(f"{path}: no comparison ({fault_of(error)}); write it anew") from None


def tabulate(found: FittedComparisons) -> str:
    """Return all comparisons as one Markdown table, with what is among the findings below it."""
    columns = ("failures of", *compared_columns())
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join((part.title, *compared_cells(row)))} |" for part in found.parts for row in part.rows]
    for part in (part for part in found.parts if part.among):
        shares = ", ".join(f"{name} {percent(share, 0)} %" for name, share in part.among.items())
        lines += ["", f"What was read is that of some finding, {part.title}: {shares}."]
    return "\n".join([*lines, "", f"Measured at commit {(found.commit or 'unknown')[:7]}."])
