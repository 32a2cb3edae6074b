"""State vectors of the kinds without a network: mean segments, projected, beside the evidence."""

import re
from collections.abc import Collection, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fama.memo import RecentCache
from fama.selection.decision import Floats
from fama.selection.router.embedder import Embedder
from fama.selection.router.features import Features, Part
from fama.selection.router.kinds.base import Arrays, StoredRouter
from fama.selection.router.kinds.checks import check_divisors, check_shapes
from fama.selection.router.manifest import VectorShape

#: NaN where a training domain lacks a part of the state.
UNKNOWN = frozenset({"domain_evidence"})
_WORD = re.compile(r"\w+")
#: Cosine from which a policy, or a set of tools, is taken for that of a training domain.
_LIKE = 0.9
#: Texts in a generation of the cache of hashes; a state may have more.
_TEXTS = 4096
#: Sets of policy and tools in a generation of the cache of their vectors.
_FRAMES = 32


class RawVectors:
    """Features to unprojected vectors: means over messages, over the latest ones if asked for, over policy and tools.

    ``embedding`` averages chunk vectors; ``hashed`` counts words and word pairs in hash buckets
    (feature hashing, Weinberger et al. 2009), with logarithms, scaled to length one.

    ``hidden`` are parts that no state has; where a state lacks another part, the vector of policy and tools is NaN.
    None reads a lacking part as empty.
    """

    def __init__(self, shape: VectorShape, embedder: Embedder | None, hidden: Collection[Part] | None = None) -> None:
        if shape.source == "embedding" and embedder is None:
            raise ValueError("vectors of embeddings need an embedder")
        self.shape = shape
        self.embedder = embedder
        self.hidden = hidden
        self._known: RecentCache[str, NDArray[np.int64]] = RecentCache(_TEXTS, len)
        self._frames: RecentCache[tuple[str, ...], Floats] = RecentCache(_FRAMES)

    def __call__(self, features: Features) -> Floats:
        """Return the vector of one state."""
        history = features.history()
        frame = self.frame(features)
        parts = [self._mean([segment.text for segment in history])]
        if self.shape.latest:
            parts.append(self._mean([one.text for one in history if one.position < self.shape.latest]))
        return np.concatenate([*parts, np.full(len(frame), np.nan) if self.missing(features) else frame])

    @property
    def frame_width(self) -> int:
        """Return the length of the vector of policy and tools, which is that of every other part, too."""
        return self.shape.buckets if self.embedder is None else self.embedder.encoder.size

    def missing(self, features: Features) -> tuple[Part, ...]:
        """Return the parts that this state lacks and others have."""
        return () if self.hidden is None else tuple(sorted(features.lacking - set(self.hidden)))

    def frame(self, features: Features) -> Floats:
        """Return the vector of what the state has of policy and tools. Shared: not to be changed."""
        texts = tuple(segment.text for segment in features.frame())
        (vector,) = self._frames.get_all([texts], lambda unknown: map(self._mean, unknown))
        return vector

    def evidence(self, features: Features) -> Floats:
        """Return the evidence of one state; NaN of lacking parts, unless these are read as empty."""
        return np.asarray(features.evidence if self.hidden is None else features.known_evidence(), dtype=np.float64)

    def _mean(self, texts: Sequence[str]) -> Floats:
        if self.embedder is None:
            return self._hashed(texts)
        if not texts:
            return np.zeros(self.embedder.encoder.size)
        mean: Floats = np.concatenate(self.embedder.embed(texts)).astype(np.float64).mean(axis=0)
        return mean

    def _hashed(self, texts: Sequence[str]) -> Floats:
        buckets = self._known.get_all(texts, lambda unknown: map(self._buckets, unknown))
        flat = np.concatenate([np.empty(0, dtype=np.int64), *buckets])
        weights: Floats = np.log1p(np.bincount(flat, minlength=self.shape.buckets).astype(np.float64))
        length = float(np.linalg.norm(weights))
        return weights / length if length else weights

    def _buckets(self, text: str) -> NDArray[np.int64]:
        """Return the bucket of every word and word pair."""
        words = [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text.lower())]
        hashes = [crc32(word) for word in words]
        # a checksum goes on from that of what stands before: of "a b" from "a" by " b"
        pairs = [crc32(b" " + word, before) for word, before in zip(words[1:], hashes, strict=False)]
        return np.array(hashes + pairs, dtype=np.int64) % self.shape.buckets


