"""One label from several: synthetic labellers of known quality, draws by hand, the command and the page's --only."""

from pathlib import Path

import numpy as np
import pytest

from eval.annotation.consensus import Method, combine
from fama.cli import main
from fama.episodes.records import UNEXPLAINED, Evidence, Failure
from fama.episodes.store import read_failures, write_failures
from tests.support.label_builders import CODES, label

VERSION = "fama-4/1"


def synthetic(units: int, skill: dict[str, float]) -> tuple[list[str], dict[str, dict[str, Failure]]]:
    """A true category per failure, and annotators who name it with a given chance, else another one."""
    rng = np.random.default_rng(7)
    truth = [str(code) for code in rng.choice(CODES, units, p=[0.4, 0.1, 0.2, 0.3])]
    labels: dict[str, dict[str, Failure]] = {}
    for name, chance in skill.items():
        said = [c if rng.random() < chance else str(rng.choice([x for x in CODES if x != c])) for c in truth]
        labels[name] = {f"e{n}": label(n, code, labeller=name) for n, code in enumerate(said)}
    return truth, labels


def right(labels: list[Failure], truth: list[str]) -> float:
    return float(np.mean([f.primary == (truth[int(f.episode_id[1:])],) for f in labels]))


def test_dawid_skene_weighs_the_good_labeller_over_two_poor_ones() -> None:
    truth, labels = synthetic(800, {"good": 0.95, "poor": 0.55, "bad": 0.5})
    weighed = combine(labels, CODES, VERSION)
    counted = combine(labels, CODES, VERSION, "majority")
    assert weighed.method == "dawid-skene"
    assert right(list(weighed.labels), truth) > 0.9 > right(list(counted.labels), truth)
    quality = {(q.labeller, q.category): q.sensitivity or 0.0 for q in weighed.quality}
    assert all(quality["good", code] > quality["bad", code] for code in CODES)
    sure = [f for f in weighed.labels if (f.confidence or 0) > 0.9]
    unsure = [f for f in weighed.labels if (f.confidence or 0) < 0.7]
    assert right(sure, truth) > right(unsure, truth)


def test_two_who_differ_are_a_draw_that_a_human_must_decide() -> None:
    labels = {
        "a": {"e0": label(0, "IFU"), "e1": label(1, "CM"), "e9": label(9, "CM")},
        "b": {"e0": label(0, "CM", labeller="b"), "e1": label(1, "CM", labeller="b")},
    }
    found = combine(labels, CODES, VERSION)
    draw, agreed = found.labels
    assert found.method == "majority" and found.alone == 1
    assert (draw.primary, draw.confidence, draw.rationale) == (("CM", "IFU"), 0.5, "a: IFU; b: CM")
    assert (agreed.primary, agreed.confidence) == (("CM",), 1.0)
    assert found.disputed == (draw,)


@pytest.mark.parametrize("method", ["dawid-skene", "majority"])
def test_a_failure_that_fits_no_category_is_given_none(method: Method) -> None:
    """Three who agree that none fits had a category all the same, with the confidence 0.005."""
    _, labels = synthetic(30, {"a": 0.9, "b": 0.85, "c": 0.8})
    for name, said in (("a", ("", "CM", "CM")), ("b", ("", "", "DCV")), ("c", ("", "", "IFU"))):
        for n, code in enumerate(said, 30):
            none = {"categories": (), "primary": (), "fits_none": True}
            labels[name][f"e{n}"] = label(n, code or "CM", labeller=name).model_copy(update={} if code else none)
    found = {one.episode_id: one for one in combine(labels, CODES, VERSION, method).labels}
    for unit in ("e30", "e31"):
        assert (found[unit].primary, found[unit].categories, found[unit].fits_none) == ((), (), True)
        assert (found[unit].confidence or 0) > 0.6
    assert found["e32"].primary and not found["e32"].fits_none  # all name a category, each another one


