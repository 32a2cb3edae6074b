"""Static vectors: one per word piece, whatever stands beside it; a sentence is read in a fraction of a millisecond.

The vector of a piece is what the sentence encoder makes of it alone, reduced to fewer dimensions (so Model2Vec, Tulkens
and van Dongen 2024). A sentence's vector is the mean of its pieces' beside their weighted mean. A request fits a tool
by late interaction (Khattab and Zaharia 2020, ColBERT): each piece of the one takes its largest cosine to a piece of
the other, and back. Pieces weigh the more the rarer they are (Arora et al. 2017), their rank in the vocabulary standing
for their frequency.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from fama.agents.reading.sentence_vectors import ToolTexts
from fama.errors import BadInput
from fama.memo import RecentCache
from fama.selection.router.embedder import Vectors

FILE = "static.safetensors"
UNKNOWN = "[UNK]"
#: Rank of a word piece that weighs half of what one that is never seen would.
_HALF = 30_000
#: Most characters of a word that is split into pieces; longer ones are unknown.
_LONGEST = 64


class PieceTable(NamedTuple):
    """Word pieces with their vectors.

    ``vectors`` (n, size) are int8, to be multiplied with ``scales`` (n,); ``ranks`` (n,) are places in the order of
    frequency, most frequent first. The first piece is the unknown one.
    """

    pieces: tuple[str, ...]
    ranks: NDArray[np.int32]
    vectors: NDArray[np.int8]
    scales: NDArray[np.float32]

    @classmethod
    def of(cls, pieces: Sequence[str], ranks: Sequence[int], vectors: Vectors) -> "PieceTable":
        """Round vectors, shape (n, size), to 8 bits each number."""
        scales = np.maximum(np.abs(vectors).max(axis=1), 1e-12) / 127
        rounded = np.round(vectors / scales[:, None]).astype(np.int8)
        return cls(tuple(pieces), np.asarray(ranks, dtype=np.int32), rounded, scales.astype(np.float32))

    def to_bytes(self) -> bytes:
        """Return the table as a safetensors file."""
        text = np.frombuffer("\n".join(self.pieces).encode(), dtype=np.uint8)
        return save({"pieces": text, "ranks": self.ranks, "vectors": self.vectors, "scales": self.scales})

    @classmethod
    def from_bytes(cls, content: bytes) -> "PieceTable":
        """Return the table of such a file."""
        found: Mapping[str, NDArray[np.generic]] = load(content)
        pieces = tuple(found["pieces"].tobytes().decode().split("\n"))
        return cls(pieces, found["ranks"], found["vectors"], found["scales"])  # type: ignore[arg-type]


class _Pieces(NamedTuple):
    """Of a text: unit vectors of its pieces, shape (n, size), and their weights, which sum to 1, shape (n,)."""

    vectors: Vectors
    weights: Vectors


class StaticVectors:
    """Vectors of word pieces, looked up."""

    quick = True

    def __init__(self, table: PieceTable, name: str) -> None:
        self.name, self.size = name, 2 * table.vectors.shape[1]
        self._table = table
        self._weights = (table.ranks / (table.ranks + _HALF)).astype(np.float32)
        vocabulary = {piece: place for place, piece in enumerate(table.pieces)}
        self._tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=_LONGEST))
        self._tokenizer.normalizer = BertNormalizer(lowercase=True)
        self._tokenizer.pre_tokenizer = BertPreTokenizer()
        self._described: RecentCache[str, _Pieces] = RecentCache(1024, len)

    def prepare(self, texts: Sequence[str]) -> None:
        """Do nothing: a text costs the same alone."""

    def vector(self, text: str) -> Vectors:
        """Return the unit vector of a text: the mean of its pieces' and their weighted mean; zeros without any."""
        places = self._places(text)
        if not places:
            return np.zeros(self.size, dtype=np.float32)
        rows, weights = self._rows(places), self._weights[places]
        both = (_unit(rows.mean(axis=0)), _unit(weights @ rows))
        return np.concatenate(both).astype(np.float32) / np.float32(np.sqrt(2))

    def fit(self, text: str, tool: ToolTexts) -> float:
        """Return the late interaction of a request with the short and the long text of a tool, their mean."""
        said, short, long = self._described.get_all([text, tool.short, tool.long], self._split)
        return (_late(said, short) + _late(said, long)) / 2

    def _split(self, texts: Sequence[str]) -> list[_Pieces]:
        found = []
        for text in texts:
            places = self._places(text)
            rows, weights = self._rows(places), self._weights[places]
            rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
            found.append(_Pieces(rows, weights / max(float(weights.sum()), 1e-12)))
        return found

    def _places(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _rows(self, places: Sequence[int]) -> Vectors:
        return self._table.vectors[places].astype(np.float32) * self._table.scales[places][:, None]


def _unit(vector: Vectors) -> Vectors:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _late(one: _Pieces, other: _Pieces) -> float:
    if not len(one.vectors) or not len(other.vectors):
        return 0.0
    cosines = one.vectors @ other.vectors.T
    return float(cosines.max(axis=1) @ one.weights + cosines.max(axis=0) @ other.weights) / 2


@cache
def shipped_vectors(name: str) -> StaticVectors:
    """Return the static vectors that ship, which a layer asks for by their name.

    Raises:
        BadInput: the layer is of others.
    """
    found = static_vectors(resources.files("fama.agents.reading").joinpath(FILE).read_bytes())
    if found.name != name:
        raise BadInput(
            f"{FILE} is {found.name}, its layer is of {name}; fit it again: python -m training.reading --reading static"
        )
    return found


def static_vectors(content: bytes) -> StaticVectors:
    """Return the static vectors of a file's content, named after its hash."""
    return StaticVectors(PieceTable.from_bytes(content), f"static-{hashlib.sha256(content).hexdigest()[:16]}")
