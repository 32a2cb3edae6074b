"""The context-free model: subsets alone, no state. Every router starts from it and is shrunk to it.

A few hundred rows support little more; it amounts to the best fixed subset, smoothed by
a logistic model with pair interactions instead of one mean per subset.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fama.errors import BadInput
from fama.selection.decision_rule import Floats, Masks
from fama.selection.router.scores import pair_features
from training.data.examples import Example
from training.data.row_weights import outcome_weights
from training.settings import LossSettings

#: Pair columns are scaled down, so that ridge shrinks an interaction four times as much as a main effect.
PAIR_SCALE = 0.5
_RIDGE = 1.0


class OutcomeArrays:
    """The examples with an outcome as arrays: masks (n, H), success, log tokens (NaN unknown), weights.

    ``shares`` are the rows' own weights, how much of a row each is; ``weights`` those of the fit, by propensity too.
    """

    def __init__(self, examples: Sequence[Example], losses: LossSettings) -> None:
        weights = outcome_weights(examples, losses)
        kept = [
            (e, w) for e, w in zip(examples, weights, strict=True) if e.subset is not None and e.success is not None
        ]
        if not kept:
            raise BadInput("data.outcomes: no finished row to learn from; give an outcome table with finished episodes")
        self.examples = [example for example, _ in kept]
        self.masks: Masks = np.array([example.subset for example in self.examples], dtype=np.bool_)
        self.success: Floats = np.array([float(bool(example.success)) for example in self.examples])
        tokens = np.array([example.tokens or np.nan for example in self.examples])
        self.log_tokens: Floats = np.log(tokens)
        self.shares: Floats = np.array([example.weight for example in self.examples])
        self.weights: Floats = self.shares * np.array([weight for _, weight in kept])
        self.tasks = [example.task for example in self.examples]
        if self.success.min() == self.success.max():
            what = "succeeded" if self.success[0] else "failed"
            raise BadInput(f"data.outcomes: every training row {what}; a router needs both, add tasks or subsets")


def fit_context_free(data: OutcomeArrays) -> Floats:
    """Fit heads without a state, in the order base, utilities, pairs, token base, token utilities.

    Success by ridge-penalised logistic regression, log tokens by ridge regression.
    """
    return np.concatenate(
        [fit_success(context_free_design(data.masks), data), fit_tokens(data.masks.astype(np.float64), data)]
    )


def fit_success_heads(data: OutcomeArrays, rows: NDArray[np.bool_]) -> Floats:
    """Fit the heads of success on some rows; those of tokens are zero."""
    size = data.masks.shape[1]
    return np.concatenate([fit_success(context_free_design(data.masks), data, rows), np.zeros(1 + size)])


def context_free_design(masks: Masks) -> Floats:
    """Return the columns of the penalised fit: members, then scaled pairs."""
    members = masks.astype(np.float64)
    return np.concatenate([members, PAIR_SCALE * pair_features(members)], axis=1)


def fit_success(design: Floats, data: OutcomeArrays, rows: NDArray[np.bool_] | None = None) -> Floats:
    """Fit intercept and coefficients of the context-free columns, pairs scaled back; further columns as they are."""
    coefficients = logistic(design, data, rows)
    size = data.masks.shape[1]
    pairs = size * (size - 1) // 2
    coefficients[1 + size : 1 + size + pairs] *= PAIR_SCALE
    return coefficients


def logistic(design: Floats, data: OutcomeArrays, rows: NDArray[np.bool_] | None = None) -> Floats:
    """Fit intercept and coefficients of a ridge-penalised logistic regression (penalty 1/2 · |w|²)."""
    from sklearn.linear_model import LogisticRegression

    keep = np.ones(len(design), dtype=np.bool_) if rows is None else rows
    target, weights = data.success[keep], data.weights[keep]
    if target.min() == target.max():
        shares = data.shares[keep]
        rate = (shares @ target + 0.5) / (shares.sum() + 1.0)
        return np.concatenate([[np.log(rate / (1 - rate))], np.zeros(design.shape[1])])
    model = LogisticRegression(C=1.0 / _RIDGE, max_iter=2000)
    model.fit(design[keep], target, sample_weight=weights)
    return np.concatenate([model.intercept_, model.coef_[0]])


def fit_tokens(design: Floats, data: OutcomeArrays, rows: NDArray[np.bool_] | None = None) -> Floats:
    """Fit intercept and coefficients of a ridge regression of log tokens; zeros where no row has tokens."""
    from sklearn.linear_model import Ridge

    known = ~np.isnan(data.log_tokens) & (True if rows is None else rows)
    if not known.any():
        return np.zeros(1 + design.shape[1])
    model = Ridge(alpha=_RIDGE)
    model.fit(design[known], data.log_tokens[known], sample_weight=data.weights[known])
    return np.concatenate([[float(model.intercept_)], model.coef_])
