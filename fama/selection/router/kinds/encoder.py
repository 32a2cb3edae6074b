"""The encoder router: a trained network over cached segment embeddings."""

from typing import TYPE_CHECKING

import numpy as np

from fama.selection.decision_rule import Floats
from fama.selection.router.embedder import Embedder, one_thread
from fama.selection.router.features import KINDS, Features
from fama.selection.router.kinds.base import RouterKind, StoredRouter
from fama.selection.router.kinds.checks import check_divisors, check_shapes
from fama.selection.router.scores import Quadratic, StateScores, sigmoid
from fama.selection.traits import SelectorTraits

if TYPE_CHECKING:
    from fama.selection.router.network import Heads, RouterNetwork


class EncoderRouter(RouterKind):
    """Segment encoder, attention pooling and heads for outcomes and labels in one network."""

    title = "segment encoder with attention pooling"
    selector = "learned"
    traits = SelectorTraits(setup="checkpoint", lead=0)

    def __init__(self, stored: StoredRouter) -> None:
        super().__init__(stored)
        self.predictor = EncoderPredictor.of(stored)

    def outcomes(self) -> "EncoderPredictor":
        """Return the network."""
        return self.predictor

    def labels(self) -> "EncoderPredictor":
        """Return the network."""
        return self.predictor


class EncoderPredictor:
    """The trained network over cached segment embeddings."""

    def __init__(self, embedder: Embedder, network: "RouterNetwork", masked: bool = False) -> None:
        """``masked``: evidence of a part that a state lacks is unknown, not 0."""
        self.embedder = embedder
        self.network = network.eval()
        self.masked = masked

    @classmethod
    def of(cls, stored: StoredRouter) -> "EncoderPredictor":
        """Load the network's weights from a checkpoint's arrays."""
        import torch

        from fama.selection.router.network import RouterNetwork

        if stored.embedder is None or stored.manifest.network is None:
            raise ValueError("it describes no network")
        with torch.device("meta"):  # takes no memory: the sizes are the manifest's word
            wanted = RouterNetwork(stored.manifest.network).state_dict()
        check_shapes(stored.arrays, {name: tuple(value.shape) for name, value in wanted.items()})
        check_divisors(stored.arrays, "evidence_scale")
        shape, manifest = stored.manifest.network, stored.manifest
        sizes = stored.embedder.encoder.size, stored.helpers, len(manifest.categories), len(manifest.evidence_names)
        if sizes != (shape.embedding, shape.helpers, shape.categories, shape.evidence):
            raise ValueError("its network is for another encoder, pool, taxonomy or evidence")
        network = RouterNetwork(stored.manifest.network)
        weights = {name: torch.from_numpy(value.copy()) for name, value in stored.arrays.items()}
        network.load_state_dict(weights, strict=True)
        return cls(stored.embedder, network, masked=stored.manifest.hidden is not None)

    def scores(self, features: Features) -> StateScores:
        """Return success logits and log tokens of any subset in this state."""
        heads = self._heads(features)
        return Quadratic(
            float(heads.base[0]),
            heads.utility[0].double().numpy(),
            heads.pair[0].double().numpy(),
            float(heads.token_base[0]),
            heads.token_utility[0].double().numpy(),
        )

    def categories(self, features: Features) -> Floats:
        """Return the probability of every failure category in this state, in the taxonomy's order."""
        return sigmoid(self._heads(features).categories[0].double().numpy())

    def _heads(self, features: Features) -> "Heads":
        import torch

        from fama.selection.router.network import NetworkInput, bucket_of

        chunks = self.embedder.embed([segment.text for segment in features.segments])
        owners = [i for i, rows in enumerate(chunks) for _ in rows]
        segments = [features.segments[i] for i in owners]
        size = self.network.shape.embedding
        evidence = features.known_evidence() if self.masked else features.evidence
        rows = np.concatenate([*chunks, np.empty((0, size), dtype=np.float32)])
        batch = NetworkInput(
            embeddings=torch.from_numpy(rows),
            place=torch.arange(len(owners)).unsqueeze(0),
            mask=torch.ones((1, len(owners)), dtype=torch.bool),
            kinds=torch.tensor([[KINDS.index(segment.kind) for segment in segments]], dtype=torch.long),
            buckets=torch.tensor([[bucket_of(segment.position) for segment in segments]], dtype=torch.long),
            evidence=torch.tensor([evidence], dtype=torch.float32),
        )
        with torch.inference_mode(), one_thread():
            heads: Heads = self.network(batch)
        return heads
