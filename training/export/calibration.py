"""Temperature scaling on the validation split (Guo et al. 2017, On Calibration of Modern Neural Networks)."""

from collections.abc import Sequence

import numpy as np

from fama.randomness import derive_seed
from fama.selection.decision_rule import Floats
from fama.selection.router.manifest import Calibration
from training.prediction_metrics import effective_rows, expected_calibration_error, log_loss

#: With fewer rows (of equal weight that tell as much), or on one side only, no temperature is fitted.
MIN_ROWS = 20
_LOW, _HIGH = 0.25, 10.0


def fit_temperature(logits: Floats, success: Floats, weights: Floats | None = None) -> float:
    """Return the temperature in [0.25, 10] with the smallest log loss; 1.0 where the data cannot tell."""
    from scipy.optimize import minimize_scalar

    weights = np.ones(len(success)) if weights is None else weights
    if effective_rows(weights) < MIN_ROWS or success.min() == success.max() or float(np.abs(logits).max()) < 1e-9:
        return 1.0

    def loss(log_temperature: float) -> float:
        return _mean_loss(logits / np.exp(log_temperature), success, weights)

    found = minimize_scalar(loss, bounds=(np.log(_LOW), np.log(_HIGH)), method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def calibrate(
    logits: Floats,
    success: Floats,
    tasks: Sequence[str],
    seed: int = 0,
    weights: Floats | None = None,
    before: float = 1.0,
) -> Calibration:
    """Fit the temperature on all rows; the error after it is cross-fitted over two halves of the tasks.

    Where a temperature of one half makes the log loss of the other half no better, the rows are too noisy for one, and
    it is 1; where no half can tell one, as in a training on labels alone or with few rows, it stays ``before``, the
    initial router's. ``weights`` of the rows count in every loss and error; None weighs all alike.
    """
    if not len(success):
        return Calibration(temperature=before)
    weights = np.ones(len(success)) if weights is None else weights
    enough = effective_rows(weights) >= MIN_ROWS
    after = cross_fitted(logits, success, tasks, seed, weights)
    if _mean_loss(after, success, weights) >= _mean_loss(logits, success, weights):
        told = enough and not np.array_equal(after, logits)
        temperature, after = 1.0 if told else before, logits
    else:
        temperature = fit_temperature(logits, success, weights)
    return Calibration(
        temperature=temperature,
        rows=len(success),
        ece_before=expected_calibration_error(logits, success, weights=weights) if enough else None,
        ece_after=expected_calibration_error(after, success, weights=weights) if enough else None,
    )


def cross_fitted(logits: Floats, success: Floats, tasks: Sequence[str], seed: int, weights: Floats) -> Floats:
    """Return the logits of each half of the tasks by the temperature of the other half."""
    half = np.array([derive_seed(seed, "calibration", task) % 2 == 0 for task in tasks], dtype=np.bool_)
    after = logits.copy()
    for side in (half, ~half):
        if side.any():
            after[side] = logits[side] / fit_temperature(logits[~side], success[~side], weights[~side])
    return after


def _mean_loss(logits: Floats, success: Floats, weights: Floats) -> float:
    return float(np.average(log_loss(logits, success), weights=weights))
