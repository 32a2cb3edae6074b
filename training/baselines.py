"""The linear and nearest-neighbour routers: fitted on projected state vectors, tuned by folds over tasks."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fama.randomness import derive_seed
from fama.selection.decision import Floats
from fama.selection.router.checkpoint import Array
from fama.selection.router.embedder import Embedder
from fama.selection.router.manifest import KnnShape, VectorShape
from fama.selection.router.predictors import KnnPredictor
from fama.selection.router.scores import pair_features
from fama.selection.router.segments import Features
from fama.selection.router.vectors import RawVectors, StateVectors
from training.examples import Example
from training.metrics import log_loss
from training.population import (
    PAIR_SCALE,
    OutcomeArrays,
    fit_population,
    fit_success,
    fit_tokens,
    logistic,
    population_design,
)
from training.settings import TrainSettings

Arrays = dict[str, Array]
S = TypeVar("S")


class FittedVectors:
    """State vectors fitted on training states, with the matrix of the rows' vectors (n, k + E)."""

    def __init__(self, raw: RawVectors, settings: TrainSettings, examples: Sequence[Example], whiten: bool) -> None:
        states = list(dict.fromkeys(example.features for example in examples))
        self.arrays = _projection(raw, states, settings.vectors.components, settings.seed, whiten)
        self.vectors = StateVectors(raw, self.arrays)
        self.states: Floats = np.stack([self.vectors(state) for state in states])
        place = {state: i for i, state in enumerate(states)}
        self.row_state: NDArray[np.int64] = np.array([place[example.features] for example in examples])
        self.rows: Floats = self.states[self.row_state]


def _projection(raw: RawVectors, states: Sequence[Features], components: int, seed: int, whiten: bool) -> Arrays:
    from sklearn.decomposition import PCA

    texts = np.stack([raw(state) for state in states])
    evidence = np.array([state.evidence for state in states], dtype=np.float64)
    count = max(1, min(components, len(states) - 1, texts.shape[1]))
    pca = PCA(count, svd_solver="randomized", random_state=derive_seed(seed, "pca") % 2**32).fit(texts)
    spread = np.sqrt(np.maximum(pca.explained_variance_, 1e-12)) if len(states) > 1 else np.ones(count)
    scale = spread if whiten else np.full(count, max(float(np.sqrt((spread**2).sum())), 1e-6))
    deviation = evidence.std(axis=0)
    narrow = 1.0 if whiten else float(np.sqrt(max(int((deviation > 1e-9).sum()), 1)))
    return {
        "text_mean": pca.mean_.astype(np.float32),
        "text_components": pca.components_.astype(np.float32),
        "text_scale": np.maximum(scale, 1e-6).astype(np.float32),
        "evidence_mean": evidence.mean(axis=0).astype(np.float32),
        "evidence_scale": (np.where(deviation > 1e-9, deviation, 1.0) * narrow).astype(np.float32),
    }


def raw_vectors(settings: TrainSettings, embedder: Embedder | None) -> RawVectors:
    """Unprojected vectors as the settings ask for."""
    return RawVectors(VectorShape(source=settings.vectors.source, buckets=settings.vectors.buckets), embedder)


def fit_linear(
    settings: TrainSettings, examples: Sequence[Example], raw: RawVectors
) -> tuple[Arrays, dict[str, float]]:
    """Arrays of a linear router, and the cross-validated log loss of every strength tried."""
    data = OutcomeArrays(examples, settings.losses)
    fitted = FittedVectors(raw, settings, data.examples, whiten=True)

    def held_out(strength: float, train: NDArray[np.bool_]) -> Floats:
        design = _linear_design(data, fitted.rows, strength, settings.linear.pairs)
        coefficients = logistic(design, data, train)
        logits: Floats = coefficients[0] + design[~train] @ coefficients[1:]
        return logits

    strength, tried = _tune(sorted(settings.linear.strengths), held_out, data, settings.linear.folds, settings.seed)
    population, weight = _linear_heads(data, fitted.rows, strength, settings.linear.pairs)
    arrays = {**fitted.arrays, "population": population.astype(np.float32), "weight": weight.astype(np.float32)}
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
    settings: TrainSettings, examples: Sequence[Example], raw: RawVectors
) -> tuple[Arrays, KnnShape, dict[str, float]]:
    """Arrays of a nearest-neighbour router, its shape, and the log loss of every shape tried."""
    data = OutcomeArrays(examples, settings.losses)
    fitted = FittedVectors(raw, settings, data.examples, whiten=False)
    size = data.masks.shape[1]
    shapes = [
        KnnShape(neighbours=neighbours, strength=strength, decay=settings.knn.decay)
        for strength, neighbours in product(sorted(settings.knn.strengths)[::-1], sorted(settings.knn.neighbours)[::-1])
    ]

    def arrays_of(population: Floats, rows: NDArray[np.bool_]) -> Arrays:
        states, row_state = np.unique(fitted.row_state[rows], return_inverse=True)
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
            populations[key] = _population_of(data, train)
        knn = KnnPredictor(fitted.vectors, arrays_of(populations[key], train), size, shape)
        held = np.flatnonzero(~train)
        near = {state: knn.near(fitted.states[state]) for state in set(fitted.row_state[held].tolist())}
        logits: list[float] = [float(near[int(fitted.row_state[i])](data.masks[i : i + 1]).logit[0]) for i in held]
        return np.array(logits)

    shape, tried = _tune(shapes, held_out, data, settings.knn.folds, settings.seed)
    everything = np.ones(len(data.success), dtype=np.bool_)
    return {**fitted.arrays, **arrays_of(fit_population(data), everything)}, shape, tried


def _population_of(data: OutcomeArrays, rows: NDArray[np.bool_]) -> Floats:
    size = data.masks.shape[1]
    return np.concatenate([fit_success(population_design(data.masks), data, rows), np.zeros(1 + size)])


def _tune(
    options: Sequence[S],
    held_out: Callable[[S, NDArray[np.bool_]], Floats],
    data: OutcomeArrays,
    folds: int,
    seed: int,
) -> tuple[S, dict[str, float]]:
    """The option with the smallest log loss over folds of tasks; of equals the first, which is the most shrunken."""
    count = max(2, min(folds, len(set(data.tasks))))
    fold_of = {task: derive_seed(seed, "fold", task) for task in set(data.tasks)}
    ranked = {task: rank % count for rank, task in enumerate(sorted(fold_of, key=lambda t: (fold_of[t], t)))}
    fold = np.array([ranked[task] for task in data.tasks])
    losses = []
    for option in options:
        logits = np.zeros(len(data.success))
        for held in range(count):
            if (fold == held).any() and (fold != held).any():
                logits[fold == held] = held_out(option, fold != held)
        losses.append(float(log_loss(logits, data.success).mean()))
    best = int(np.argmin(losses))
    return options[best], {str(option): loss for option, loss in zip(options, losses, strict=True)}
