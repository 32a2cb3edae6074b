"""Curves over λ: areas by hand, the toy world whose best subsets are known, other prices, bad settings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from eval.compare.schema import Curve
from eval.compare.sweep import ENDLESS, ORACLE, _curves
from eval.report.figures import figures
from eval.report.tables import tables
from fama.errors import BadInput
from fama.selection.base import Priced
from fama.selection.selectors.best_fixed import Arm, BestFixedSelector
from tests.support.comparisons import live, table
from tests.support.toy_world import toy_world


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


def sums(success: float, tokens: float) -> Any:
    """Two tasks that are alike."""
    return np.array([[success, success], [tokens, tokens], [1.0, 1.0]])


def test_areas_and_equal_points_by_hand() -> None:
    weights = np.array([[2.0, 0.0], [1.0, 1.0]])
    found = _curves(
        {
            "dear": [(0.0, sums(1.0, 200)), (ENDLESS, sums(0.5, 100))],
            "plain": [(None, sums(0.5, 150))],
            "weak": [(None, sums(0.25, 120))],
        },
        "plain",
        weights,
    )
    dear, plain, weak = found
    assert dear.area.value == pytest.approx(0.5)  # .5 from 100 to 200 tokens, and 1 only at the very end
    assert plain.area.value == pytest.approx(0.25)  # nothing up to 150, then .5
    assert weak.area.value == pytest.approx(0.25 * 0.8)
    assert [point.lam for point in dear.points] == [0.0, "inf"] and plain.points[0].lam is None
    assert (dear.versus, dear.success_at_equal_tokens, dear.tokens_at_equal_success) == ("plain", 0.5, 100)
    assert (weak.success_at_equal_tokens, weak.tokens_at_equal_success) == (0.25, None)
    assert dear.area.low == dear.area.high == dear.area.value  # the tasks are alike, so no resample differs


async def test_the_toy_world(tmp_path: Path) -> None:
    train = await table(tmp_path / "train", split="train")
    test = await table(tmp_path / "test", split="test")
    arms = [{"name": "none"}, {"name": "best_fixed"}, {"name": "all"}]
    got = await live(
        tmp_path / "out", arms=arms, outcomes=str(train), replay=str(test), lambdas=[0.0, 0.01], bootstrap=200
    )
    curves: dict[str, Curve] = {curve.arm: curve for curve in got.curves}
    assert list(curves) == ["none", "best_fixed", "all", ORACLE]
    assert len(curves["none"].points) == 1 and len(curves["best_fixed"].points) == 3
    first, last = curves["best_fixed"].points[0], curves["best_fixed"].points[-1]
    assert first.success == got.arm("all").measures.success and last.lam == "inf"
    assert (last.tokens.value or 0) <= (first.tokens.value or 0)
    best = curves[ORACLE].points[0]
    assert best.success.value == 1.0 and (best.tokens.value or 0) < (got.arm("all").measures.tokens.value or 0)
    areas = {arm: curve.area.value or 0.0 for arm, curve in curves.items()}
    assert areas[ORACLE] == max(areas.values()) > areas["none"]
    assert "curves" in figures(got) and any(one.name == "curves" for one in tables(got))


async def test_without_prices_there_are_no_curves(tmp_path: Path) -> None:
    path = await table(tmp_path / "table", split="test")
    got = await live(tmp_path / "out", replay=str(path))
    assert got.curves == () and "curves" not in figures(got)


async def test_prices_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="set replay to"):
        await live(tmp_path / "out", lambdas=[0.1])
    with pytest.raises(ValidationError, match=r"lambdas.0\n +Input should be greater than or equal to 0"):
        await live(tmp_path / "out", lambdas=[-1.0], replay="x")


def test_best_fixed_at_another_price() -> None:
    arms = (Arm(("DCE", "TSA"), 10, 0.6, 2000.0), Arm(("DCE",), 10, 0.55, 1500.0), Arm((), 10, 0.3, 1000.0))
    selector = BestFixedSelector(("DCE", "TSA"), {"DCE": 1.0, "TSA": 1.0}, arms)
    assert isinstance(selector, Priced)
    assert [selector.at(lam).subset for lam in (0.0, 0.15, ENDLESS)] == [("DCE", "TSA"), ("DCE",), ()]
    assert selector.at(0.15).probabilities == {"DCE": 1.0, "TSA": 0.0} and selector.subset == ("DCE", "TSA")