class StateVectors:
    """Features to vectors: projected text, then evidence, both scaled.

    Where a state lacks its policy or its tools, they are taken from the training domain whose other part is most like
    the state's (hot-deck imputation, Andridge and Little 2010), or are average where none is like it.

    Arrays: ``text_mean`` (D), ``text_components`` (k, D), ``text_scale`` (k), ``evidence_mean`` (E),
    ``evidence_scale`` (E); of F training domains ``domain_frame``, ``domain_policy`` and ``domain_tools`` (F, d),
    ``domain_evidence`` (F, E).
    """

    def __init__(self, raw: RawVectors, arrays: Arrays) -> None:
        self.raw = raw
        self.arrays = {name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()}

    def __call__(self, features: Features) -> Floats:
        """Return the vector of one state, shape (k + E,)."""
        part = self.arrays
        raw, known = self.raw(features), self.raw.evidence(features)
        domain = self._domain(features)
        if domain is not None:
            raw[-len(part["domain_frame"][domain]) :] = part["domain_frame"][domain]
            known = np.where(np.isnan(known), part["domain_evidence"][domain], known)
        text = part["text_components"] @ _known_or_average(raw - part["text_mean"]) / part["text_scale"]
        evidence = _known_or_average((known - part["evidence_mean"]) / part["evidence_scale"])
        return np.concatenate([text, np.clip(evidence, -5.0, 5.0)])

    @property
    def width(self) -> int:
        """Return the length of a vector."""
        return len(self.arrays["text_scale"]) + len(self.arrays["evidence_scale"])

    def _domain(self, features: Features) -> int | None:
        """Return the training domain that an incomplete state is most likely of; None for a complete or strange one."""
        missing, domains = self.raw.missing(features), self.arrays.get("domain_frame")
        if len(missing) != 1 or domains is None or not len(domains) or not features.frame():
            return None
        mine = self.raw.frame(features)
        others = self.arrays["domain_policy" if missing == ("tools",) else "domain_tools"]
        likeness = others @ mine / np.maximum(np.linalg.norm(others, axis=1) * np.linalg.norm(mine), 1e-12)
        best = int(likeness.argmax())
        return best if likeness[best] >= _LIKE else None


def _known_or_average(values: Floats) -> Floats:
    """Return differences from the average, 0 where they are unknown (NaN)."""
    return values if np.isfinite(values).all() else np.nan_to_num(values)


def stored_vectors(stored: StoredRouter) -> StateVectors:
    """Build the state vectors of a checkpoint.

    Raises:
        ValueError: its manifest describes none.
    """
    if stored.manifest.vectors is None:
        raise ValueError("it describes no state vectors")
    raw = RawVectors(stored.manifest.vectors, stored.embedder, stored.manifest.hidden)
    _check(raw, stored.arrays, len(stored.manifest.evidence_names))
    return StateVectors(raw, stored.arrays)


def _check(raw: RawVectors, arrays: Arrays, evidence: int) -> None:
    """Refuse arrays that do not fit each other: hashed words take memory for as many buckets as the manifest names."""
    half = raw.frame_width
    width, projected = half * (3 if raw.shape.latest else 2), len(arrays["text_components"])
    shapes: dict[str, tuple[int, ...]] = {
        "text_mean": (width,),
        "text_components": (projected, width),
        "text_scale": (projected,),
        "evidence_mean": (evidence,),
        "evidence_scale": (evidence,),
    }
    if "domain_frame" in arrays:
        domains = len(arrays["domain_frame"])
        shapes |= {f"domain_{part}": (domains, half) for part in ("frame", "policy", "tools")}
        shapes["domain_evidence"] = (domains, evidence)
    check_shapes(arrays, shapes)
    check_divisors(arrays, "text_scale", "evidence_scale")
