"""Rows that are shares of one outcome: fits, calibration and measures count each by its weight."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.ablation.router_measures import outcome_measures, subset_grid_measures
from fama.episodes.state import VisibleState
from fama.selection.router.checkpoint import load_router
from fama.selection.router.features import Features, featurise
from fama.selection.router.scores import sigmoid
from training.data.examples import Example, ExampleSet
from training.data.splits import Split
from training.export.calibration import calibrate
from training.export.card import _data_rows
from training.export.reliability import reliability_svg
from training.kinds.context_free import OutcomeArrays, fit_success_heads
from training.kinds.helper_labels import best_subset
from training.prediction_metrics import calibration_bins, effective_rows, expected_calibration_error
from training.settings import LossSettings, TrainSettings
from training.train import train_on

WITH, WITHOUT = (True,), (False,)


def state(number: int) -> Features:
    return featurise(VisibleState(policy=f"Rule {number}.", tools=(), messages=()))


def shares(task: str, features: Features, subset: tuple[bool, ...], share: float, weight: float = 1.0) -> list[Example]:
    """Return a success and a failure that weigh as much together as one row."""
    return [
        Example(task, features, subset, success, 1000.0, weight=weight * part)
        for success, part in ((True, share), (False, 1.0 - share))
    ]


def shared(helped: float, alone: float, tasks: int = 100) -> ExampleSet:
    rows = []
    for number in range(tasks):
        here = featurise(VisibleState(policy="Be good.", tools=(), messages=()))
        here = Features(here.segments, (float(number % 7), *here.evidence[1:]))
        rows += shares(f"t{number}", here, WITH, helped) + shares(f"t{number}", here, WITHOUT, alone)
    return ExampleSet(tuple(rows), ("A",))


@pytest.mark.parametrize("kind", ["linear", "knn", "prior", "boosting"])
def test_shares_of_known_truth_are_predicted(kind: str, tmp_path: Path) -> None:
    """Nine of ten continuations succeed with the helper, one of ten without."""
    data = shared(0.9, 0.1)
    settings = TrainSettings.model_validate({"kind": kind, "data": {"pool": ["A"]}, "vectors": {"buckets": 64}})
    manifest = train_on(settings, data, tmp_path)
    assert manifest is not None
    router = load_router(tmp_path)
    masks = np.array([WITH, WITHOUT])
    probability = router.scores(data.examples[0].features)(masks).success
    assert probability == pytest.approx([0.9, 0.1], abs=0.03)
    assert 0.6 < manifest.calibration.temperature < 1.2
    assert manifest.calibration.ece_after == pytest.approx(0.0, abs=0.03)
    measured = json.loads((tmp_path / "work" / "metrics.json").read_text())
    assert measured["matched"]["value"] == pytest.approx(0.9)
    expected = -0.9 * np.log(0.9) - 0.1 * np.log(0.1)
    assert measured["metrics"]["log loss"]["value"] == pytest.approx(expected, abs=0.03)
    assert measured["metrics"]["Brier score"]["value"] == pytest.approx(0.09, abs=0.01)


@pytest.mark.parametrize("kind", ["linear", "knn", "prior", "boosting"])
def test_a_whole_row_and_its_halves_are_one_row(kind: str, tmp_path: Path) -> None:
    """A row of weight 1 as two equal rows of weight ½ each: the same predictions."""
    whole = []
    for number in range(80):
        subset = WITH if number % 2 else WITHOUT
        success = number % 10 < (8 if number % 2 else 4)
        whole.append(Example(f"t{number}", state(number % 5), subset, success, 900.0 + number, weight=1.0))
    halves = [Example(e.task, e.features, e.subset, e.success, e.tokens, weight=0.5) for e in whole for _ in range(2)]
    tree: dict[str, Any] = {"kind": kind, "data": {"pool": ["A"]}, "vectors": {"buckets": 64}}
    if kind == "boosting":
        tree["boosting"] = {"rounds": [0]}  # leaves count rows, not weights
    found = []
    for name, rows in (("whole", whole), ("halves", halves)):
        assert train_on(TrainSettings.model_validate(tree), ExampleSet(tuple(rows), ("A",)), tmp_path / name)
        raw = load_router(tmp_path / name).raw_scores(whole[0].features)(np.array([WITH, WITHOUT]))
        found.append([*raw.logit, *raw.log_tokens])
    assert found[0] == pytest.approx(found[1], abs=2e-3)


def test_the_card_states_the_rate_of_the_shares() -> None:
    """Each share is a success and a failure: counted alike they are one half, whatever the share."""
    rows = tuple(shared(0.9, 0.8, tasks=5).examples)
    told = {label: values for label, *values in _data_rows(Split(rows, rows[:2], ""))}
    assert told["success rate, training"] == ["0.850 (n = 20)", ""]
    assert told["success rate, validation"] == ["", "0.900 (n = 2)"]


def test_calibration_of_shares() -> None:
    """Logits of 0.9 and 0.1 where the shares are those: nothing to calibrate. As whole rows they would be noise."""
    logit = np.log(9.0)
    logits = np.array([logit, logit, -logit, -logit] * 30)
    success = np.array([1.0, 0.0] * 60)
    weights = np.array([0.9, 0.1, 0.1, 0.9] * 30)
    tasks = [f"t{row // 4}" for row in range(120)]
    found = calibrate(logits, success, tasks, weights=weights)
    assert found.temperature == pytest.approx(1.0, abs=1e-3)
    assert found.ece_before == pytest.approx(0.0, abs=1e-9)
    assert calibrate(3.0 * logits, success, tasks, weights=weights).temperature == pytest.approx(3.0, rel=1e-3)
    assert calibrate(logits, success, tasks).temperature > 5.0
    ones = np.ones(120)
    assert calibrate(logits, success, tasks, weights=ones) == calibrate(logits, success, tasks)


def test_bins_count_by_weight() -> None:
    """Bin 0.5–0.6: weights 3 (success) and 1 (failure), predicted 0.5; bin 0.9–1: weight 2, predicted 0.95."""
    logits = np.array([0.0, 0.0, np.log(19.0)])
    success, weights = np.array([1.0, 0.0, 1.0]), np.array([3.0, 1.0, 2.0])
    rows, predicted, observed = calibration_bins(logits, success, weights=weights)
    assert rows.tolist() == [4.0, 2.0] and observed.tolist() == [0.75, 1.0]
    assert predicted == pytest.approx([0.5, 0.95])
    error = (4.0 * 0.25 + 2.0 * 0.05) / 6.0
    assert expected_calibration_error(logits, success, weights=weights) == pytest.approx(error)
    assert effective_rows(weights) == pytest.approx(36.0 / 14.0) and effective_rows(np.ones(7)) == 7.0


def test_the_figure_counts_rows_that_tell_as_much() -> None:
    """Each pair (0.9, 0.1) tells as much as 1 / 0.82 rows: 30 pairs are 37 rows, 10 are too few."""
    logits, success = np.full(60, 2.0), np.array([1.0, 0.0] * 30)
    weights = np.array([0.9, 0.1] * 30)
    drawn = reliability_svg(logits, 1.0, logits, success, weights)
    assert drawn is not None and b"n = 37 validation rows" in drawn
    assert reliability_svg(logits[:20], 1.0, logits[:20], success[:20], weights[:20]) is None
    ones = reliability_svg(logits, 1.0, logits, success, np.ones(60))
    assert ones == reliability_svg(logits, 1.0, logits, success)


def test_a_rate_of_one_outcome_counts_weights() -> None:
    """A fold whose rows all succeed: (2 + ½) / (2 + 1), not (4 + ½) / (4 + 1)."""
    rows = [Example("a", state(0), WITH, True, weight=0.5) for _ in range(4)]
    data = OutcomeArrays([*rows, Example("b", state(0), WITH, False)], LossSettings())
    heads = fit_success_heads(data, np.array([True] * 4 + [False]))
    assert sigmoid(heads[:1]) == pytest.approx([2.5 / 3.0])


def test_the_best_subset_is_that_of_the_larger_share() -> None:
    rows = shares("a", state(0), WITH, 0.9) + shares("a", state(0), WITHOUT, 0.6)
    assert best_subset(rows) == WITH


def test_ablations_count_by_weight() -> None:
    rows = shares("a", state(0), WITH, 0.9) + shares("a", state(0), WITHOUT, 0.6)
    found = subset_grid_measures({state(0): WITHOUT}, rows)
    assert found["success of the choice"].rows[0] == pytest.approx([0.6])
    assert found["regret to the best executed"].rows[0] == pytest.approx([0.3])
    logits = np.array([np.log(9.0)] * 2 + [np.log(1.5)] * 2)
    sums = outcome_measures(logits, rows)
    assert sums["calibration error"].rows[0].sum(axis=0) == pytest.approx(np.zeros(10), abs=1e-12)
    values, counted = sums["Brier score"].rows
    assert values.sum() / counted.sum() == pytest.approx((0.09 + 0.24) / 2)
