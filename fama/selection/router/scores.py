"""Scores of every subset in one state: logits of success and logarithms of tokens."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fama.selection.decision import Floats, Masks, Scorer, SubsetValues


class RawScores(NamedTuple):
    """Uncalibrated success logits and natural logarithms of tokens, one entry a mask."""

    logit: Floats
    log_tokens: Floats


class StateScores(Protocol):
    """What a predictor knows about one state: scores of any masks, shape (n, helpers)."""

    def __call__(self, masks: Masks) -> RawScores:
        """Scores of these subsets."""
        ...


class Quadratic(NamedTuple):
    """logit(S) = base + Σ utility_i + Σ_{i<j} pair_ij over members; log tokens additive.

    ``pair`` lists i<j row by row, as ``pair_indices`` does.
    """

    base: float
    utility: Floats
    pair: Floats
    token_base: float
    token_utility: Floats

    def __call__(self, masks: Masks) -> RawScores:
        """Scores of these subsets."""
        members = masks.astype(np.float64)
        logit = self.base + members @ self.utility + pair_features(members) @ self.pair
        return RawScores(logit, self.token_base + members @ self.token_utility)


def pair_indices(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of every pair i<j."""
    rows, columns = np.triu_indices(size, 1)
    return rows, columns


def pair_features(members: Floats) -> Floats:
    """1.0 where both of a pair are members, shape (n, size·(size−1)/2)."""
    rows, columns = pair_indices(members.shape[1])
    both: Floats = members[:, rows] * members[:, columns]
    return both


def sigmoid(logit: Floats) -> Floats:
    """1 / (1 + exp(−x)) without overflow."""
    value: Floats = np.exp(-np.logaddexp(0.0, -logit))
    return value


def calibrated(scores: StateScores, temperature: float) -> Scorer:
    """The scorer that ``decide`` takes: P(success) = sigmoid(logit / temperature), tokens = exp(log tokens)."""

    def score(masks: Masks) -> SubsetValues:
        raw = scores(masks)
        return SubsetValues(sigmoid(raw.logit / temperature), np.exp(np.clip(raw.log_tokens, -50.0, 50.0)))

    return score
