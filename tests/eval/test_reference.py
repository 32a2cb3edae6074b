"""F1 against a reference: by hand, against a library, the two annotators that do not look, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from eval.annotation.reference_scores import against
from fama.cli import main
from fama.episodes.records import Failure
from fama.episodes.store import write_failures
from fama.errors import BadInput
from tests.support.label_builders import CODES, label


def labels(*codes: str, labeller: str = "a") -> dict[str, Failure]:
    return {f"e{number}": label(number, code, labeller=labeller) for number, code in enumerate(codes)}


def test_by_hand() -> None:
    true = labels("DCV", "DCV", "CM", "CM", "CM", "IFU")
    said = labels("DCV", "CM", "CM", "CM", "DCV", "CM")
    found = against(said, true, ("said", "true"), CODES, draws=200)
    dcv, wrco, cm, ifu = found.categories
    assert (dcv.positives, dcv.told, cm.positives, cm.told) == (2, 2, 3, 4)
    assert (dcv.precision.value, dcv.recall.value, dcv.f1.value) == (0.5, 0.5, 0.5)
    assert cm.f1.value == pytest.approx(2 * 2 / (4 + 3))
    assert (ifu.f1.value, ifu.recall.value, ifu.precision.value) == (0.0, 0.0, None)
    assert (wrco.f1.value, wrco.majority.value, wrco.random.value) == (None, None, None)  # the reference has none
    assert found.macro.value == pytest.approx((0.5 + 4 / 7 + 0) / 3)
    assert cm.majority.value == pytest.approx(2 * 3 / (6 + 3)) and dcv.majority.value == 0.0
    assert (dcv.random.value, cm.random.value, ifu.random.value) == pytest.approx((2 / 6, 3 / 6, 1 / 6))
    assert found.macro_random.value == pytest.approx(1 / 3)


@pytest.mark.filterwarnings("error")
def test_a_reference_without_any_category_has_no_score() -> None:
    empty = {f"e{number}": label(number, labeller="true") for number in range(6)}
    found = against(labels(*["DCV"] * 6), empty, ("said", "true"), CODES, draws=100)
    assert found.macro.value is None and found.categories[0].recall.value is None
    wrong = found.categories[0].precision
    assert wrong.value == wrong.low == 0.0 and wrong.high is not None and wrong.high > 0.4


def test_a_library_and_a_simulated_guesser_agree() -> None:
    rng = np.random.default_rng(0)
    true, said = rng.choice(CODES, 4000, p=[0.4, 0.1, 0.2, 0.3]), rng.choice(CODES, 4000, p=[0.4, 0.1, 0.2, 0.3])
    found = against(labels(*said), labels(*true), ("a", "b"), CODES, draws=400)
    for row in found.categories:
        wanted = f1_score(true == row.category, said == row.category)
        assert row.f1.value == pytest.approx(wanted)
        assert row.f1.low is not None and row.f1.high is not None and row.f1.low < wanted < row.f1.high
        assert row.random.value == pytest.approx(wanted, abs=0.04)  # the guesser is what "by chance" means


def test_primary_and_all_categories() -> None:
    true = {"e0": label(0, "DCV", "CM"), "e1": label(1, "CM", "DCV")}
    said = {"e0": label(0, "DCV"), "e1": label(1, "CM")}
    assert against(said, true, ("a", "b"), CODES, draws=200).macro.value == 1.0
    assert against(said, true, ("a", "b"), CODES, "categories", draws=200).macro.value == pytest.approx(2 / 3)


def test_nothing_in_common() -> None:
    with pytest.raises(BadInput, match="a and b label no failure in common"):
        against({"e0": label(0, "CM")}, {"e1": label(1, "CM")}, ("a", "b"), CODES)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said, true = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    write_failures(said, labels("DCV", "CM", "CM", "IFU").values())
    write_failures(true, labels("DCV", "CM", "IFU", "IFU", labeller="b").values())
    assert main(["agree", str(said), "--reference", str(true), "--bootstrap", "200"]) == 0
    shown = capsys.readouterr().out
    assert "a against b, primary, 4 failures" in shown and "always the commonest" in shown
    assert main(["agree", str(said), "--reference", str(true), "--bootstrap", "200", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["against"]
    assert row["labeller"] == "a" and row["categories"][0]["f1"]["value"] == 1.0
    write_failures(true, [*labels("CM", labeller="b").values(), *labels("CM", labeller="c").values()])
    assert main(["agree", str(said), "--reference", str(true)]) == 2
    assert "holds the labels of 2 annotators; give a file of one" in capsys.readouterr().err
