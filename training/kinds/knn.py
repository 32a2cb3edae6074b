"""The nearest-neighbour router: smoothed success and label rates among the nearest training states."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from fama.selection.decision_rule import Floats
from fama.selection.router.kinds.knn import KnnLabels, KnnPredictor
from fama.selection.router.manifest import KnnShape
from training.data.examples import Example
from training.kinds.base import FitTask, FittedArrays, HeadFit, Trained
from training.kinds.context_free import OutcomeArrays, fit_context_free, fit_success_heads
from training.kinds.label_arrays import LabelArrays
from training.kinds.state_vectors import FittedVectors, Rows, VectorTrainer, fit_vectors, tune
from training.settings import TrainSettings


class KnnTrainer(VectorTrainer):
    """Stores training states; neighbours and smoothing by cross-validation over tasks."""

    groups = frozenset({"vectors", "knn"})

    def fit(self, task: FitTask) -> Trained:
        """Fit state vectors, of which distances are taken, then choose the neighbourhoods."""
        fitted, draft = fit_vectors(task, self.frozen_encoder(task.settings), whiten=False)
        train = task.split.train
        outcomes = fit_outcomes(task.settings, train, fitted) if task.with_outcomes else None
        labels = fit_labels(task.settings, LabelArrays(train), fitted) if task.with_labels else None
        return replace(
            draft.with_heads(outcomes, labels),
            knn=outcomes.shape if outcomes is not None else None,
            label_knn=labels.shape if labels is not None else None,
        )


def fit_outcomes(settings: TrainSettings, examples: Sequence[Example], fitted: FittedVectors) -> HeadFit:
    """Choose neighbours and strength for outcomes, and store the executed rows."""
    data = OutcomeArrays(examples, settings.losses)
    places = fitted.places(data.examples)
    size, weighted = data.masks.shape[1], bool((data.shares != 1.0).any())

    def arrays_of(heads: Floats, rows: Rows) -> FittedArrays:
        states, row_state = np.unique(places[rows], return_inverse=True)
        return {
            "states": fitted.states[states].astype(np.float32),
            "row_state": row_state.astype(np.int32),
            "row_masks": data.masks[rows].astype(np.uint8),
            "row_success": data.success[rows].astype(np.float32),
            "row_log_tokens": data.log_tokens[rows].astype(np.float32),
            **({"row_weights": data.shares[rows].astype(np.float32)} if weighted else {}),
            "population": heads.astype(np.float32),
        }

    context_free: dict[bytes, Floats] = {}

    def held_out(shape: KnnShape, train: Rows) -> Floats:
        key = train.tobytes()
        if key not in context_free:
            context_free[key] = fit_success_heads(data, train)
        knn = KnnPredictor(fitted.vectors, arrays_of(context_free[key], train), size, shape)
        held = np.flatnonzero(~train)
        near = {state: knn.near(fitted.states[state]) for state in set(places[held].tolist())}
        logits: list[float] = [float(near[int(places[i])](data.masks[i : i + 1]).logit[0]) for i in held]
        return np.array(logits)

    options, folds = _shapes(settings), settings.knn.folds
    shape, tried = tune(options, held_out, data.success, data.tasks, folds, settings.seed, weights=data.shares)
    everything = np.ones(len(data.success), dtype=np.bool_)
    return HeadFit(arrays_of(fit_context_free(data), everything), tried, shape)


def fit_labels(settings: TrainSettings, data: LabelArrays, fitted: FittedVectors) -> HeadFit:
    """Choose neighbours and strength for labels, and store the labelled states."""
    vectors = fitted.rows(data.examples)

    def arrays_of(rows: Rows) -> FittedArrays:
        return {
            "label_states": vectors[rows].astype(np.float32),
            "label_flags": data.flags[rows].astype(np.float32),
            "label_weights": data.weights[rows].astype(np.float32),
            "label_rates": data.rates(rows).astype(np.float32),
        }

    def held_out(shape: KnnShape, train: Rows) -> Floats:
        near = KnnLabels(fitted.vectors, arrays_of(train), shape)
        return np.array([near.near(vector) for vector in vectors[~train]])

    folds = settings.knn.folds
    shape, tried = tune(_shapes(settings), held_out, data.flags, data.tasks, folds, settings.seed, weights=data.weights)
    return HeadFit(arrays_of(np.ones(len(data.flags), dtype=np.bool_)), tried, shape)


def _shapes(settings: TrainSettings) -> list[KnnShape]:
    """Return the shapes to try, the most shrunken first."""
    options = settings.knn
    sizes = product(sorted(options.strengths)[::-1], sorted(options.neighbours)[::-1])
    return [KnnShape(neighbours=count, strength=strength, decay=options.decay) for strength, count in sizes]
