"""Learning curves of an ablation: its measures over the number of training rows, a line per router."""

import math
from collections.abc import Sequence
from typing import Any

from eval.ablation.variant_runs import Ablation, AblationCell
from eval.metrics.figure_text import legend_text, plain_text
from eval.report.figures import GRID

#: Measures worth a panel; the first two that a test set has are drawn.
_PANELS = ("regret", "exactly the minimal", "log loss", "success of the choice", "macro-F1", "subset F1")
_MOST = 2


def curves(found: Ablation) -> Any:
    """Return a figure with a row of panels a test set; None where every router was trained at one size only."""
    if len({cell.train_rows for cell in found.cells}) < 2:
        return None
    with plain_text(name for cell in found.cells for name in (cell.variant, cell.test)):
        return _rows(found)


def _rows(found: Ablation) -> Any:
    """Draw a row of panels for each test set."""
    from matplotlib.figure import Figure

    tests = list(dict.fromkeys(cell.test for cell in found.cells))
    figure = Figure(figsize=(9.0, 3.6 * len(tests)), layout="constrained")
    grid = figure.subplots(len(tests), _MOST, squeeze=False)
    for row, test in zip(grid, tests, strict=True):
        cells = [cell for cell in found.cells if cell.test == test]
        measures = [name for name in _PANELS if any(name in cell.measures for cell in cells)][:_MOST]
        for axes, measure in zip(row, measures, strict=False):
            _panel(axes, measure, cells)
        for axes in row[len(measures) :]:
            axes.set_axis_off()
        row[0].set_title(f"{test}, 95 % intervals over {cells[0].test_tasks} tasks", loc="left", fontsize=9)
    for axes in [axes for axes in grid[0] if axes.axison][-1:]:
        axes.legend(frameon=False, fontsize=8, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return figure


def _panel(axes: Any, measure: str, cells: Sequence[AblationCell]) -> None:
    for place, name in enumerate(dict.fromkeys(cell.variant for cell in cells)):
        points = [
            (cell.train_rows, *(math.nan if end is None else end for end in (value.value, value.low, value.high)))
            for cell in cells
            if cell.variant == name and (value := cell.measures.get(measure)) is not None and value.value is not None
        ]
        if points:
            rows, values, low, high = zip(*points, strict=True)
            colour, dashes = f"C{place}", ("-", "--", ":", "-.")[place // 10 % 4]  # ten colours, then other lines
            axes.plot(
                rows, values, dashes, marker="o", markersize=3.5, linewidth=1.4, color=colour, label=legend_text(name)
            )
            axes.fill_between(rows, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    sizes = sorted({cell.train_rows for cell in cells})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("training rows")
    axes.set_ylabel(measure)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
