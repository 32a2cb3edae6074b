"""State vectors of the linear and nearest-neighbour routers: mean segments, projected, beside the evidence."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fama.selection.decision import Floats
from fama.selection.router.embedder import Embedder
from fama.selection.router.manifest import VectorShape
from fama.selection.router.segments import Features

Arrays = Mapping[str, NDArray[np.float32]]
_WORD = re.compile(r"\w+")


class RawVectors:
    """Features to unprojected vectors: means over messages, then over policy and tools.

    ``embedding`` averages chunk vectors; ``hashed`` counts words and word pairs in hash buckets
    (feature hashing, Weinberger et al. 2009), with logarithms, scaled to length one.
    """

    def __init__(self, shape: VectorShape, embedder: Embedder | None) -> None:
        if shape.source == "embedding" and embedder is None:
            raise ValueError("vectors of embeddings need an embedder")
        self.shape = shape
        self.embedder = embedder

    def __call__(self, features: Features) -> Floats:
        """The vector of one state."""
        history = [segment.text for segment in features.history()]
        frame = [segment.text for segment in features.segments if segment.kind in ("policy", "tool")]
        return np.concatenate([self._mean(history), self._mean(frame)])

    def _mean(self, texts: Sequence[str]) -> Floats:
        if self.embedder is None:
            return _hashed(tuple(texts), self.shape.buckets)
        if not texts:
            return np.zeros(self.embedder.encoder.size)
        mean: Floats = np.concatenate(self.embedder.embed(texts)).astype(np.float64).mean(axis=0)
        return mean


@lru_cache(maxsize=64)
def _hashed(texts: tuple[str, ...], buckets: int) -> Floats:
    """Hashed words and word pairs; policy and tools, which a domain's states share, are hashed once."""
    counts = np.zeros(buckets)
    for text in texts:
        words = _WORD.findall(text.lower())
        for gram in (*words, *(f"{a} {b}" for a, b in zip(words, words[1:], strict=False))):
            counts[crc32(gram.encode("utf-8", "surrogatepass")) % buckets] += 1
    weights: Floats = np.log1p(counts)
    length = float(np.linalg.norm(weights))
    return weights / length if length else weights


class StateVectors:
    """Features to the vector a baseline works on: projected text, then evidence, both scaled.

    Arrays: ``text_mean`` (D), ``text_components`` (k, D), ``text_scale`` (k), ``evidence_mean`` (E),
    ``evidence_scale`` (E).
    """

    def __init__(self, raw: RawVectors, arrays: Arrays) -> None:
        self.raw = raw
        self.arrays = {name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()}

    def __call__(self, features: Features) -> Floats:
        """The vector of one state, shape (k + E,)."""
        part = self.arrays
        text = part["text_components"] @ (self.raw(features) - part["text_mean"]) / part["text_scale"]
        evidence = (np.asarray(features.evidence) - part["evidence_mean"]) / part["evidence_scale"]
        return np.concatenate([text, np.clip(evidence, -5.0, 5.0)])
