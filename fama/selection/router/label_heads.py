"""Heads that were fitted on labelled failures: what is likely to break, and which helpers cover it.

Every head is a function from a state to logits, first of the taxonomy's categories, then of the helpers that cover the
failure's primary ones, shape (C + H,).
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from fama.selection.decision import Floats
from fama.selection.router.features import Features
from fama.selection.router.manifest import KnnShape
from fama.selection.router.scores import Quadratic, StateScores, sigmoid
from fama.selection.router.vectors import Arrays, StateVectors

LabelLogits = Callable[[Features], Floats]
#: Rates of labels stay this far from 0 and 1.
MARGIN = 0.005


class Categories(Protocol):
    """What routers can do that were trained on labelled failures."""

    def categories(self, features: Features) -> Floats:
        """Probability of every failure category in this state, in the taxonomy's order."""
        ...


class LabelPredictor:
    """Categories, and subsets by coverage alone: P of a subset is sigmoid(Σ logits of its helpers), tokens are 1."""

    def __init__(self, logits: LabelLogits, categories: int) -> None:
        self.logits = logits
        self.count = categories

    def categories(self, features: Features) -> Floats:
        """Probability of every failure category in this state, in the taxonomy's order."""
        return sigmoid(self.logits(features)[: self.count])

    def scores(self, features: Features) -> StateScores:
        """Coverage as if it were success: for routers that have seen no outcome."""
        utility = self.logits(features)[self.count :]
        size = len(utility)
        return Quadratic(0.0, utility, np.zeros(size * (size - 1) // 2), 0.0, np.zeros(size))


def linear_labels(vectors: StateVectors, arrays: Arrays) -> LabelLogits:
    """Logits linear in the state vector: ``label_weight`` (C + H, 1 + k + E), the intercept first."""
    weight = np.asarray(arrays["label_weight"], dtype=np.float64)
    return lambda features: weight[:, 0] + weight[:, 1:] @ vectors(features)


class KnnLabels:
    """Label rates among the nearest labelled states, smoothed to ``label_rates`` (C + H).

    Arrays: ``label_states`` (n, k + E), ``label_flags`` (n, C + H), ``label_rates``.
    """

    def __init__(self, vectors: StateVectors, arrays: Arrays, shape: KnnShape) -> None:
        self.vectors = vectors
        self.shape = shape
        self.states = np.asarray(arrays["label_states"], dtype=np.float64)
        self.flags = np.asarray(arrays["label_flags"], dtype=np.float64)
        self.rates = np.asarray(arrays["label_rates"], dtype=np.float64)

    def __call__(self, features: Features) -> Floats:
        """Logits in this state."""
        return self.near(self.vectors(features))

    def near(self, vector: Floats) -> Floats:
        """Logits at a state vector."""
        weights = nearness(self.states, vector, self.shape.neighbours)
        rate = (weights @ self.flags + self.shape.strength * self.rates) / (weights.sum() + self.shape.strength)
        return logit(rate)


def nearness(states: Floats, vector: Floats, neighbours: int) -> Floats:
    """Gaussian weights of the nearest states, one bandwidth at the farthest neighbour, 0 beyond it."""
    distance = np.linalg.norm(states - vector, axis=1)
    count = min(neighbours, len(distance))
    bandwidth = max(float(np.partition(distance, count - 1)[count - 1]), 1e-9)
    weights: Floats = np.where(distance <= bandwidth, np.exp(-2.0 * (distance / bandwidth) ** 2), 0.0)
    return weights


def logit(rate: Floats) -> Floats:
    """Log odds of rates, which are kept off 0 and 1."""
    inside = np.clip(rate, MARGIN, 1.0 - MARGIN)
    odds: Floats = np.log(inside / (1.0 - inside))
    return odds
