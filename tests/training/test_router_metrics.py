import math
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from fama.randomness import derive_seed
from fama.selection.router.checkpoint import read_manifest
from fama.selection.router.features import Features
from fama.selection.router.router import Router
from fama.selection.router.scores import Quadratic, sigmoid
from training.data.examples import Example
from training.data.splits import Split
from training.export.calibration import calibrate, fit_temperature
from training.export.card import _calibration, _choices, _transfer
from training.export.evaluation import evaluate_router
from training.export.reliability import reliability_svg
from training.prediction_metrics import brier, calibration_bins, expected_calibration_error, log_loss
from training.settings import TrainSettings

SHIPPED = read_manifest(Path(__file__).resolve().parents[2] / "checkpoints" / "helpdesk-turn")


def logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


def test_log_loss_and_brier_by_hand() -> None:
    logits, success = np.array([logit(0.8), logit(0.25)]), np.array([1.0, 0.0])
    assert log_loss(logits, success) == pytest.approx([-math.log(0.8), -math.log(0.75)])
    assert brier(logits, success) == pytest.approx([0.04, 0.0625])
    assert np.isfinite(log_loss(np.array([800.0, -800.0]), success[::-1])).all()


def test_calibration_error_by_hand() -> None:
    """Bin 0.2–0.3: three rows at 0.25, one success: |1 − 0.75| = 0.25. Bin 0.8–0.9: two at 0.85, none: 1.7."""
    logits = np.array([logit(0.25)] * 3 + [logit(0.85)] * 2)
    success = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
    assert expected_calibration_error(logits, success) == pytest.approx((0.25 + 1.7) / 5)
    assert expected_calibration_error(np.array([800.0]), np.array([1.0])) == pytest.approx(0.0)


