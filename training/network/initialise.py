"""The network at the start of training: context-free part fitted, state-dependent heads at zero."""

from collections.abc import Sequence

import numpy as np
import torch

from fama.selection.decision_rule import Floats
from fama.selection.router.embedder import Vectors
from fama.selection.router.manifest import NetworkShape
from fama.selection.router.network import RouterNetwork
from training.data.absent import filled
from training.data.examples import Example
from training.settings import NetworkSettings


def network_shape(
    settings: NetworkSettings, embedding: int, evidence: int, helpers: int, categories: int
) -> NetworkShape:
    """Return the sizes from the settings and the data."""
    return NetworkShape(
        embedding=embedding,
        evidence=evidence,
        helpers=helpers,
        categories=categories,
        hidden=settings.hidden,
        attention=settings.attention,
        dropout=settings.dropout,
    )


def build_network(
    shape: NetworkShape, examples: Sequence[Example], context_free: Floats | None, vectors: Vectors | None = None
) -> RouterNetwork:
    """Build a network that, before its first step, predicts in every state what the context-free model predicts.

    Args:
        shape: its sizes.
        examples: training examples; their evidence is standardised to mean 0 and deviation 1.
        context_free: heads in the order of ``NetworkShape.head_sizes``; None starts from zero.
        vectors: embeddings of training messages, shape (n, size); segments start on their whitened
            principal components, so that little data is not spent on finding them.
    """
    network = RouterNetwork(shape)
    evidence = filled(np.array([example.features.known_evidence() for example in examples], dtype=np.float64))
    deviation = evidence.std(axis=0)
    with torch.no_grad():
        network.evidence_mean.copy_(torch.from_numpy(evidence.mean(axis=0)))
        network.evidence_scale.copy_(torch.from_numpy(np.where(deviation > 1e-9, deviation, 1.0)))
        if context_free is not None:
            network.population.copy_(torch.from_numpy(context_free))
        if vectors is not None and len(vectors) > 1:
            _start_on_components(network, torch.from_numpy(vectors))
    return network


def utilities_as_labels(network: RouterNetwork, scale: float, bias: torch.Tensor) -> None:
    """Make the utilities the logits of a label: scale · utility + bias, shape (H,).

    For routers that have learned from labels alone. Without it a helper would be chosen by the sign of its utility, not
    by whether it is more likely needed than not.
    """
    utility = slice(1, 1 + network.shape.helpers)
    with torch.no_grad():
        network.population[utility] = scale * network.population[utility] + bias
        network.heads.weight[utility] *= scale


def _start_on_components(network: RouterNetwork, vectors: torch.Tensor) -> None:
    scaled = torch.nn.functional.layer_norm(vectors, (vectors.shape[1],)).double()
    mean = scaled.mean(dim=0)
    _, spread, components = torch.linalg.svd(scaled - mean, full_matrices=False)
    deviation = spread / (len(scaled) - 1) ** 0.5
    count = min(network.shape.hidden, int((deviation > 1e-3 * deviation[0]).sum()))
    weight = components[:count] / deviation[:count, None]
    network.segment.weight[:count] = weight.to(network.segment.weight.dtype)
    network.segment.bias[:count] = (-weight @ mean).to(network.segment.bias.dtype)
