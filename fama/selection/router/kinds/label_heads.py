"""Label heads, shared by all kinds: logits of failure categories and of the helpers that cover them.

Every head is a function from a state to logits, first of the taxonomy's categories, then of the helpers that cover the
failure's primary ones, shape (C + H,).
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from fama.selection.decision import Floats
from fama.selection.router.features import Features
from fama.selection.router.scores import Predictor, Quadratic, StateScores, sigmoid

LabelLogits = Callable[[Features], Floats]
#: Rates of labels stay this far from 0 and 1.
MARGIN = 0.005


class Categories(Protocol):
    """The part of a router that predicts failure categories."""

    def categories(self, features: Features) -> Floats:
        """Return the probability of every failure category in this state, in the taxonomy's order."""
        ...


class LabelledPredictor(Predictor, Categories, Protocol):
    """A predictor of categories that also scores subsets, by coverage or by outcomes."""


class LabelPredictor:
    """Categories, and subsets by coverage alone: P of a subset is sigmoid(Σ logits of its helpers), tokens are 1."""

    def __init__(self, logits: LabelLogits, categories: int) -> None:
        self.logits = logits
        self.count = categories

    def categories(self, features: Features) -> Floats:
        """Return the probability of every failure category in this state, in the taxonomy's order."""
        return sigmoid(self.logits(features)[: self.count])

    def scores(self, features: Features) -> StateScores:
        """Score coverage as if it were success: for routers that have seen no outcome."""
        utility = self.logits(features)[self.count :]
        size = len(utility)
        return Quadratic(0.0, utility, np.zeros(size * (size - 1) // 2), 0.0, np.zeros(size))


def logit(rate: Floats) -> Floats:
    """Return the log odds of rates, which are kept off 0 and 1."""
    inside = np.clip(rate, MARGIN, 1.0 - MARGIN)
    odds: Floats = np.log(inside / (1.0 - inside))
    return odds
