"""The linear router: heads that are linear in the state vector."""

import numpy as np

from fama.selection.router.features import Features
from fama.selection.router.kinds.base import RouterKind
from fama.selection.router.kinds.checks import Arrays, check_shapes
from fama.selection.router.kinds.label_heads import LabelLogits, LabelPredictor
from fama.selection.router.kinds.state_vectors import UNKNOWN, StateVectors, stored_vectors
from fama.selection.router.scores import StateScores, split_heads
from fama.selection.traits import SelectorTraits


class LinearRouter(RouterKind):
    """Regularised logistic regression on state vectors."""

    title = "linear (regularised logistic regression on state vectors)"
    selector = "linear"
    unknown = UNKNOWN
    traits = SelectorTraits(setup="checkpoint", lead=1, rival=1)

    def outcomes(self) -> "LinearPredictor":
        """Return the predictor of success and tokens."""
        vectors, arrays = stored_vectors(self.stored), self.stored.arrays
        check_shapes(arrays, {"weight": (len(arrays["population"]), vectors.width)})
        return LinearPredictor(vectors, arrays, self.stored.helpers)

    def labels(self) -> LabelPredictor:
        """Return the predictor of categories and coverage."""
        vectors, categories = stored_vectors(self.stored), len(self.stored.manifest.categories)
        check_shapes(self.stored.arrays, {"label_weight": (categories + self.stored.helpers, 1 + vectors.width)})
        return LabelPredictor(linear_labels(vectors, self.stored.arrays), categories)


class LinearPredictor:
    """Heads that are linear in the state vector: ``population`` (O,) + ``weight`` (O, k + E) · vector."""

    def __init__(self, vectors: StateVectors, arrays: Arrays, helpers: int) -> None:
        self.vectors = vectors
        self.context_free = np.asarray(arrays["population"], dtype=np.float64)
        self.weight = np.asarray(arrays["weight"], dtype=np.float64)
        self.helpers = helpers

    def scores(self, features: Features) -> StateScores:
        """Return success logits and log tokens of any subset in this state."""
        return split_heads(self.context_free + self.weight @ self.vectors(features), self.helpers)


def linear_labels(vectors: StateVectors, arrays: Arrays) -> LabelLogits:
    """Return logits linear in the state vector: ``label_weight`` (C + H, 1 + k + E), the intercept first."""
    weight = np.asarray(arrays["label_weight"], dtype=np.float64)
    return lambda features: weight[:, 0] + weight[:, 1:] @ vectors(features)
