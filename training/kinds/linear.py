"""The linear router: regularised logistic regression on state vectors, for outcomes and for labels."""

from collections.abc import Sequence

import numpy as np

from fama.selection.decision_rule import Floats
from fama.selection.router.kinds.label_heads import logit
from fama.selection.router.scores import pair_features
from training.data.examples import Example
from training.kinds.base import FitTask, HeadFit, Trained
from training.kinds.context_free import PAIR_SCALE, OutcomeArrays, context_free_design, fit_tokens, logistic
from training.kinds.label_arrays import LabelArrays
from training.kinds.state_vectors import FittedVectors, Rows, VectorTrainer, fit_vectors, tune
from training.settings import TrainSettings


class LinearTrainer(VectorTrainer):
    """Fits heads that are linear in the state vector; their shrinkage by cross-validation over tasks."""

    groups = frozenset({"vectors", "linear"})

    def fit(self, task: FitTask) -> Trained:
        """Fit state vectors, then the heads on them."""
        fitted, draft = fit_vectors(task, self.frozen_encoder(task.settings))
        train = task.split.train
        outcomes = fit_outcomes(task.settings, train, fitted) if task.with_outcomes else None
        labels = fit_labels(task.settings, LabelArrays(train), fitted) if task.with_labels else None
        return draft.with_heads(outcomes, labels)


def fit_outcomes(settings: TrainSettings, examples: Sequence[Example], fitted: FittedVectors) -> HeadFit:
    """Fit logistic regression of success and ridge regression of log tokens."""
    data = OutcomeArrays(examples, settings.losses)
    rows = fitted.rows(data.examples)

    def held_out(strength: float, train: Rows) -> Floats:
        design = _linear_design(data, rows, strength, settings.linear.pairs)
        coefficients = logistic(design, data, train)
        logits: Floats = coefficients[0] + design[~train] @ coefficients[1:]
        return logits

    options = sorted(settings.linear.strengths)
    folds = settings.linear.folds
    strength, tried = tune(options, held_out, data.success, data.tasks, folds, settings.seed, weights=data.shares)
    context_free, weight = _linear_heads(data, rows, strength, settings.linear.pairs)
    arrays = {"population": context_free.astype(np.float32), "weight": weight.astype(np.float32)}
    return HeadFit(arrays, tried, strength=strength)


def _linear_design(data: OutcomeArrays, vectors: Floats, strength: float, pairs: bool) -> Floats:
    """Return the context-free columns, then strength · state, then strength · state × members (× pairs)."""
    members = data.masks.astype(np.float64)
    factors = [np.ones((len(members), 1)), members, *([pair_features(members)] if pairs else [])]
    crossed = strength * np.concatenate(factors, axis=1)[:, :, None] * vectors[:, None, :]
    return np.concatenate([context_free_design(data.masks), crossed.reshape(len(members), -1)], axis=1)


def _linear_heads(data: OutcomeArrays, vectors: Floats, strength: float, pairs: bool) -> tuple[Floats, Floats]:
    size, width = data.masks.shape[1], vectors.shape[1]
    count = size * (size - 1) // 2
    fit = logistic(_linear_design(data, vectors, strength, pairs), data)
    success = fit[: 1 + size + count]
    success[1 + size :] *= PAIR_SCALE
    crossed = strength * fit[1 + size + count :].reshape(-1, width)
    members = data.masks.astype(np.float64)
    token_fit = fit_tokens(np.concatenate([members, strength * vectors], axis=1), data)
    weight = np.zeros((2 + 2 * size + count, width))
    weight[: len(crossed)] = crossed
    weight[1 + size + count] = strength * token_fit[1 + size :]
    return np.concatenate([success, token_fit[: 1 + size]]), weight


def fit_labels(settings: TrainSettings, data: LabelArrays, fitted: FittedVectors) -> HeadFit:
    """Fit a regularised logistic regression per label."""
    from sklearn.linear_model import LogisticRegression

    vectors = fitted.rows(data.examples)

    def weights(strength: float, rows: Rows) -> Floats:
        weight = np.zeros((data.flags.shape[1], 1 + vectors.shape[1]))
        weight[:, 0] = logit(data.rates(rows))
        for label, flags in enumerate(data.flags[rows].T):
            if strength and flags.min() != flags.max():
                model = LogisticRegression(C=1.0, max_iter=2000)
                model.fit(strength * vectors[rows], flags, sample_weight=data.weights[rows])
                weight[label] = [model.intercept_[0], *(strength * model.coef_[0])]
        return weight

    def held_out(strength: float, train: Rows) -> Floats:
        weight = weights(strength, train)
        logits: Floats = weight[:, 0] + vectors[~train] @ weight[:, 1:].T
        return logits

    options = sorted(settings.linear.strengths)
    folds = settings.linear.folds
    strength, tried = tune(options, held_out, data.flags, data.tasks, folds, settings.seed, weights=data.weights)
    everything = np.ones(len(data.flags), dtype=np.bool_)
    return HeadFit({"label_weight": weights(strength, everything).astype(np.float32)}, tried)
