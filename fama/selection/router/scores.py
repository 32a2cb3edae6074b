"""Scores of every subset in one state: logits of success and logarithms of tokens."""

from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fama.selection.decision_rule import Floats, Masks, Scorer, SubsetValues
from fama.selection.router.features import Features


class RawScores(NamedTuple):
    """Uncalibrated success logits and natural logarithms of tokens, one entry per mask."""

    logit: Floats
    log_tokens: Floats


class StateScores(Protocol):
    """The scores of one state, for any masks of shape (n, helpers)."""

    def __call__(self, masks: Masks) -> RawScores:
        """Score these subsets."""
        ...


class Predictor(Protocol):
    """The part of a router that scores the subsets of a state."""

    def scores(self, features: Features) -> StateScores:
        """Return success logits and log tokens of any subset in this state."""
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
        """Score these subsets."""
        members = masks.astype(np.float64)
        logit = self.base + members @ self.utility + pair_features(members) @ self.pair
        return RawScores(logit, self.token_base + members @ self.token_utility)


def split_heads(values: Floats, helpers: int) -> Quadratic:
    """Split one row of numbers into base, utilities, pairs, token base and token utilities."""
    first_pair = 1 + helpers
    token = first_pair + helpers * (helpers - 1) // 2
    utility, pair = values[1:first_pair], values[first_pair:token]
    return Quadratic(float(values[0]), utility, pair, float(values[token]), values[token + 1 :])


def pair_indices(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and column of every pair i<j."""
    rows, columns = np.triu_indices(size, 1)
    return rows, columns


_kept_pair_indices = lru_cache(maxsize=16)(pair_indices)


def pair_features(members: Floats) -> Floats:
    """Return 1.0 where both of a pair are members, shape (n, size·(size−1)/2)."""
    rows, columns = _kept_pair_indices(members.shape[1])
    both: Floats = members[:, rows] * members[:, columns]
    return both


def sigmoid(logit: Floats) -> Floats:
    """Return 1 / (1 + exp(−x)) without overflow."""
    value: Floats = np.exp(-np.logaddexp(0.0, -logit))
    return value


def calibrated(scores: StateScores, temperature: float) -> Scorer:
    """Return the scorer that ``decide`` takes: P(success) = sigmoid(logit / temperature), tokens = exp(log tokens)."""

    def score(masks: Masks) -> SubsetValues:
        raw = scores(masks)
        log_tokens = np.minimum(np.maximum(raw.log_tokens, -50.0), 50.0)  # np.clip takes longer than all else here
        return SubsetValues(sigmoid(raw.logit / temperature), np.exp(log_tokens))

    return score
