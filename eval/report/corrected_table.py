"""The table of results without the tasks that are known to be wrong."""

from eval.compare.schema import Comparison
from eval.metrics.formats import DASH, count, p_value, percent
from eval.report.health_table import arm_cell
from eval.report.table_format import Table, TableCell


def corrected_table(comparison: Comparison) -> Table | None:
    """Tabulate every arm with and without these tasks; None where none was compared."""
    rows = []
    for arm in comparison.arms:
        right = arm.corrected
        if right is None:
            continue
        versus = right.versus_none
        rows.append(
            (
                arm_cell(arm),
                TableCell(percent(arm.measures.success), arm.measures.success.value),
                TableCell(percent(right.success), right.success.value),
                TableCell(percent(versus.estimate, signed=True) if versus else DASH),
                TableCell(p_value(versus.p_holm) if versus else DASH),
                TableCell(count(right.tokens), right.tokens.value),
            )
        )
    if not rows:
        return None
    wrong = ", ".join(comparison.wrong_tasks)
    return Table(
        "corrected",
        "Without tasks that are known to be wrong",
        f"Left out: {wrong} ({len(comparison.wrong_tasks)} of {comparison.tasks} tasks); reasons and source are in "
        "fama/envs/exclusions.yaml. All other tables hold them.",
        (
            "arm",
            "success with them, %",
            "success, %",
            f"against {comparison.plain}, points",
            "p, Holm",
            "tokens per episode",
        ),
        tuple(rows),
    )
