"""The encoder in training: built from settings, with every distinct segment tokenised or encoded once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fama.randomness import derive_seed
from fama.selection.router.embedder import Embedder, Vectors
from fama.selection.router.encoder import SegmentEncoder, encoder_fingerprint
from fama.selection.router.manifest import EncoderShape
from training.data.examples import Example
from training.settings import EncoderSettings

_SAMPLE = 2000


def build_encoder(settings: EncoderSettings, seed: int) -> SegmentEncoder:
    """Build the encoder with fresh adapters, drawn from the seed, or frozen without them.

    Raises:
        BadInput: it is not to be found, or LoRA does not know its layers.
    """
    return SegmentEncoder(settings.name, settings.window, settings.lora, seed=derive_seed(seed, "adapters"))


def encoder_shape(settings: EncoderSettings, adapted: bool) -> EncoderShape:
    """Return the description of the encoder for a checkpoint."""
    fingerprint = encoder_fingerprint(settings.name)
    return EncoderShape(name=settings.name, window=settings.window, fingerprint=fingerprint, adapted=adapted)


def message_vectors(encoder: SegmentEncoder, examples: Sequence[Example]) -> Vectors:
    """Return chunk vectors of the first 2,000 distinct messages, shape (n, size), as the encoder is now."""
    texts = list(dict.fromkeys(segment.text for e in examples for segment in e.features.history()))[:_SAMPLE]
    empty = np.empty((0, encoder.size), dtype=np.float32)
    training = encoder.training
    vectors = np.concatenate([empty, *Embedder(encoder, entries=_SAMPLE).embed(texts)])
    encoder.train(training)
    return vectors


@dataclass(frozen=True)
class ChunkTable:
    """Every distinct text as chunks. ``rows`` maps a text to its chunks' rows.

    Rows hold token ids (``windows``) where the encoder is trained, unit vectors (``vectors``, shape
    (rows, size)) where it is frozen. Of a trained encoder the first ``frame`` rows are policies and tools: they are the
    same in every state of a domain, tell none apart, and would be most of the work, so that they are encoded once per
    epoch, without a gradient.
    """

    rows: dict[str, range]
    windows: list[list[int]]
    vectors: Tensor | None = None
    frame: int = 0


def chunk_table(encoder: SegmentEncoder, examples: Sequence[Example]) -> ChunkTable:
    """Tokenise the distinct texts of the examples, and encode them already if the encoder is frozen."""
    features = list(dict.fromkeys(example.features for example in examples))
    shared = dict.fromkeys(segment.text for one in features for segment in one.frame())
    distinct = list(shared | dict.fromkeys(segment.text for one in features for segment in one.history()))
    rows: dict[str, range] = {}
    if encoder.trainable:
        windows: list[list[int]] = []
        for text, parts in zip(distinct, encoder.chunks(distinct), strict=True):
            rows[text] = range(len(windows), len(windows) + len(parts))
            windows.extend(parts)
        return ChunkTable(rows, windows, frame=sum(len(rows[text]) for text in shared))
    embedded = Embedder(encoder, entries=len(distinct) + 1).embed(distinct)
    count = 0
    for text, vectors in zip(distinct, embedded, strict=True):
        rows[text] = range(count, count + len(vectors))
        count += len(vectors)
    return ChunkTable(rows, [], torch.from_numpy(np.concatenate(embedded)))
