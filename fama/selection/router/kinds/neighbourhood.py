"""Executed rows near a state, which move the context-free model: shared by nearest neighbours and the prior."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fama.selection.decision_rule import Floats, Masks
from fama.selection.router.manifest import KnnShape
from fama.selection.router.scores import Quadratic, RawScores, sigmoid


@dataclass(frozen=True)
class Neighbourhood:
    """Rows near a state: their distance weights, subsets and residuals against the context-free model."""

    weights: Floats
    masks: Masks
    success_residual: Floats
    token_residual: Floats
    context_free: Quadratic
    shape: KnnShape

    def __call__(self, masks: Masks) -> RawScores:
        """Return context-free scores, moved by the neighbours' residuals; P(success) stays within 1 and 99 %."""
        prior = self.context_free(masks)
        differing = (masks[:, None, :] ^ self.masks[None, :, :]).sum(axis=-1)
        weight = self.weights * self.shape.decay**differing
        shift = weight @ self.success_residual / (self.shape.strength + weight.sum(axis=1))
        success = np.clip(sigmoid(prior.logit) + shift, 0.01, 0.99)
        drift = float(self.weights @ self.token_residual / (self.shape.strength + self.weights.sum()))
        return RawScores(np.log(success / (1.0 - success)), prior.log_tokens + drift)


def residuals(prior: RawScores, success: Any, log_tokens: Any) -> tuple[Floats, Floats]:
    """Subtract context-free scores from observed success and log tokens, shape (n,); unknown tokens count 0."""
    more = np.asarray(success, dtype=np.float64) - sigmoid(prior.logit)
    return more, np.nan_to_num(np.asarray(log_tokens, dtype=np.float64) - prior.log_tokens, nan=0.0)