def test_steps_blame_and_evidence_come_from_those_who_agree() -> None:
    finding = Evidence(source="gold:extra", category="DCV", step=4, quote="x")
    said = [
        label(0, "DCV", step=4).model_copy(update={"evidence": (finding,)}),
        label(0, "DCV", step=8, labeller="b", blame="user").model_copy(update={"evidence": (finding,)}),
        label(0, "IFU", step=30, labeller="c", blame="user"),
    ]
    found = combine({f.labeller: {"e0": f} for f in said}, CODES, VERSION, "majority").labels[0]
    assert (found.primary, found.step, found.blame, found.evidence) == (("DCV",), 4, "user", (finding,))
    assert found.labeller == "combined:majority"


def test_none_of_the_categories_is_an_answer() -> None:
    found = combine({name: {"e0": label(0, labeller=name)} for name in "ab"}, CODES, VERSION).labels[0]
    assert found.fits_none and found.is_complete
    assert (found.categories, found.primary, found.confidence) == ((), (), 1.0)


def test_guesses_are_left_out_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two annotators guess DCV for e0, a third says CM: with guesses DCV wins, without them e0 has one label."""
    guess = {"rationale": UNEXPLAINED}
    for name in "abc":
        first = label(0, "CM" if name == "c" else "DCV", labeller=name)
        rows = [first if name == "c" else first.model_copy(update=guess), label(1, "CM", labeller=name)]
        write_failures(tmp_path / f"{name}.jsonl", rows)
    words = ["combine", *(str(tmp_path / f"{name}.jsonl") for name in "abc"), "--method", "majority", "--out"]
    assert main([*words, str(tmp_path / "with")]) == 0
    assert "1 label of a guessed, since no detector found a cause: counted as labels" in capsys.readouterr().out
    assert {one.episode_id: one.primary for one in read_failures(tmp_path / "with")} == {"e0": ("DCV",), "e1": ("CM",)}
    assert main([*words, str(tmp_path / "without"), "--without-guesses"]) == 0
    told = capsys.readouterr().out
    assert "1 label of b guessed, since no detector found a cause: left out" in told and "1 more have one" in told
    assert [one.episode_id for one in read_failures(tmp_path / "without")] == ["e1"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, labels = synthetic(30, {"a": 0.9, "b": 0.6, "c": 0.5})
    for name, said in labels.items():
        write_failures(tmp_path / f"{name}.jsonl", said.values())
    files = [str(tmp_path / f"{name}.jsonl") for name in "abc"]
    out = tmp_path / "out"
    assert main(["combine", *files, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "30 failures by 3 annotators, dawid-skene" in shown and "fama annotate EPISODES --only" in shown
    combined, disputed = read_failures(out), read_failures(out / "disputed.jsonl")
    assert len(combined) == 30 and 0 < len(disputed) < 30
    assert [f.confidence for f in disputed] == sorted(f.confidence or 0 for f in disputed)
    assert main(["agree", str(out), files[0], "--bootstrap", "200"]) == 0
    assert main(["combine", files[0], "--out", str(out)]) == 2
    assert "one annotator alone agrees with nobody" in capsys.readouterr().err


def test_an_annotators_labels_are_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder of an annotator as --out: the combined labels would have stood in place of that annotator's."""
    for name in "ab":
        (tmp_path / name).mkdir()
        write_failures(tmp_path / name, [label(0, "CM", labeller=name)])
    before = (tmp_path / "a" / "failures.jsonl").read_bytes()
    words = ["combine", str(tmp_path / "a"), str(tmp_path / "b"), "--out"]
    assert main([*words, str(tmp_path / "a")]) == 2
    told = capsys.readouterr().err
    assert "failures.jsonl: holds labels of a, which would be replaced" in told and told.count("\n") == 1
    assert (tmp_path / "a" / "failures.jsonl").read_bytes() == before
    assert [main([*words, str(tmp_path / "out")]) for _ in range(2)] == [0, 0]
