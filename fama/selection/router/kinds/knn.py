"""The nearest-neighbour router: smoothed success and label rates among the nearest training states."""

import numpy as np

from fama.selection.decision_rule import Floats
from fama.selection.router.features import Features
from fama.selection.router.kinds.base import RouterKind
from fama.selection.router.kinds.checks import Arrays, check_places, check_shapes
from fama.selection.router.kinds.label_heads import LabelPredictor, logit
from fama.selection.router.kinds.neighbourhood import Neighbourhood, residuals
from fama.selection.router.kinds.state_vectors import UNKNOWN, StateVectors, stored_vectors
from fama.selection.router.manifest import KnnShape
from fama.selection.router.scores import StateScores, split_heads
from fama.selection.traits import SelectorTraits


class KnnRouter(RouterKind):
    """Nearest neighbours in the space of state vectors."""

    title = "nearest neighbours in state space, smoothed towards the context-free model"
    selector = "knn"
    traits = SelectorTraits(setup="checkpoint", lead=3, rival=2)
    unknown = UNKNOWN | {"row_log_tokens"}

    def outcomes(self) -> "KnnPredictor":
        """Return the predictor of success and tokens."""
        stored = self.stored
        if stored.manifest.knn is None:
            raise ValueError("it describes no neighbourhood")
        vectors, arrays = stored_vectors(stored), stored.arrays
        states, rows = _states(arrays, "states", stored.manifest.knn), len(arrays["row_state"])
        shapes: dict[str, tuple[int, ...]] = {
            "states": (states, vectors.width),
            "row_state": (rows,),
            "row_masks": (rows, stored.helpers),
            "row_success": (rows,),
            "row_log_tokens": (rows,),
        }
        check_shapes(arrays, {**shapes, **({"row_weights": (rows,)} if "row_weights" in arrays else {})})
        check_places(arrays, "row_state", states)
        return KnnPredictor(vectors, arrays, stored.helpers, stored.manifest.knn)

    def labels(self) -> LabelPredictor:
        """Return the predictor of categories and coverage."""
        manifest = self.stored.manifest
        if manifest.label_knn is None:
            raise ValueError("it describes no neighbourhood of labels")
        vectors, arrays = stored_vectors(self.stored), self.stored.arrays
        states, labels = (
            _states(arrays, "label_states", manifest.label_knn),
            len(manifest.categories) + len(manifest.pool),
        )
        shapes: dict[str, tuple[int, ...]] = {
            "label_states": (states, vectors.width),
            "label_flags": (states, labels),
            "label_rates": (labels,),
        }
        check_shapes(arrays, {**shapes, **({"label_weights": (states,)} if "label_weights" in arrays else {})})
        return LabelPredictor(KnnLabels(vectors, arrays, manifest.label_knn), len(manifest.categories))


def _states(arrays: Arrays, name: str, shape: KnnShape) -> int:
    """Return the number of stored states; a neighbourhood needs one, and a neighbour."""
    if shape.neighbours < 1 or shape.strength <= 0.0 or not len(arrays[name]):
        raise ValueError(f"{name}: {len(arrays[name])} states with {shape}; all must be positive")
    return len(arrays[name])


class KnnPredictor:
    """Smoothed success per subset among the nearest training states.

    Arrays: ``states`` (n, k + E), ``row_state`` (r), ``row_masks`` (r, H), ``row_success`` (r),
    ``row_log_tokens`` (r, NaN unknown), ``population`` (O,), and ``row_weights`` (r), 1 each where the checkpoint has
    none.
    """

    def __init__(self, vectors: StateVectors, arrays: Arrays, helpers: int, shape: KnnShape) -> None:
        self.vectors = vectors
        self.shape = shape
        self.states = np.asarray(arrays["states"], dtype=np.float64)
        self.row_state = np.asarray(arrays["row_state"]).astype(np.int64)
        self.masks = np.asarray(arrays["row_masks"]) > 0.5
        self.weights = np.asarray(arrays.get("row_weights", np.ones(len(self.row_state))), dtype=np.float64)
        self.context_free = split_heads(np.asarray(arrays["population"], dtype=np.float64), helpers)
        self.success_residual, self.token_residual = residuals(
            self.context_free(self.masks), arrays["row_success"], arrays["row_log_tokens"]
        )

    def scores(self, features: Features) -> StateScores:
        """Return success logits and log tokens of any subset in this state."""
        return self.near(self.vectors(features))

    def near(self, vector: Floats) -> Neighbourhood:
        """Return the neighbourhood of a state vector."""
        weights = self.weights * nearness(self.states, vector, self.shape.neighbours)[self.row_state]
        rows = weights > 0.0
        return Neighbourhood(
            weights[rows],
            self.masks[rows],
            self.success_residual[rows],
            self.token_residual[rows],
            self.context_free,
            self.shape,
        )


class KnnLabels:
    """Label rates among the nearest labelled states, smoothed to ``label_rates`` (C + H).

    Arrays: ``label_states`` (n, k + E), ``label_flags`` (n, C + H), ``label_rates``, and ``label_weights`` (n), 1 each
    where the checkpoint has none.
    """

    def __init__(self, vectors: StateVectors, arrays: Arrays, shape: KnnShape) -> None:
        self.vectors = vectors
        self.shape = shape
        self.states = np.asarray(arrays["label_states"], dtype=np.float64)
        self.flags = np.asarray(arrays["label_flags"], dtype=np.float64)
        self.rates = np.asarray(arrays["label_rates"], dtype=np.float64)
        self.weights = np.asarray(arrays.get("label_weights", np.ones(len(self.flags))), dtype=np.float64)

    def __call__(self, features: Features) -> Floats:
        """Return the logits in this state."""
        return self.near(self.vectors(features))

    def near(self, vector: Floats) -> Floats:
        """Return the logits at a state vector."""
        weights = self.weights * nearness(self.states, vector, self.shape.neighbours)
        rate = (weights @ self.flags + self.shape.strength * self.rates) / (weights.sum() + self.shape.strength)
        return logit(rate)


def nearness(states: Floats, vector: Floats, neighbours: int) -> Floats:
    """Return Gaussian weights of the nearest states, one bandwidth at the farthest neighbour, 0 beyond it."""
    distance = np.linalg.norm(states - vector, axis=1)
    count = min(neighbours, len(distance))
    bandwidth = max(float(np.partition(distance, count - 1)[count - 1]), 1e-9)
    weights: Floats = np.where(distance <= bandwidth, np.exp(-2.0 * (distance / bandwidth) ** 2), 0.0)
    return weights
