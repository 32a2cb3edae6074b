"""The reliability figure of a checkpoint: predicted against observed success on the validation split."""

import io

import numpy as np

from fama.selection.decision_rule import Floats
from training.prediction_metrics import calibration_bins, effective_rows

#: Fewer rows draw no curve.
MIN_ROWS = 20


def reliability_svg(
    logits: Floats, temperature: float, after: Floats, success: Floats, weights: Floats | None = None
) -> bytes | None:
    """Draw an SVG without scripts, dates or links; None with fewer than 20 rows.

    Args:
        logits: uncalibrated logits of the executed subsets, shape (n,).
        temperature: of the checkpoint; 1 draws one curve only.
        after: logits by temperatures that were fitted on other tasks.
        success: 0.0 or 1.0, shape (n,).
        weights: of the rows; rows are counted as those of equal weight that tell as much. None weighs all alike.
    """
    weights = np.ones(len(success)) if weights is None else weights
    total = effective_rows(weights)
    if total < MIN_ROWS:
        return None
    import matplotlib
    from matplotlib.figure import Figure

    curves = {"as trained": logits} | ({f"temperature {temperature:.2f}": after} if temperature != 1.0 else {})
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fama", "font.size": 9}):
        figure = Figure(figsize=(4.2, 3.6))  # with fixed margins: a layout engine draws it four times
        axes = figure.subplots(gridspec_kw={"left": 0.13, "right": 0.97, "bottom": 0.13, "top": 0.92})
        axes.plot([0, 1], [0, 1], color="#667085", linewidth=0.8, linestyle=":")
        for (name, values), colour in zip(curves.items(), ("#0072b2", "#d55e00"), strict=False):
            rows, predicted, observed = calibration_bins(values, success, weights=weights * total / weights.sum())
            rows = np.maximum(rows.round(), 1.0)
            errors = [_wilson(rate, count) for rate, count in zip(observed, rows, strict=True)]
            sides = np.clip(
                np.array([[rate - low, high - rate] for rate, (low, high) in zip(observed, errors, strict=True)]), 0, 1
            )
            axes.errorbar(predicted, observed, sides.T, color=colour, marker="o", markersize=4, capsize=2, label=name)
            for x, y, count in zip(predicted, observed, rows, strict=True):
                axes.annotate(
                    f"{int(count)}", (x, y), textcoords="offset points", xytext=(4, -9), fontsize=7, color=colour
                )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted success", ylabel="observed success")
        axes.set_title(f"n = {total:.0f} validation rows; 95 % Wilson intervals a bin", fontsize=8)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _wilson(rate: float, count: float) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(round(rate * count), int(count)).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
