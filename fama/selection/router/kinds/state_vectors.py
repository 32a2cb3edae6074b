"""State vectors of the kinds without a network: mean segments, projected, beside the evidence."""

import re
from collections import OrderedDict
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fama.selection.decision import Floats
from fama.selection.router.embedder import Embedder
from fama.selection.router.features import Features
from fama.selection.router.kinds.base import Arrays, StoredRouter
from fama.selection.router.manifest import VectorShape

_WORD = re.compile(r"\w+")
#: Texts whose hashes stay in memory.
_TEXTS = 4096


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
        self._known: OrderedDict[str, NDArray[np.int64]] = OrderedDict()

    def __call__(self, features: Features) -> Floats:
        """Return the vector of one state."""
        history = [segment.text for segment in features.history()]
        frame = [segment.text for segment in features.segments if segment.kind in ("policy", "tool")]
        return np.concatenate([self._mean(history), self._mean(frame)])

    def _mean(self, texts: Sequence[str]) -> Floats:
        if self.embedder is None:
            return self._hashed(texts)
        if not texts:
            return np.zeros(self.embedder.encoder.size)
        mean: Floats = np.concatenate(self.embedder.embed(texts)).astype(np.float64).mean(axis=0)
        return mean

    def _hashed(self, texts: Sequence[str]) -> Floats:
        buckets = [self._buckets(text) for text in texts]
        flat = np.concatenate([np.empty(0, dtype=np.int64), *buckets])
        weights: Floats = np.log1p(np.bincount(flat, minlength=self.shape.buckets).astype(np.float64))
        length = float(np.linalg.norm(weights))
        return weights / length if length else weights

    def _buckets(self, text: str) -> NDArray[np.int64]:
        """Return the bucket of every word and word pair; the newest texts stay hashed."""
        if text not in self._known:
            words = _WORD.findall(text.lower())
            grams = (*words, *(f"{a} {b}" for a, b in zip(words, words[1:], strict=False)))
            hashes = [crc32(gram.encode("utf-8", "surrogatepass")) % self.shape.buckets for gram in grams]
            self._known[text] = np.array(hashes, dtype=np.int64)
            if len(self._known) > _TEXTS:
                self._known.popitem(last=False)
        self._known.move_to_end(text)
        return self._known[text]


class StateVectors:
    """Features to vectors: projected text, then evidence, both scaled.

    Arrays: ``text_mean`` (D), ``text_components`` (k, D), ``text_scale`` (k), ``evidence_mean`` (E),
    ``evidence_scale`` (E).
    """

    def __init__(self, raw: RawVectors, arrays: Arrays) -> None:
        self.raw = raw
        self.arrays = {name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()}

    def __call__(self, features: Features) -> Floats:
        """Return the vector of one state, shape (k + E,)."""
        part = self.arrays
        text = part["text_components"] @ (self.raw(features) - part["text_mean"]) / part["text_scale"]
        evidence = (np.asarray(features.evidence) - part["evidence_mean"]) / part["evidence_scale"]
        return np.concatenate([text, np.clip(evidence, -5.0, 5.0)])


def stored_vectors(stored: StoredRouter) -> StateVectors:
    """Build the state vectors of a checkpoint.

    Raises:
        ValueError: its manifest describes none.
    """
    if stored.manifest.vectors is None:
        raise ValueError("it describes no state vectors")
    return StateVectors(RawVectors(stored.manifest.vectors, stored.embedder), stored.arrays)
