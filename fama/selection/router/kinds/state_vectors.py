"""State vectors of the kinds without a network: mean segments, projected, beside the evidence."""

import math
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fama.memo import RecentCache
from fama.selection.decision_rule import Floats
from fama.selection.router.embedder import Embedder
from fama.selection.router.features import Features, PromptPart
from fama.selection.router.kinds.base import StoredRouter
from fama.selection.router.kinds.checks import Arrays, check_divisors, check_shapes
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

    def __init__(
        self, shape: VectorShape, embedder: Embedder | None, hidden: Collection[PromptPart] | None = None
    ) -> None:
        if shape.source == "embedding" and embedder is None:
            raise ValueError("vectors of embeddings need an embedder")
        self.shape = shape
        self.embedder = embedder
        self.hidden = hidden
        self._known: RecentCache[str, NDArray[np.int64]] = RecentCache(_TEXTS, len)
        self._frames: RecentCache[tuple[str, ...], Floats] = RecentCache(_FRAMES)

    def __call__(self, features: Features) -> Floats:
        """Return the vector of one state."""
        frame = self.frame(features)
        parts = map(self.mean, self.message_texts(features))
        return np.concatenate([*parts, np.full(len(frame), np.nan) if self.missing(features) else frame])

    def message_texts(self, features: Features) -> list[list[str]]:
        """Return the texts of all messages, and of the latest ones if asked for."""
        history = features.history()
        texts = [[segment.text for segment in history]]
        if self.shape.latest:
            texts.append([one.text for one in history if one.position < self.shape.latest])
        return texts

    @property
    def frame_width(self) -> int:
        """Return the length of the vector of policy and tools, which is that of every other part, too."""
        return self.shape.buckets if self.embedder is None else self.embedder.encoder.size

    def missing(self, features: Features) -> tuple[PromptPart, ...]:
        """Return the parts that this state lacks and others have."""
        return () if self.hidden is None else tuple(sorted(features.lacking - set(self.hidden)))

    def frame(self, features: Features) -> Floats:
        """Return the vector of what the state has of policy and tools. Shared: not to be changed."""
        texts = tuple(segment.text for segment in features.frame())
        (vector,) = self._frames.get_all([texts], lambda unknown: map(self.mean, unknown))
        return vector

    def evidence(self, features: Features) -> Floats:
        """Return the evidence of one state; NaN of lacking parts, unless these are read as empty."""
        return np.asarray(features.evidence if self.hidden is None else features.known_evidence(), dtype=np.float64)

    def mean(self, texts: Sequence[str]) -> Floats:
        """Return the vector of texts together."""
        if self.embedder is None:
            return self._hashed(texts)
        if not texts:
            return np.zeros(self.embedder.encoder.size)
        mean: Floats = np.concatenate(self.embedder.embed(texts)).astype(np.float64).mean(axis=0)
        return mean

    def _hashed(self, texts: Sequence[str]) -> Floats:
        weights: Floats = np.log1p(self._counts(texts).astype(np.float64))
        length = float(np.linalg.norm(weights))
        return weights / length if length else weights

    def sparse(self, texts: Sequence[str]) -> tuple[NDArray[np.intp], Floats]:
        """Return the buckets that hashed texts fill, and their numbers in the vector of these texts."""
        counts = self._counts(texts)
        places = np.flatnonzero(counts)
        weights: Floats = np.log1p(counts[places].astype(np.float64))
        return places, weights / math.sqrt(float(weights @ weights)) if len(places) else weights

    def _counts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        buckets = self._known.get_all(texts, lambda unknown: map(self._buckets, unknown))
        flat = np.concatenate([np.empty(0, dtype=np.int64), *buckets])
        return np.bincount(flat, minlength=self.shape.buckets)

    def _buckets(self, text: str) -> NDArray[np.int64]:
        """Return the bucket of every word and word pair."""
        words = [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text.lower())]
        hashes = [crc32(word) for word in words]
        # a checksum goes on from that of what stands before: of "a b" from "a" by " b"
        pairs = [crc32(b" " + word, before) for word, before in zip(words[1:], hashes, strict=False)]
        return np.array(hashes + pairs, dtype=np.int64) % self.shape.buckets


