"""``python -m training.static_table``: make the static vectors that user turns are read with, from a sentence encoder.

Each word piece in ASCII goes through the encoder alone; the vectors, of unit length and less their mean, are turned to
their principal components and the first ``SIZE`` kept (Model2Vec, Tulkens and van Dongen 2024). Nothing is learned, and
no text is read but the vocabulary. A few minutes on two cores; then fit the layer: ``python -m training.reading
--reading static``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fama.agents.reading.sentence_vectors import reading_embedder
from fama.agents.reading.static_vectors import FILE, UNKNOWN, PieceTable
from fama.files import write_atomically
from fama.selection.router.embedder import Embedder, Vectors, one_thread
from fama.selection.router.encoder import DEFAULT_ENCODER

OUT = Path("fama/agents/reading") / FILE
SIZE = 256
_BATCH = 512


def piece_table(embedder: Embedder, size: int = SIZE) -> PieceTable:
    """Return the table of an encoder's word pieces: the unknown one, then those of printable ASCII."""
    tokenizer = embedder.encoder.tokenizer
    ids: dict[str, int] = tokenizer.get_vocab()
    special = set(tokenizer.all_special_tokens)
    kept = [
        piece
        for piece in sorted(ids, key=lambda one: ids[one])
        if piece.isascii() and piece.isprintable() and piece not in special and not piece.startswith("[unused")
    ]
    pieces = [UNKNOWN, *kept]
    ranks = [ids[piece] for piece in pieces]
    vectors = _alone(embedder, ranks)
    vectors -= vectors.mean(axis=0)
    _, _, components = np.linalg.svd(vectors, full_matrices=False)
    return PieceTable.of(pieces, ranks, vectors @ components[:size].T)


def _alone(embedder: Embedder, ids: Sequence[int]) -> Vectors:
    """Return the encoder's unit vector of each piece between its start and end marks, shape (n, size)."""
    import torch

    encoder, tokenizer = embedder.encoder, embedder.encoder.tokenizer
    found = []
    with torch.inference_mode(), one_thread():
        for start in tqdm(range(0, len(ids), _BATCH), desc="pieces", unit="batch", disable=None):
            marked = [[tokenizer.cls_token_id, one, tokenizer.sep_token_id] for one in ids[start : start + _BATCH]]
            found.append(encoder(*encoder.pad(marked)).numpy())
    return np.concatenate(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the table of the default encoder and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args(arguments)
    table = piece_table(reading_embedder(DEFAULT_ENCODER))
    write_atomically(args.out, table.to_bytes())
    sys.stdout.write(f"{len(table.pieces)} word pieces → {args.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
