"""Measures of predicted success, as pure functions of arrays. No number without its interval."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fama.randomness import derive_seed
from fama.selection.decision import Floats
from fama.selection.router.scores import sigmoid


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def log_loss(logits: Floats, success: Floats) -> Floats:
    """Negative log likelihood of every outcome (nats); success is 0.0 or 1.0."""
    loss: Floats = np.logaddexp(0.0, logits) - success * logits
    return loss


def brier(logits: Floats, success: Floats) -> Floats:
    """Squared error of every predicted probability, in [0, 1]."""
    return (sigmoid(logits) - success) ** 2


def expected_calibration_error(logits: Floats, success: Floats, bins: int = 10) -> float:
    """Mean |observed rate − mean probability| over equal-width bins, weighted by their rows, in [0, 1].

    Naeini et al. 2015. With n rows a perfectly calibrated model still shows about √(bins / n) · 0.3.
    """
    rows, predicted, observed = calibration_bins(logits, success, bins)
    return float((rows * np.abs(observed - predicted)).sum() / rows.sum())


def calibration_bins(logits: Floats, success: Floats, bins: int = 10) -> tuple[Floats, Floats, Floats]:
    """Rows, mean probability and observed rate of every equal-width bin that has rows, each of shape (≤ bins,)."""
    probability = sigmoid(logits)
    place = np.minimum((probability * bins).astype(int), bins - 1)
    rows = np.bincount(place, minlength=bins).astype(np.float64)
    used = rows > 0
    predicted, observed = (
        np.bincount(place, weights=w, minlength=bins)[used] / rows[used] for w in (probability, success)
    )
    return rows[used], predicted, observed


def cluster_interval(
    values: Floats, clusters: Sequence[str], seed: int = 0, draws: int = 2000, weights: Floats | None = None
) -> Interval:
    """The mean, weighted where rows have weights, with a percentile bootstrap over clusters (tasks), drawn whole."""
    weight = np.ones(len(values)) if weights is None else weights
    names, owner = np.unique(np.array(clusters), return_inverse=True)
    sums, totals = np.bincount(owner, weights=weight * values), np.bincount(owner, weights=weight)
    random = np.random.default_rng(derive_seed(seed, "bootstrap"))
    drawn = random.integers(0, len(names), (draws, len(names)))
    means = sums[drawn].sum(axis=1) / totals[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(np.average(values, weights=weight)), float(low), float(high))
