"""Linear, nearest-neighbour and encoder routers at inference: features of a state in, scores of every subset out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fama.selection.decision import Floats, Masks
from fama.selection.router.embedder import Embedder, one_thread
from fama.selection.router.features import Features
from fama.selection.router.label_heads import nearness
from fama.selection.router.manifest import KnnShape
from fama.selection.router.scores import Quadratic, RawScores, StateScores, sigmoid
from fama.selection.router.vectors import Arrays, StateVectors

if TYPE_CHECKING:
    from fama.selection.router.network import Heads, RouterNetwork


class Predictor(Protocol):
    """What every kind of router can do."""

    def scores(self, features: Features) -> StateScores:
        """Success logits and log tokens of any subset in this state."""
        ...


def split_heads(values: Floats, helpers: int) -> Quadratic:
    """Heads from one row of numbers: base, utilities, pairs, token base, token utilities."""
    pairs = helpers * (helpers - 1) // 2
    bounds = np.cumsum([1, helpers, pairs, 1])
    base, utility, pair, token_base, token_utility = np.split(values, bounds)
    return Quadratic(float(base[0]), utility, pair, float(token_base[0]), token_utility)


class LinearPredictor:
    """Heads that are linear in the state vector: ``population`` (O,) + ``weight`` (O, k + E) · vector."""

    def __init__(self, vectors: StateVectors, arrays: Arrays, helpers: int) -> None:
        self.vectors = vectors
        self.population = np.asarray(arrays["population"], dtype=np.float64)
        self.weight = np.asarray(arrays["weight"], dtype=np.float64)
        self.helpers = helpers

    def scores(self, features: Features) -> StateScores:
        """Success logits and log tokens of any subset in this state."""
        return split_heads(self.population + self.weight @ self.vectors(features), self.helpers)


@dataclass(frozen=True)
class Neighbourhood:
    """Rows near a state: their distance weights, subsets and residuals against the population."""

    weights: Floats
    masks: Masks
    success_residual: Floats
    token_residual: Floats
    population: Quadratic
    shape: KnnShape

    def __call__(self, masks: Masks) -> RawScores:
        """Population scores, moved by the neighbours' residuals; P(success) stays within 1 and 99 %."""
        prior = self.population(masks)
        differing = (masks[:, None, :] ^ self.masks[None, :, :]).sum(axis=-1)
        weight = self.weights * self.shape.decay**differing
        shift = weight @ self.success_residual / (self.shape.strength + weight.sum(axis=1))
        success = np.clip(sigmoid(prior.logit) + shift, 0.01, 0.99)
        drift = float(self.weights @ self.token_residual / (self.shape.strength + self.weights.sum()))
        return RawScores(np.log(success / (1.0 - success)), prior.log_tokens + drift)


def residuals(prior: RawScores, success: Any, log_tokens: Any) -> tuple[Floats, Floats]:
    """What observed success and log tokens, shape (n,), have over the population's; unknown tokens count 0."""
    more = np.asarray(success, dtype=np.float64) - sigmoid(prior.logit)
    return more, np.nan_to_num(np.asarray(log_tokens, dtype=np.float64) - prior.log_tokens, nan=0.0)


class KnnPredictor:
    """Smoothed success a subset among the nearest training states.

    Arrays: ``states`` (n, k + E), ``row_state`` (r), ``row_masks`` (r, H), ``row_success`` (r),
    ``row_log_tokens`` (r, NaN unknown) and ``population`` (O,).
    """

    def __init__(self, vectors: StateVectors, arrays: Arrays, helpers: int, shape: KnnShape) -> None:
        self.vectors = vectors
        self.shape = shape
        self.states = np.asarray(arrays["states"], dtype=np.float64)
        self.row_state = np.asarray(arrays["row_state"]).astype(np.int64)
        self.masks = np.asarray(arrays["row_masks"]) > 0.5
        self.population = split_heads(np.asarray(arrays["population"], dtype=np.float64), helpers)
        self.success_residual, self.token_residual = residuals(
            self.population(self.masks), arrays["row_success"], arrays["row_log_tokens"]
        )

    def scores(self, features: Features) -> StateScores:
        """Success logits and log tokens of any subset in this state."""
        return self.near(self.vectors(features))

    def near(self, vector: Floats) -> Neighbourhood:
        """The neighbourhood of a state vector."""
        weights = nearness(self.states, vector, self.shape.neighbours)[self.row_state]
        rows = weights > 0.0
        return Neighbourhood(
            weights[rows],
            self.masks[rows],
            self.success_residual[rows],
            self.token_residual[rows],
            self.population,
            self.shape,
        )


class EncoderPredictor:
    """The trained network over cached segment embeddings."""

    def __init__(self, embedder: Embedder, network: "RouterNetwork") -> None:
        self.embedder = embedder
        self.network = network.eval()

    def scores(self, features: Features) -> StateScores:
        """Success logits and log tokens of any subset in this state."""
        heads = self._heads(features)
        return Quadratic(
            float(heads.base[0]),
            heads.utility[0].double().numpy(),
            heads.pair[0].double().numpy(),
            float(heads.token_base[0]),
            heads.token_utility[0].double().numpy(),
        )

    def categories(self, features: Features) -> Floats:
        """Probability of every failure category in this state, in the taxonomy's order."""
        return sigmoid(self._heads(features).categories[0].double().numpy())

    def _heads(self, features: Features) -> "Heads":
        import torch

        from fama.selection.router.features import KINDS
        from fama.selection.router.network import NetworkInput, bucket_of

        chunks = self.embedder.embed([segment.text for segment in features.segments])
        owners = [i for i, rows in enumerate(chunks) for _ in rows]
        segments = [features.segments[i] for i in owners]
        size = self.network.shape.embedding
        rows = np.concatenate([*chunks, np.empty((0, size), dtype=np.float32)])
        batch = NetworkInput(
            embeddings=torch.from_numpy(rows),
            place=torch.arange(len(owners)).unsqueeze(0),
            mask=torch.ones((1, len(owners)), dtype=torch.bool),
            kinds=torch.tensor([[KINDS.index(segment.kind) for segment in segments]], dtype=torch.long),
            buckets=torch.tensor([[bucket_of(segment.position) for segment in segments]], dtype=torch.long),
            evidence=torch.tensor([features.evidence], dtype=torch.float32),
        )
        with torch.inference_mode(), one_thread():
            heads: Heads = self.network(batch)
        return heads