class _Block:
    """The projection of one part of a vector, less its average: ``components`` (k, d), ``mean`` (d,)."""

    def __init__(self, components: Floats, mean: Floats) -> None:
        self._mean = mean
        self._rows = np.ascontiguousarray(components.T)
        self._average = mean @ self._rows

    def dense(self, vector: Floats) -> Floats:
        """Return the projection of a vector."""
        projected: Floats = (vector - self._mean) @ self._rows
        return projected

    def sparse(self, places: NDArray[np.intp], weights: Floats) -> Floats:
        """Return the projection of a vector that is 0 but at these places."""
        projected: Floats = weights @ self._rows[places] - self._average
        return projected


class _Frame(NamedTuple):
    """The projection of policy and tools, and the training domain that stands in for what lacks of them."""

    text: Floats
    domain: int | None


class StateVectors:
    """Features to vectors: projected text, then evidence, both scaled.

    Where a state lacks its policy or its tools, they are taken from the training domain whose other part is most like
    the state's (hot-deck imputation, Andridge and Little 2010), or are average where none is like it. Each part of the
    text is projected for itself: policy and tools once for many states, hashed words by the few buckets that they fill.

    Arrays: ``text_mean`` (D), ``text_components`` (k, D), ``text_scale`` (k), ``evidence_mean`` (E),
    ``evidence_scale`` (E); of F training domains ``domain_frame``, ``domain_policy`` and ``domain_tools`` (F, d),
    ``domain_evidence`` (F, E).
    """

    def __init__(self, raw: RawVectors, arrays: Arrays) -> None:
        self.raw = raw
        self.arrays = {name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()}
        components, mean, width = self.arrays["text_components"], self.arrays["text_mean"], raw.frame_width
        starts = range(0, len(mean), width)
        self._blocks = [_Block(components[:, at : at + width], mean[at : at + width]) for at in starts]
        self._frames: RecentCache[tuple[tuple[PromptPart, ...], tuple[str, ...]], _Frame] = RecentCache(_FRAMES)

    def __call__(self, features: Features) -> Floats:
        """Return the vector of one state, shape (k + E,)."""
        part, frame, known = self.arrays, self._frame(features), self.raw.evidence(features)
        if frame.domain is not None:
            known = np.where(np.isnan(known), part["domain_evidence"][frame.domain], known)
        blocks = zip(self.raw.message_texts(features), self._blocks[:-1], strict=True)
        text = sum((self._projected(texts, block) for texts, block in blocks), frame.text) / part["text_scale"]
        evidence = _known_or_average((known - part["evidence_mean"]) / part["evidence_scale"])
        return np.concatenate([text, np.clip(evidence, -5.0, 5.0)])

    def _projected(self, texts: Sequence[str], block: _Block) -> Floats:
        if self.raw.embedder is None:
            return block.sparse(*self.raw.sparse(texts))
        return block.dense(self.raw.mean(texts))

    def _frame(self, features: Features) -> _Frame:
        key = self.raw.missing(features), tuple(segment.text for segment in features.frame())
        (frame,) = self._frames.get_all([key], lambda unknown: [self._read_frame(features)])
        return frame

    def _read_frame(self, features: Features) -> _Frame:
        domain, block = self._domain(features), self._blocks[-1]
        if domain is not None:
            return _Frame(block.dense(self.arrays["domain_frame"][domain]), domain)
        if self.raw.missing(features):
            return _Frame(np.zeros(len(self.arrays["text_scale"])), None)
        return _Frame(block.dense(self.raw.frame(features)), None)

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
