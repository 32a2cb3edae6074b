"""The table of an ablation: Markdown for reading, CSV for everything else. Numbers only, no text of any task."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from eval.ablation.variant_runs import Ablation, AblationCell
from fama.intervals import Interval

#: Measures of which less is better; differences keep their sign, readers are told.
_LESS = ("log loss", "Brier score", "calibration error", "regret", "regret to the best executed")
#: Measures whose differences are told below a table; the others are in the CSV.
_TOLD = ("macro-F1", "subset F1", "log loss", "success of the choice", "regret", "exactly the minimal")


class RouterTable(NamedTuple):
    """The routers on one test set: the first ``names`` columns identify a row, the others are measures."""

    title: str
    columns: tuple[str, ...]
    names: int
    rows: tuple[tuple[str, ...], ...]
    differences: str


def ablation_markdown(found: Ablation) -> str:
    """Return one table per test set, one row per router."""
    return "\n\n".join([*ablation_header(found), *map(_markdown, ablation_tables(found))]) + "\n"


def ablation_header(found: Ablation) -> list[str]:
    """Return the lines above the tables: view, hashes, commit and command."""
    hashes = f"data `{found.data_hash}`, settings `{found.settings_hash}`, commit {found.git_commit or 'unknown'}"
    kind = "**SYNTHETIC tasks**, " if found.synthetic else ""
    return [f"{kind}view {found.view}, {hashes}.", f"`{found.command}`"]


def ablation_tables(found: Ablation) -> list[RouterTable]:
    """Return one table per test set."""
    names = dict.fromkeys(cell.test for cell in found.cells)
    return [_table([cell for cell in found.cells if cell.test == name], found) for name in names]


def _table(cells: Sequence[AblationCell], found: Ablation) -> RouterTable:
    measures = list(dict.fromkeys(name for cell in cells for name in cell.measures))
    sizes = len({cell.train_rows for cell in cells}) > 1
    first = cells[0]
    title = (
        f"**{first.test}**: {first.test_rows} rows of {first.test_tasks} tasks, none of them trained on; trained on "
        + ("" if sizes else f"{first.train_rows} rows of {first.train_tasks} tasks. ")
        + ("the rows of the second column. " if sizes else "")
        + "95 % intervals over tasks"
        + (f"; less is better: {', '.join(m for m in measures if m in _LESS)}." if set(measures) & set(_LESS) else ".")
    )
    names = ("router", "rows") if sizes else ("router",)
    rows = [
        (cell.variant, *([str(cell.train_rows)] if sizes else []), *(_measured(cell, m) for m in measures))
        for cell in cells
    ]
    if any(cell.counted for cell in cells):
        title += " n of N: the rows that count; a choice that was never executed has no success."
    return RouterTable(title, (*names, *measures), len(names), tuple(rows), _differences(cells, found.reference))


def _markdown(table: RouterTable) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table.title}\n\n{text}\n\n{table.differences}".rstrip()


def _differences(cells: Sequence[AblationCell], reference: str) -> str:
    """Say where the paired difference to the reference excludes 0."""
    clear = [
        f"{_name(cell, cells)} {name} {_shown(value, sign=True)}{_on(cell, value)}"
        for cell in cells
        for name, value in cell.differences.items()
        if name in _TOLD and value.low is not None and value.high is not None and (value.low > 0 or value.high < 0)
    ]
    dropped = _dropped(cells, reference)
    if not any(cell.differences for cell in cells):
        return dropped
    said = "; ".join(clear) if clear else "none"
    told = ", ".join(name for name in _TOLD if any(name in cell.differences for cell in cells))
    found = (
        f"Paired differences to {reference} in {told} whose interval excludes 0, not adjusted for their number: {said}."
    )
    return f"{found} {dropped}".rstrip()


def _dropped(cells: Sequence[AblationCell], reference: str) -> str:
    """Say which routers have no paired difference to the reference, although both have the measure."""
    theirs = {cell.train_rows: cell.measures for cell in cells if cell.variant == reference}
    missing = [
        f"{_name(cell, cells)} {name}"
        for cell in cells
        if cell.variant != reference
        for name in _TOLD
        if name in cell.measures and name in theirs.get(cell.train_rows, {}) and name not in cell.differences
    ]
    return (
        f"No paired difference to {reference}, since no row counts for both: {'; '.join(missing)}." if missing else ""
    )


def _on(cell: AblationCell, value: Interval) -> str:
    return "" if value.n is None or value.n == cell.test_tasks else f" on {value.n} of {cell.test_tasks} tasks"


def _name(cell: AblationCell, cells: Sequence[AblationCell]) -> str:
    sizes = len({one.train_rows for one in cells}) > 1
    return f"{cell.variant} ({cell.train_rows} rows)" if sizes else cell.variant


def _measured(cell: AblationCell, name: str) -> str:
    shown = _shown(cell.measures.get(name))
    return f"{shown}, {cell.counted[name][0]} of {cell.counted[name][1]}" if name in cell.counted else shown


def _shown(value: Interval | None, sign: bool = False) -> str:
    if value is None or value.value is None:
        return "–"
    form = "+.3f" if sign else ".3f"
    if value.low is None or value.high is None:
        return f"{value.value:{form}}"
    return f"{value.value:{form}} [{value.low:{form}}, {value.high:{form}}]"


def as_csv(found: Ablation) -> str:
    """Return one line per router, test set and measure."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    sizes = ("train_rows", "train_tasks", "test_rows", "test_tasks")
    numbers = ("value", "low", "high", "difference", "difference_low", "difference_high")
    writer.writerow(["view", "router", "kind", "test", *sizes, "measure", *numbers, "counted", "of"])
    for cell in found.cells:
        for name, value in cell.measures.items():
            other = cell.differences.get(name, Interval(None, None, None))
            writer.writerow(
                [found.view, cell.variant, cell.kind, cell.test, *(getattr(cell, key) for key in sizes), name]
                + [_number(n) for n in (value.value, value.low, value.high, other.value, other.low, other.high)]
                + [*cell.counted.get(name, ("", ""))]
            )
    return buffer.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
