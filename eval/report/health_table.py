"""The table of selectors' health, and the mark of arms whose selector is broken."""

from dataclasses import replace

from eval.compare.schema import ArmResult, Comparison
from eval.metrics.formats import DASH
from eval.report.table_format import Table, TableCell
from fama.selection.health import SelectorHealth

#: Stands beside an arm whose selector is broken.
BROKEN = "†"
BROKEN_NOTE = f"{BROKEN} Broken selector: it made no readable choice at more than half of its decisions; never bold."


def arm_cell(arm: ArmResult) -> TableCell:
    """Return the cell of an arm's name, marked where its selector is broken."""
    return TableCell(arm.arm, mark=BROKEN if arm.broken else "")


def with_note(table: Table) -> Table:
    """Return a table whose caption explains the mark where one of its arms has it."""
    marked = any(row[0].mark == BROKEN for row in table.rows)
    return replace(table, caption=f"{table.caption} {BROKEN_NOTE}") if marked else table


def health_table(comparison: Comparison) -> Table | None:
    """Tabulate the health of every arm's selector; None where no arm has one on record."""
    known = [(arm, arm.health) for arm in comparison.arms if arm.health is not None]
    if not any(health.selections + health.unaffordable for _, health in known):
        return None
    return Table(
        "health",
        "Selector health",
        "Selections: decisions at which the selector was asked. Unparsed: its replies held no readable choice. "
        "Truncated: a reply was cut at its token limit. Not asked: the budget had no room. Subsets: different ones "
        "chosen; a single one is a fixed choice.",
        (
            *("arm", "selections", "unparsed", "truncated", "asked again", "left without helpers", "not asked"),
            *("subsets", "unknown names"),
        ),
        tuple((arm_cell(arm), *_cells(health)) for arm, health in known),
    )


def _cells(health: SelectorHealth) -> tuple[TableCell, ...]:
    shares = (health.unparsed, health.truncated, health.repaired, health.fell_back)
    unknown = sum(health.unknown_names.values())
    return (
        TableCell(str(health.selections), health.selections),
        *(_share(count, health.selections) for count in shares),
        TableCell(str(health.unaffordable), health.unaffordable),
        TableCell(str(health.subsets), health.subsets),
        TableCell(str(unknown), unknown),
    )


def _share(count: int | None, of: int) -> TableCell:
    """Return ``12 (20 %)``, sorted by the share; a dash where the count is unknown."""
    if count is None:
        return TableCell(DASH)
    share = count / of if of else 0.0
    return TableCell(f"{count} ({100 * share:.0f} %)" if count else "0", share)
