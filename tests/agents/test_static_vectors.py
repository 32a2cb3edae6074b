"""Static vectors of word pieces: worked by hand on a table of three words, and what ships without torch."""

import subprocess
import sys

import numpy as np
import pytest

from fama.agents.reading.layer import shipped_layer
from fama.agents.reading.reader import shipped_reader
from fama.agents.reading.sentence_vectors import ToolTexts
from fama.agents.reading.static_vectors import UNKNOWN, PieceTable, StaticVectors, shipped_vectors, static_vectors
from fama.errors import BadInput

#: ``book`` is as frequent as weighs half (30,000 of 60,000), ``the`` weighs nothing, ``##ing`` two thirds.
PIECES = (UNKNOWN, "book", "the", "##ing", "seat")
RANKS = (0, 30_000, 0, 60_000, 30_000)
VECTORS = np.array([[0, 0], [1, 0], [0, 1], [0.6, 0.8], [0, -2]], dtype=np.float32)


@pytest.fixture
def vectors() -> StaticVectors:
    return StaticVectors(PieceTable.of(PIECES, RANKS, VECTORS), "toy")


def test_a_text_is_the_mean_of_its_pieces_beside_their_weighted_mean(vectors: StaticVectors) -> None:
    root = np.sqrt(0.5)
    assert vectors.size == 4 and vectors.quick
    assert vectors.vector("the Book") == pytest.approx(np.array([root, root, 1, 0]) * root, abs=0.01)
    assert np.linalg.norm(vectors.vector("booking the seats")) == pytest.approx(1, abs=1e-6)


def test_words_fall_into_pieces_and_accents_and_case_are_one(vectors: StaticVectors) -> None:
    plain = np.array([1.6, 0.8]) / np.sqrt(1.6**2 + 0.8**2)
    assert vectors.vector("bóoking")[:2] * np.sqrt(2) == pytest.approx(plain, abs=0.01)
    assert (vectors.vector("BOOK") == vectors.vector("book")).all()


@pytest.mark.parametrize("text", ["", "   ", "zzz", "\u4e2d", "x" * 100_000, "\0"])
def test_texts_without_a_known_piece_are_zeros_or_finite(vectors: StaticVectors, text: str) -> None:
    assert np.isfinite(vectors.vector(text)).all()
    assert vectors.fit(text, ToolTexts("book", "book", "book the seat")) == 0


def test_a_request_fits_a_tool_by_late_interaction(vectors: StaticVectors) -> None:
    """``book seat`` (weights ½, ½) with ``booking`` (3/7 of ``book``, 4/7 of ``##ing``): cosines 1, .6 and 0, −.8.

    There: ½·1 + ½·0 = .5. Back: 3/7·1 + 4/7·.6 = 27/35. Their mean is 89/140; with itself it is 1.
    """
    assert vectors.fit("book seat", ToolTexts("b", "booking", "booking")) == pytest.approx(89 / 140, abs=0.01)
    assert vectors.fit("book seat", ToolTexts("b", "book seat", "seat book")) == pytest.approx(1, abs=1e-5)
    short, long = (vectors.fit("seat", ToolTexts("b", one, one)) for one in ("book", "seat"))
    assert vectors.fit("seat", ToolTexts("b", "book", "seat")) == pytest.approx((short + long) / 2)


def test_frequent_words_count_little(vectors: StaticVectors) -> None:
    assert vectors.fit("the book", ToolTexts("b", "book", "book")) == pytest.approx(1, abs=1e-5)


def test_a_table_is_written_and_read_back() -> None:
    table = PieceTable.of(PIECES, RANKS, VECTORS)
    again = PieceTable.from_bytes(table.to_bytes())
    assert again.pieces == PIECES and again.ranks.tolist() == list(RANKS)
    assert again.vectors * again.scales[:, None] == pytest.approx(VECTORS, abs=0.01)
    assert static_vectors(table.to_bytes()).name == static_vectors(again.to_bytes()).name


def test_a_layer_of_other_vectors_is_refused() -> None:
    name = shipped_layer("static").encoder
    assert shipped_vectors(name).name == name
    with pytest.raises(BadInput, match=r"static.safetensors is static-.*, its layer is of static-0; fit it again: "):
        shipped_vectors("static-0")


def test_shipped_vectors_read_a_request_and_its_tool() -> None:
    reader = shipped_reader("static")
    assert reader is not None
    tools = [
        ToolTexts("cancel_booking", "cancel booking: Cancel a booking.", "cancel booking: Cancel a booking. id"),
        ToolTexts("add_baggage", "add baggage: Add bags to a booking.", "add baggage: Add bags to a booking. bags"),
    ]
    read = reader.sentence("please could you cancel that booking of mine", tools)
    assert read.act == "ask_change" and read.tools[0] == "cancel_booking"
    assert reader.sentence("yes, go ahead please", tools).act == "agree"
    assert reader.sentence("no, that is the wrong one", tools).act == "correct"


def test_static_reading_needs_no_torch() -> None:
    """In a process of its own, where neither torch nor transformers can be imported."""
    program = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from fama.agents.reading.reader import shipped_reader\n"
        "print(shipped_reader('static').act('yes please do that')[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "agree", done.stderr
