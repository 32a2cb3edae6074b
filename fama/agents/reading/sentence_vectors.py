"""Vectors of sentences, and how well a request fits a tool: by a sentence encoder, or as ``static_vectors`` has it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from fama.errors import optional_libraries
from fama.selection.router.embedder import Embedder, Vectors


class ToolTexts(NamedTuple):
    """A change in words: its name and description, and these with its parameters and their choices."""

    name: str
    short: str
    long: str


class SentenceVectors(Protocol):
    """Vectors that a layer reads: ``name`` is stored with it. ``quick``: a new sentence costs under a millisecond."""

    name: str
    size: int
    quick: bool

    def prepare(self, texts: Sequence[str]) -> None:
        """Take several texts at once, which may cost less than one by one."""
        ...

    def vector(self, text: str) -> Vectors:
        """Return the unit vector of a text, shape (size,)."""
        ...

    def fit(self, text: str, tool: ToolTexts) -> float:
        """Return how well a request fits a tool, in [−1, 1]."""
        ...


def reading_embedder(encoder: str) -> Embedder:
    """Return the encoder of readings, in float32 so that every machine reads alike.

    Raises:
        BadInput: the encoder, or the libraries that run it, are not there.
    """
    with optional_libraries("helpers.reading: meaning", "set helpers.reading=static"):
        from fama.selection.router.encoder import SegmentEncoder

        return Embedder(SegmentEncoder(encoder, 256), entries=20_000)


class EncoderVectors:
    """Mean vectors of an encoder's chunks. A request fits a tool by its mean cosine to the tool's two texts."""

    quick = False

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.name, self.size = embedder.encoder.name, embedder.encoder.size

    def prepare(self, texts: Sequence[str]) -> None:
        """Encode texts together; one by one takes several times as long."""
        self.embedder.embed(texts)

    def vector(self, text: str) -> Vectors:
        """Return the unit vector of a text, the mean of its chunks."""
        mean: Vectors = self.embedder.embed([text])[0].mean(axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)

    def fit(self, text: str, tool: ToolTexts) -> float:
        """Return the mean cosine of a request to the short and the long text of a tool."""
        return float(self.vector(text) @ (self.vector(tool.short) + self.vector(tool.long))) / 2
