"""Label heads, shared by all kinds: logits of failure categories and of the helpers that cover them.

Every head is a function from a state to logits, first of the taxonomy's categories, then of the helpers that cover the
failure's primary ones, shape (C + H,).
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from fama.selection.decision_rule import Floats, Masks
from fama.selection.router.features import Features
from fama.selection.router.scores import Predictor, Quadratic, RawScores, StateScores, sigmoid

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


class ThresholdPredictor(LabelPredictor):
    """Categories, and subsets by their helpers one by one: the best has every helper of probability 1/2 or more.

    The value of a subset is the mean over helpers of (p + [p ≥ 1/2]) / 2 for members and (1 − p + [p < 1/2]) / 2 for
    others. It ranks subsets and is no probability of success; tokens are 1. A helper on the wrong side costs at least
    1 / 2H, more than any tie tolerance below that, and of two that a budget cannot pay for the likelier stays.
    """

    def scores(self, features: Features) -> StateScores:
        """Return the values of subsets as logits."""
        chance = sigmoid(self.logits(features)[self.count :])
        inside = (chance + (chance >= 0.5)) / 2.0
        outside = (1.0 - chance + (chance < 0.5)) / 2.0

        def score(masks: Masks) -> RawScores:
            value = np.where(masks, inside, outside).mean(axis=1)
            return RawScores(logit(value), np.zeros(len(masks)))

        return score


def logit(rate: Floats) -> Floats:
    """Return the log odds of rates, which are kept off 0 and 1."""
    inside = np.clip(rate, MARGIN, 1.0 - MARGIN)
    odds: Floats = np.log(inside / (1.0 - inside))
    return odds
