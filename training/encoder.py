"""The encoder in training: built from settings, with every distinct segment tokenised or encoded once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fama.selection.router.embedder import Embedder
from fama.selection.router.encoder import SegmentEncoder, encoder_fingerprint
from fama.selection.router.manifest import EncoderShape
from training.settings import EncoderSettings


def build_encoder(settings: EncoderSettings) -> SegmentEncoder:
    """The encoder with fresh adapters, or frozen without them.

    Raises:
        BadInput: it is not to be found, or LoRA does not know its layers.
    """
    return SegmentEncoder(settings.name, settings.window, lora=settings.lora)


def encoder_shape(settings: EncoderSettings, adapted: bool) -> EncoderShape:
    """What a checkpoint says about the encoder."""
    fingerprint = encoder_fingerprint(settings.name)
    return EncoderShape(name=settings.name, window=settings.window, fingerprint=fingerprint, adapted=adapted)


@dataclass(frozen=True)
class ChunkTable:
    """Every distinct text as chunks. ``rows`` maps a text to its chunks' rows.

    Rows hold token ids (``windows``) where the encoder is trained, unit vectors (``vectors``, shape
    (rows, size)) where it is frozen.
    """

    rows: dict[str, range]
    windows: list[list[int]]
    vectors: Tensor | None = None


def chunk_table(encoder: SegmentEncoder, texts: Sequence[str]) -> ChunkTable:
    """Tokenise the distinct texts, and encode them already if the encoder is frozen."""
    distinct = list(dict.fromkeys(texts))
    rows: dict[str, range] = {}
    if encoder.trainable:
        windows: list[list[int]] = []
        for text, parts in zip(distinct, encoder.chunks(distinct), strict=True):
            rows[text] = range(len(windows), len(windows) + len(parts))
            windows.extend(parts)
        return ChunkTable(rows, windows)
    embedded = Embedder(encoder, entries=len(distinct) + 1).embed(distinct)
    count = 0
    for text, vectors in zip(distinct, embedded, strict=True):
        rows[text] = range(count, count + len(vectors))
        count += len(vectors)
    return ChunkTable(rows, [], torch.from_numpy(np.concatenate(embedded)))
