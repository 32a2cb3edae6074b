"""Agreement: published examples, a library as a second opinion, synthetic truth, and the command."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from eval.annotation.agreement import agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha
from eval.annotation.labels import read_labels
from fama.cli import main
from fama.diagnosis.crosswalk import load_crosswalk
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import UNEXPLAINED, Failure
from fama.episodes.store import write_failures
from fama.errors import BadInput
from tests.support.label_builders import CODES, label


def test_alpha_of_krippendorffs_own_example() -> None:
    data = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    together = np.zeros((5, 5))
    for unit in zip(*(row.split() for row in data), strict=True):
        values = [int(v) - 1 for v in unit if v != "."]
        for i, a in enumerate(values):
            for j, b in enumerate(values):
                if i != j:
                    together[a, b] += 1 / (len(values) - 1)
    assert float(krippendorff_alpha(together)) == pytest.approx(0.743, abs=5e-4)


def test_fleiss_of_the_textbook_example() -> None:
    counts = np.array(
        [
            [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
        ],
        dtype=float,
    )  # fmt: skip
    agreed = (counts * (counts - 1)).sum(axis=1) / (14 * 13)
    kappa = fleiss_kappa(agreed.sum(), counts.sum(axis=0), np.array(10.0), 14)
    assert float(kappa) == pytest.approx(0.210, abs=5e-4)


def test_cohen_as_in_a_library_and_undefined_where_chance_explains_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
        b = np.where(rng.random(60) < 0.5, a, b)
        table = np.zeros((4, 4))
        np.add.at(table, (a, b), 1)
        assert float(cohen_kappa(table)) == pytest.approx(cohen_kappa_score(a, b))
    assert np.isnan(float(cohen_kappa(np.array([[5.0, 0.0], [0.0, 0.0]]))))


def two(ours: Sequence[str], theirs: Sequence[str]) -> dict[str, dict[str, Failure]]:
    return {
        "a": {f"e{i}": label(i, code) for i, code in enumerate(ours)},
        "b": {f"e{i}": label(i, code, labeller="b") for i, code in enumerate(theirs)},
    }


def test_two_labellers_by_hand() -> None:
    # DCV: both yes 2, both no 1, a alone 1: observed 3/4, chance 3/4·1/2 + 1/4·1/2 = 1/2, κ = 1/2
    found = agreement(two(["DCV", "DCV", "DCV", "CM"], ["DCV", "DCV", "CM", "CM"]), CODES, draws=100)
    dcv = found.variables[0]
    assert (found.units, found.tasks, found.alone, dcv.observed.value) == (4, 2, 0, 0.75)
    assert dcv.cohen is not None and dcv.cohen.value == pytest.approx(0.5) and dcv.fleiss is None
    # α: coincidences yes-yes 4, no-no 2, yes-no 1 + 1; n 8, 5 yes and 3 no: 1 − (2/8) / (1 − (20 + 6)/56)
    assert dcv.alpha.value == pytest.approx(1 - 0.25 / (1 - 26 / 56))
    assert dcv.shares == {"a": 0.75, "b": 0.5}
    assert found.variables[1].name == "WRCO" and found.variables[1].alpha.value is None  # nobody ever says it
    (pair,) = found.pairs
    assert pair.confusion == {"CM": {"CM": 1}, "DCV": {"CM": 1, "DCV": 2}}


def test_tasks_of_two_domains_are_two_clusters() -> None:
    labels = two(["DCV", "CM"], ["DCV", "CM"])
    apart = {
        rater: {unit: one.model_copy(update={"domain": unit}) for unit, one in by.items()}
        for rater, by in labels.items()
    }
    assert (agreement(labels, CODES, draws=100).tasks, agreement(apart, CODES, draws=100).tasks) == (1, 2)


def test_steps_blame_and_missing_labels() -> None:
    steps = [(3, 3), (3, 4), (5, 8), (1, None), (2, 9)]
    ours = {f"e{i}": label(i, "CM", step=a) for i, (a, _) in enumerate(steps)}
    theirs = {f"e{i}": label(i, "CM", labeller="b", step=b, blame="user") for i, (_, b) in enumerate(steps)}
    theirs["e9"] = label(9, "CM", labeller="b")
    found = agreement({"a": ours, "b": theirs}, CODES, draws=100)
    (pair,) = found.pairs
    assert (found.alone, pair.step_units) == (1, 4)
    assert {near: share.value for near, share in pair.steps.items()} == {0: 0.25, 1: 0.5, 3: 0.75}
    blame = found.variables[-1]
    assert blame.name == "blame" and blame.observed.value == 0.0 and (blame.alpha.value or 0) < 0


def test_a_label_that_was_only_begun_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touched = [label(0, "CM"), label(1, step=2), label(2).model_copy(update={"fits_none": True})]
    write_failures(tmp_path / "a.jsonl", touched)
    write_failures(tmp_path / "b.jsonl", [label(n, "CM", labeller="b") for n in range(3)])
    labels = read_labels([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], load_taxonomy(), load_crosswalk())
    assert set(labels["a"]) == {"e0", "e2"}
    assert "a.jsonl: 1 labels are left out" in caplog.text
    assert agreement(labels, CODES, draws=200).pairs[0].confusion == {"CM": {"CM": 1}, "none": {"CM": 1}}


def test_three_labellers_have_fleiss_over_what_all_of_them_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {r: {f"e{i}": label(i, "CM" if i % 2 else "DCV", labeller=r) for i in range(8)} for r in "abc"}
    del labels["c"]["e0"]
    found = agreement(labels, CODES, draws=100)
    dcv = found.variables[0]
    assert dcv.cohen is None and dcv.fleiss is not None and dcv.fleiss.value == 1.0 and dcv.alpha.value == 1.0
    assert len(found.pairs) == 3 and (dcv.units, dcv.fleiss_units) == (8, 7)
    for rater, own in labels.items():
        write_failures(tmp_path / f"{rater}.jsonl", own.values())
    del labels["c"]["e1"]  # with e0 all of a task
    fewer = agreement(labels, CODES, draws=100)
    assert fewer.variables[0].fleiss is not None
    assert (fewer.tasks, fewer.variables[0].fleiss.n, [pair.cohen.n for pair in fewer.pairs]) == (4, 3, [4, 3, 3])
    assert main(["agree", *(str(tmp_path / f"{rater}.jsonl") for rater in labels)]) == 0
    assert "Fleiss κ: over the 7 of 8 failures that all 3 label; α: over all." in capsys.readouterr().out


def test_an_annotator_who_shares_no_failure_has_no_share() -> None:
    """Their labels stand alone: no number, and no warning, is made of none."""
    labels = {r: {f"e{i}": label(i, "CM" if i % 2 else "DCV", labeller=r) for i in range(8)} for r in "ab"}
    labels["c"] = {f"e{i}": label(i, "CM", labeller="c") for i in range(20, 24)}
    found = agreement(labels, CODES, draws=100)
    assert found.alone == 4 and found.variables[0].shares == {"a": 0.5, "b": 0.5}
    assert "NaN" not in json.dumps(found.model_dump())
    observed = found.variables[0].observed  # all agree, which is no proof that all will
    assert observed.value == observed.high == 1.0 and observed.low is not None and observed.low < 0.6


def test_intervals_cover_the_truth() -> None:
    """Two annotators with prevalence ½ who differ in 25 % of the failures: κ = α = ½."""
    rng = np.random.default_rng(5)
    covered = 0
    runs = 200
    for _ in range(runs):
        ours = rng.random(100) < 0.5
        theirs = np.where(rng.random(100) < 0.25, ~ours, ours)
        names = ["DCV" if x else "CM" for x in ours], ["DCV" if x else "CM" for x in theirs]
        kappa = agreement(two(*names), ("DCV",), draws=300, seed=int(rng.integers(1 << 30))).variables[0].cohen
        assert kappa is not None and kappa.low is not None and kappa.high is not None
        covered += kappa.low <= 0.5 <= kappa.high
    assert 0.91 <= covered / runs <= 0.985


def test_foreign_labels_go_through_the_crosswalk() -> None:
    crosswalk = load_crosswalk()
    foreign = label(0, "FM-1.3 Step Repetition", "Premature termination", taxonomy="mast-14/1")
    ours = crosswalk.translate(foreign)
    assert (ours.categories, ours.primary, ours.taxonomy_version) == (("IFU",), ("IFU",), "fama-4/1")
    blamed = crosswalk.translate(label(0, "user_simulator_error", taxonomy="ck496/1"))
    assert (blamed.categories, blamed.blame) == ((), "user")
    assert crosswalk.translate(label(0, "DCV")) == label(0, "DCV")
    with pytest.raises(BadInput, match="label 'boredom' is none of mast-14's"):
        crosswalk.translate(label(0, "boredom", taxonomy="mast-14/1"))
    with pytest.raises(
        BadInput,
        match=r"no crosswalk from it to fama-4/1 \(known: mast-14, agentrx-10.*give its own file \(--taxonomy\)",
    ):
        crosswalk.translate(label(0, "x", taxonomy="zodiac/1"))


def test_every_crosswalk_label_maps_to_our_codes() -> None:
    assert load_crosswalk().codes == set(CODES)
    assert {name: len(v.labels) for name, v in load_crosswalk().vocabularies.items()}["mast-14"] == 14


def test_one_labeller_in_two_files_is_two(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_failures(tmp_path / f"{name}.jsonl", [label(0, "CM")])
    names = list(read_labels([tmp_path / "x.jsonl", tmp_path / "y.jsonl"], load_taxonomy(), load_crosswalk()))
    assert names == [f"a ({tmp_path / 'x.jsonl'})", f"a ({tmp_path / 'y.jsonl'})"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    codes = rng.choice(CODES, 40)
    write_failures(tmp_path / "a.jsonl", [label(i, str(code), step=i) for i, code in enumerate(codes)])
    mine = [label(i, str(c) if i % 4 else "CM", labeller="b", step=i + 2) for i, c in enumerate(codes)]
    write_failures(tmp_path / "b.jsonl", mine)
    assert main(["agree", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), "--bootstrap", "200"]) == 0
    shown = capsys.readouterr().out
    assert "Krippendorff α" in shown and "a against b, 40 failures" in shown and "±3 100" in shown
    assert main(["agree", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), "--json", "--bootstrap", "200"]) == 0
    assert json.loads(capsys.readouterr().out)["raters"] == ["a", "b"]


def test_labels_that_are_guesses_are_counted_and_can_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of eight common failures the second annotator guesses at three; the other five agree."""
    files = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]
    write_failures(Path(files[0]), [label(i, "CM") for i in range(8)])
    guess = {"rationale": UNEXPLAINED, "categories": ("DCV",), "primary": ("DCV",)}
    theirs = [label(i, "CM", labeller="b") for i in range(8)]
    write_failures(Path(files[1]), [one.model_copy(update=guess) if i < 3 else one for i, one in enumerate(theirs)])
    agree = ["agree", *files, "--bootstrap", "100"]
    told = {}
    for words in ([], ["--without-guesses"]):
        assert main([*agree, "--json", *words]) == 0
        found = json.loads(capsys.readouterr().out)
        primary = next(one for one in found["variables"] if one["name"] == "primary")
        told[bool(words)] = (found["guesses"], found["units"], primary["observed"]["value"])
    assert told == {False: ({"a": 0, "b": 3}, 8, 5 / 8), True: ({"a": 0, "b": 3}, 5, 1.0)}
    assert main(agree) == 0
    assert "3 labels of b guessed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("second", "part"),
    [
        ([label(7, "CM", labeller="b")], "label no failure in common"),
        ([label(0, "CM", labeller="b"), label(0, "CM", labeller="b")], "b labels episode e0 twice"),
        ([label(0, "CM", labeller="b", taxonomy="zodiac/1")], "no crosswalk from it"),
        (
            [label(0, "ROW", labeller="b")],
            "b.jsonl: names 'ROW', which is no category of fama-4/1 (DCV, WRCO, CM, IFU)",
        ),
    ],
)
def test_bad_labels_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], second: list[Failure], part: str
) -> None:
    write_failures(tmp_path / "a.jsonl", [label(0, "CM")])
    write_failures(tmp_path / "b.jsonl", second)
    assert main(["agree", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]) == 2
    error = capsys.readouterr().err
    assert part in error and error.count("\n") == 1
    assert main(["agree", str(tmp_path / "a.jsonl")]) == 2
    assert "at least two" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["agree", "combine --out OUT", "profile --against LABELS"])
def test_a_file_that_is_also_given_by_its_folder_is_given_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "a").mkdir()
    write_failures(tmp_path / "a", [label(number, "CM") for number in range(4)])
    name, *rest = command.replace("OUT", str(tmp_path / "out")).replace("LABELS", str(tmp_path / "a")).split()
    files = [str(tmp_path / "a" / "failures.jsonl"), *([] if name == "profile" else [str(tmp_path / "a")])]
    assert main([name, *files, *rest]) == 2
    assert "a/failures.jsonl: is given twice; " in capsys.readouterr().err


def test_a_reference_may_be_given_by_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_failures(tmp_path / name, [label(number, "CM") for number in range(4)])
    files = [str(tmp_path / name / "failures.jsonl") for name in ("a", "b")]
    assert main(["agree", *files, "--reference", str(tmp_path / "b"), "--json", "--bootstrap", "200"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["raters"] == [f"a ({path})" for path in files]
    assert [one["reference"] for one in found["against"]] == [f"a ({files[1]})"]
