"""The outcome heads of the linear and nearest-neighbour routers, on projected state vectors."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from fama.selection.decision import Floats
from fama.selection.router.manifest import KnnShape
from fama.selection.router.predictors import KnnPredictor
from fama.selection.router.scores import pair_features
from training.data.examples import Example
from training.kinds.context_free import (
    PAIR_SCALE,
    OutcomeArrays,
    fit_population,
    fit_success,
    fit_tokens,
    logistic,
    population_design,
)
from training.kinds.state_vectors import Arrays, FittedVectors, tune
from training.settings import TrainSettings


def fit_linear(
    settings: TrainSettings, examples: Sequence[Example], fitted: FittedVectors
) -> tuple[Arrays, dict[str, float]]:
    """Arrays of a linear router's outcome heads, and the cross-validated log loss of every strength tried."""
    data = OutcomeArrays(examples, settings.losses)
    rows = fitted.rows(data.examples)

    def held_out(strength: float, train: NDArray[np.bool_]) -> Floats:
        design = _linear_design(data, rows, strength, settings.linear.pairs)
        coefficients = logistic(design, data, train)
        logits: Floats = coefficients[0] + design[~train] @ coefficients[1:]
        return logits

    options = sorted(settings.linear.strengths)
    strength, tried = tune(options, held_out, data.success, data.tasks, settings.linear.folds, settings.seed)
    population, weight = _linear_heads(data, rows, strength, settings.linear.pairs)
    arrays = {"population": population.astype(np.float32), "weight": weight.astype(np.float32)}
    return arrays, tried


def _linear_design(data: OutcomeArrays, vectors: Floats, strength: float, pairs: bool) -> Floats:
    """Population columns, then strength · state, then strength · state × members (× pairs)."""
    members = data.masks.astype(np.float64)
    factors = [np.ones((len(members), 1)), members, *([pair_features(members)] if pairs else [])]
    crossed = strength * np.concatenate(factors, axis=1)[:, :, None] * vectors[:, None, :]
    return np.concatenate([population_design(data.masks), crossed.reshape(len(members), -1)], axis=1)


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


def fit_knn(
    settings: TrainSettings, examples: Sequence[Example], fitted: FittedVectors
) -> tuple[Arrays, KnnShape, dict[str, float]]:
    """Arrays of a nearest-neighbour router's outcome heads, its shape, and the log loss of every shape tried."""
    data = OutcomeArrays(examples, settings.losses)
    places = fitted.places(data.examples)
    size = data.masks.shape[1]
    shapes = [
        KnnShape(neighbours=neighbours, strength=strength, decay=settings.knn.decay)
        for strength, neighbours in product(sorted(settings.knn.strengths)[::-1], sorted(settings.knn.neighbours)[::-1])
    ]

    def arrays_of(population: Floats, rows: NDArray[np.bool_]) -> Arrays:
        states, row_state = np.unique(places[rows], return_inverse=True)
        return {
            "states": fitted.states[states].astype(np.float32),
            "row_state": row_state.astype(np.int32),
            "row_masks": data.masks[rows].astype(np.uint8),
            "row_success": data.success[rows].astype(np.float32),
            "row_log_tokens": data.log_tokens[rows].astype(np.float32),
            "population": population.astype(np.float32),
        }

    populations: dict[bytes, Floats] = {}

    def held_out(shape: KnnShape, train: NDArray[np.bool_]) -> Floats:
        key = train.tobytes()
        if key not in populations:
            populations[key] = population_of(data, train)
        knn = KnnPredictor(fitted.vectors, arrays_of(populations[key], train), size, shape)
        held = np.flatnonzero(~train)
        near = {state: knn.near(fitted.states[state]) for state in set(places[held].tolist())}
        logits: list[float] = [float(near[int(places[i])](data.masks[i : i + 1]).logit[0]) for i in held]
        return np.array(logits)

    shape, tried = tune(shapes, held_out, data.success, data.tasks, settings.knn.folds, settings.seed)
    everything = np.ones(len(data.success), dtype=np.bool_)
    return arrays_of(fit_population(data), everything), shape, tried


def population_of(data: OutcomeArrays, rows: NDArray[np.bool_]) -> Floats:
    """The population's success heads, fitted on some rows; those of tokens are zero."""
    size = data.masks.shape[1]
    return np.concatenate([fit_success(population_design(data.masks), data, rows), np.zeros(1 + size)])
