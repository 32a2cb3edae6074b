"""What fitting a router kind returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fama.selection.decision import Floats
from fama.selection.router.checkpoint import Array
from fama.selection.router.embedder import Embedder
from fama.selection.router.manifest import EncoderShape, KnnShape, NetworkShape, PriorShape, VectorShape


@dataclass(frozen=True)
class Trained:
    """What a kind's fit gives: arrays, and the parts of the manifest that describe them.

    ``labelled``: it has heads for categories. ``embedder`` has the frozen encoder's vectors of the training texts.
    """

    arrays: Mapping[str, Array]
    population: Floats | None
    adapter: tuple[Mapping[str, Any], Mapping[str, Array]] | None = None
    encoder: EncoderShape | None = None
    network: NetworkShape | None = None
    vectors: VectorShape | None = None
    knn: KnnShape | None = None
    label_knn: KnnShape | None = None
    prior: PriorShape | None = None
    trees: bytes | None = None
    labelled: bool = False
    embedder: Embedder | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