def test_temperature_is_recovered() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(scale=1.5, size=4000)
    success = (random.uniform(size=4000) < sigmoid(truth)).astype(float)
    assert fit_temperature(3.0 * truth, success) == pytest.approx(3.0, rel=0.15)
    found = calibrate(3.0 * truth, success, [str(i // 4) for i in range(4000)])
    assert found.rows == 4000
    assert found.ece_before is not None and found.ece_after is not None
    assert found.ece_after < 0.03 < found.ece_before


def test_too_few_or_one_sided_rows_keep_temperature_one() -> None:
    tasks = [str(number) for number in range(80)]
    sign = np.array([1.0, -1.0] * 40)
    sure = np.array([derive_seed(0, "calibration", task) % 2 == 0 for task in tasks])
    success = np.where(sure, sign > 0, np.arange(80) % 4 < 2).astype(float)  # one half always right, one a coin
    noise = calibrate(sign, success, tasks)
    assert noise.temperature == 1.0 and noise.ece_after == noise.ece_before
    few = calibrate(np.array([3.0, -3.0]), np.array([0.0, 1.0]), ["a", "b"])
    assert (few.temperature, few.ece_before, few.ece_after, few.rows) == (1.0, None, None, 2)
    assert fit_temperature(np.linspace(-1, 1, 50), np.ones(50)) == 1.0
    assert calibrate(np.array([]), np.array([]), []).temperature == 1.0


def test_rows_too_few_to_tell_keep_the_temperature_of_the_initial_router() -> None:
    assert calibrate(np.array([]), np.array([]), [], before=2.5).temperature == 2.5
    few = calibrate(np.array([3.0, -3.0]), np.array([0.0, 1.0]), ["a", "b"], before=2.5)
    assert (few.temperature, few.ece_after, few.rows) == (2.5, None, 2)
    tasks = [str(n) for n in range(24)]  # 24 rows are enough for an error, but no half of them for a temperature
    halves = calibrate(np.array([3.0, -3.0] * 12), np.array([0.0, 1.0] * 12), tasks, before=2.5)
    assert halves.temperature == 2.5 and halves.ece_after == halves.ece_before is not None
    told = _calibration(SHIPPED.model_copy(update={"calibration": halves}))
    assert told.startswith("Calibration: no half of the tasks could tell a temperature (24 rows); 2.50, the initial")
    assert calibrate(np.arange(80.0), np.ones(80), [str(n) for n in range(80)], before=2.5).temperature == 2.5
    coin = calibrate(
        np.array([1.0, -1.0] * 40), (np.arange(80) % 4 < 2).astype(float), [str(n) for n in range(80)], before=2.5
    )
    assert coin.temperature != 2.5


CHOOSING = cast(
    Router,
    SimpleNamespace(
        manifest=SimpleNamespace(pool=("A",), seed=0), choose=lambda features: SimpleNamespace(members=(True,))
    ),
)


def matching(*propensities: float | None) -> list[Example]:
    """Rows of the subset that is chosen, the first a success; and one of another subset."""
    rows = [
        Example(f"t{place}", Features((), ()), (True,), place == 0, propensity=chance)
        for place, chance in enumerate(propensities)
    ]
    return [*rows, Example("other", Features((), ()), (False,), True, propensity=propensities[0])]


@pytest.mark.parametrize(
    ("propensities", "value", "rows"),
    [((0.5, 0.1), 2 / 12, 2), ((0.5, 0.1, None), 2 / 12, 2), ((None, None, None), 1 / 3, 3)],
)
def test_the_success_of_matching_rows_by_hand(propensities: tuple[float | None, ...], value: float, rows: int) -> None:
    """A row of unknown propensity counted as drawn for certain, and rows of repairs as weighted by one."""
    examples = matching(*propensities)
    found = evaluate_router(CHOOSING, examples, examples, None, None)
    assert found.matched is not None and found.matched.value == pytest.approx(value)
    assert found.matched_rows == rows and found.drawn is (propensities[0] is not None)
    assert ("propensity" in _choices(SHIPPED, found)) is found.drawn


def test_the_card_says_whether_held_out_tasks_were_tuned_on() -> None:
    rows = matching(0.5, 0.5)
    apart = evaluate_router(CHOOSING, rows, rows, None, None)
    told = []
    for validation in (rows[:2], []):
        split = Split((), tuple(validation), "", tuple(rows))
        told.append(_transfer(SHIPPED, TrainSettings(), split, apart, None, False, False)[1])
    assert told == [
        "3 rows of 3 tasks that were not trained on, 2 of them validation tasks of other backbones; 95 % intervals "
        "over tasks.",
        "3 rows of 3 tasks that were not trained on, nor tuned on; 95 % intervals over tasks.",
    ]


def test_quadratic_scores_by_hand() -> None:
    """Pairs of three helpers in order: 01, 02, 12."""
    quadratic = Quadratic(1.0, np.array([1.0, 2.0, 4.0]), np.array([0.1, 0.2, 0.4]), 5.0, np.array([0.5, 0.25, 0.0]))
    raw = quadratic(np.array([[False, False, False], [True, False, True], [True, True, True]]))
    assert raw.logit == pytest.approx([1.0, 6.2, 8.7])
    assert raw.log_tokens == pytest.approx([5.0, 5.5, 5.75])


def test_the_reliability_figure_shows_the_bins() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=400)
    success = (rng.random(400) < 1 / (1 + np.exp(-logits / 2))).astype(float)
    drawn = reliability_svg(logits, 2.0, logits / 2.0, success)
    assert drawn is not None and drawn == reliability_svg(logits, 2.0, logits / 2.0, success)
    text = drawn.decode()
    assert "<script" not in text and "http://www.w3.org" in text
    assert "as trained" in text and "temperature 2.00" in text and "n = 400 validation rows" in text
    rows, predicted, observed = calibration_bins(logits, success)
    assert rows.sum() == 400 and all(f">{int(count)}<" in text for count in rows)
    assert np.abs(observed - predicted).max() > 0.05
    alone = reliability_svg(logits, 1.0, logits, success)
    assert alone is not None and b"temperature" not in alone
    assert reliability_svg(logits[:19], 1.0, logits[:19], success[:19]) is None
