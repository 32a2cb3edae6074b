"""The network at the start of training: population part fitted, state-dependent heads at zero."""

from collections.abc import Sequence

import numpy as np
import torch

from fama.selection.decision import Floats
from fama.selection.router.manifest import NetworkShape
from fama.selection.router.network import RouterNetwork
from training.examples import Example
from training.settings import NetworkSettings


def network_shape(
    settings: NetworkSettings, embedding: int, evidence: int, helpers: int, categories: int
) -> NetworkShape:
    """Sizes from the settings and the data."""
    return NetworkShape(
        embedding=embedding,
        evidence=evidence,
        helpers=helpers,
        categories=categories,
        hidden=settings.hidden,
        attention=settings.attention,
        dropout=settings.dropout,
    )


def build_network(shape: NetworkShape, examples: Sequence[Example], population: Floats | None) -> RouterNetwork:
    """A network that, before its first step, says what the population model says of every state.

    Args:
        shape: its sizes.
        examples: training examples; their evidence is standardised to mean 0 and deviation 1.
        population: heads in the order of ``NetworkShape.head_sizes``; None starts from zero.
    """
    network = RouterNetwork(shape)
    evidence = np.array([example.features.evidence for example in examples], dtype=np.float64)
    deviation = evidence.std(axis=0)
    with torch.no_grad():
        network.evidence_mean.copy_(torch.from_numpy(evidence.mean(axis=0)))
        network.evidence_scale.copy_(torch.from_numpy(np.where(deviation > 1e-9, deviation, 1.0)))
        if population is not None:
            network.population.copy_(torch.from_numpy(population))
    return network
