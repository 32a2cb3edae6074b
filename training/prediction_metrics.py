"""Measures of predicted success, as pure functions of arrays."""

import numpy as np

from fama.selection.decision_rule import Floats
from fama.selection.router.scores import sigmoid

#: Equal-width bins of predicted success.
_BINS = 10


def log_loss(logits: Floats, success: Floats) -> Floats:
    """Return the negative log likelihood of every outcome (nats); success is 0.0 or 1.0."""
    loss: Floats = np.logaddexp(0.0, logits) - success * logits
    return loss


def brier(logits: Floats, success: Floats) -> Floats:
    """Return the squared error of every predicted probability, in [0, 1]."""
    return (sigmoid(logits) - success) ** 2


def expected_calibration_error(logits: Floats, success: Floats, weights: Floats | None = None) -> float:
    """Return the mean |observed rate − mean probability| over ten equal-width bins, weighted by their rows, in [0, 1].

    Naeini et al. 2015. With n rows a perfectly calibrated model still shows about 0.95 / √n.
    """
    rows, predicted, observed = calibration_bins(logits, success, weights)
    return float((rows * np.abs(observed - predicted)).sum() / rows.sum())


def calibration_bins(logits: Floats, success: Floats, weights: Floats | None = None) -> tuple[Floats, Floats, Floats]:
    """Return rows, mean probability and observed rate of every equal-width bin with rows, each of shape (≤ 10,).

    A row counts as much as its weight; without weights, as one.
    """
    weights = np.ones(len(logits)) if weights is None else weights
    probability = sigmoid(logits)
    place = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    rows: Floats = np.bincount(place, weights=weights, minlength=_BINS).astype(np.float64)
    used = rows > 0
    predicted, observed = (
        np.bincount(place, weights=weights * w, minlength=_BINS)[used] / rows[used] for w in (probability, success)
    )
    return rows[used], predicted, observed


def effective_rows(weights: Floats) -> float:
    """Return the number of rows of equal weight that tell as much (Kish 1965): (Σ w)² / Σ w²; 0 without rows."""
    return round(float(weights.sum() ** 2 / (weights**2).sum()), 6) if len(weights) else 0.0
