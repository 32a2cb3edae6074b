"""Segment embeddings with a cache by text, so that a message is encoded once per episode."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fama.errors import optional_libraries
from fama.memo import RecentCache
from fama.selection.router.manifest import EncoderShape

if TYPE_CHECKING:
    from fama.selection.router.encoder import SegmentEncoder
    from fama.selection.router.kinds.checks import StoredAdapter

Vectors = NDArray[np.float32]
_BATCH = 16
#: Tokens up to which one thread is used, since waiting for others may cost more than they save.
_FEW = 128


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Let torch use one thread: for a few short texts beside a busy model server, waiting for others costs tenfold."""
    import torch

    before = torch.get_num_threads()
    if not wanted or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Embedder:
    """Texts to chunk vectors with a fixed encoder; at least the ``entries`` newest texts stay in memory.

    ``encoded`` counts the texts that went through the encoder.
    """

    def __init__(self, encoder: "SegmentEncoder", entries: int = 4096) -> None:
        self.encoder = encoder.eval()
        self.encoded = 0
        self._cache: RecentCache[str, Vectors] = RecentCache(entries, len)

    @classmethod
    def load(
        cls,
        shape: EncoderShape,
        adapter: "StoredAdapter | None" = None,
        entries: int = 4096,
        *,
        fetch: bool = True,
    ) -> "Embedder":
        """Load an encoder, in bfloat16 where this CPU computes in it; without ``fetch`` only what is on this machine.

        Raises:
            AdapterMismatch: the adapter is for another encoder.
            BadInput: the encoder, or the libraries that run it, are not there.
        """
        with optional_libraries(f"the router's encoder {shape.name}"):
            from fama.selection.router.encoder import SegmentEncoder, fastest_type

            encoder = SegmentEncoder(shape.name, shape.window, adapter=adapter, fetch=fetch)
        encoder.model.to(fastest_type())
        return cls(encoder, entries)

    def embed(self, texts: Sequence[str]) -> list[Vectors]:
        """Return the vectors of every text's chunks, shape (chunks, size) each, in the order of the texts."""
        return self._cache.get_all(texts, self._encode)

    def _encode(self, texts: Sequence[str]) -> list[Vectors]:
        if not texts:
            return []
        import torch

        self.encoded += len(texts)
        windows = self.encoder.chunks(texts)
        flat = [(len(window), owner, window) for owner, parts in enumerate(windows) for window in parts]
        order = sorted(range(len(flat)), key=lambda i: flat[i][0])
        vectors: list[Vectors] = [np.empty(0, dtype=np.float32)] * len(flat)
        with torch.inference_mode(), one_thread(sum(size for size, _, _ in flat) <= _FEW):
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                ids, mask = self.encoder.pad([flat[i][2] for i in batch])
                device = next(self.encoder.parameters()).device
                rows = self.encoder(ids.to(device), mask.to(device)).float().cpu().numpy()
                for i, row in zip(batch, rows, strict=True):
                    vectors[i] = row
        pieces: list[list[Vectors]] = [[] for _ in texts]
        for (_, owner, _), vector in zip(flat, vectors, strict=True):
            pieces[owner].append(vector)
        return [np.stack(parts) for parts in pieces]
