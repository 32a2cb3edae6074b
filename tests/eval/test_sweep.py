"""Curves over λ: areas by hand, the toy world whose best subsets are known, other prices, bad settings."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from eval.compare.comparison import read_comparison, run_comparison
from eval.compare.schema import Curve
from eval.compare.sweep import ENDLESS, ORACLE, _curves, other_units
from eval.metrics.curves import OperatingPoint, area, success_at, tokens_at
from eval.report.figures import figures
from eval.report.tables import comparison_tables
from fama.cli import main
from fama.episodes.outcome_table import read_outcomes, write_outcomes
from fama.episodes.records import LedgerRow
from fama.errors import BadInput
from fama.intervals import Interval
from fama.models.base import ChatReply, ChatRequest
from fama.selection.base import Priced
from fama.selection.selectors.best_fixed import Arm, BestFixedSelector
from fama.subsets import POOL
from tests.support.comparisons import live, table
from tests.support.toy_world import compare_settings, toy_world
from training.data.examples import outcome_examples
from training.data.synthetic import make_tasks, outcome_rows
from training.settings import TrainSettings
from training.train import train_on


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


Sums = Mapping[str, Sequence[tuple[float | None, Any]]]


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
        ["plain", "weak"],
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


def test_an_arm_of_unknown_tokens_has_no_area_and_changes_no_other() -> None:
    weights = np.array([[2.0, 0.0], [1.0, 1.0]])
    others: Sums = {"dear": [(0.0, sums(1.0, 200)), (ENDLESS, sums(0.5, 100))], "plain": [(None, sums(0.5, 150))]}
    unknown: Sums = {"silent": [(0.0, sums(0.9, math.nan)), (ENDLESS, sums(0.25, 50))]}
    silent, *rest = _curves({**unknown, **others}, ["silent", "plain"], weights)
    assert rest == list(_curves(others, ["plain"], weights)) and silent.versus == "plain"
    assert (silent.area, silent.tokens) == (Interval(None, None, None, 2), None)
    assert (silent.success_at_equal_tokens, silent.tokens_at_equal_success) == (None, None)
    (alone,) = _curves(unknown, ["silent"], weights)
    assert (alone.area.value, alone.versus) == (None, None)


def test_nothing_is_read_off_points_of_unknown_tokens() -> None:
    points = [OperatingPoint(100.0, 0.5), OperatingPoint(math.nan, 1.0)]
    assert area(points, 0.0, 200.0) is success_at(points, 150.0) is tokens_at(points, 0.4) is None


class Silent:
    """A model whose server reports no usage."""

    name = "toy"

    async def complete(self, request: ChatRequest) -> ChatReply:
        usage = LedgerRow(role=request.role, model="toy", input_tokens=None, output_tokens=None)
        return ChatReply(text='{"helpers": ["Alpha"]}', usage=usage)


@pytest.mark.parametrize("others", [["none", "best_fixed"], []], ids=["beside others", "alone"])
async def test_a_server_without_usage(tmp_path: Path, others: list[str]) -> None:
    path = await table(tmp_path / "table", split="train", tasks=8)
    arms = [{"name": name} for name in ("prompted", *others)]
    settings = compare_settings(
        arms=arms, replay=str(path), outcomes=str(path), tasks=8, split="train", lambdas=[0.0], bootstrap=200
    )
    out = tmp_path / "out"
    got = await run_comparison(settings, out, command="fama compare", model=Silent(), progress=False)
    assert {curve.versus for curve in got.curves} == {"best_fixed" if others else None}
    assert main(["report", str(out)]) == 0
    written = (out / "report.md").read_text()
    assert "| prompted | – | – | – |" in written and "Tokens of prompted are unknown" in written
    assert ("at best\\_fixed's tokens" in written, "None" in written) == (bool(others), False)
    drawn = figures(read_comparison(out))["curves"]
    assert "prompted: – tokens" in [text.get_text() for text in drawn.axes[0].get_legend().get_texts()]


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
    assert "curves" in figures(got) and any(one.name == "curves" for one in comparison_tables(got))


@pytest.mark.parametrize(("kept", "curves"), [({"t10"}, 3), (set(), 0)])
async def test_tasks_that_the_curves_leave_out_are_told(tmp_path: Path, kept: set[str], curves: int) -> None:
    """Best_fixed chooses both helpers at λ = 0, which the table has of the kept tasks only."""
    whole = await table(tmp_path / "table")
    part = tmp_path / "part.parquet"
    rows = [row for row in read_outcomes(whole) if row.subset != "Alpha+Beta" or row.task_id in kept]
    write_outcomes(part, rows, {})
    arms = [{"name": "none"}, {"name": "best_fixed"}]
    got = await live(tmp_path / "out", arms=arms, outcomes=str(whole), replay=str(part), lambdas=[0.0], bootstrap=200)
    (told,) = [line for line in got.warnings if line.startswith("lambdas: ")]
    assert len(got.curves) == curves
    assert told.startswith("lambdas: curves are over 1 of 4 tasks, " if curves else "lambdas: no curves, ")
    assert not curves or got.curves[0].episodes == sum(row.task_id == "t10" and row.subset == "" for row in rows)
    alone = await live(tmp_path / "all", arms=arms, outcomes=str(whole), replay=str(whole), lambdas=[0.0])
    assert not any(line.startswith("lambdas: ") for line in alone.warnings)


async def test_arms_that_weigh_other_units_than_tokens_are_told(tmp_path: Path) -> None:
    """Their λ prices 1,000 seconds, or tokens that no cache held, in the column of the others' λ."""
    path = str(await table(tmp_path / "table", split="test"))
    tree = {"kind": "prior", "data": {"cost": "seconds", "outcomes": ["o"]}, "trainer": {"wandb": "disabled"}}
    examples = outcome_examples(outcome_rows(make_tasks(12)), POOL, cost="seconds")
    assert train_on(TrainSettings.model_validate(tree), examples, tmp_path / "router") is not None
    cheap = {"name": "best_fixed", "label": "cheap", "options": {"cost": "new_tokens"}}
    arms = [{"name": "best_fixed"}, cheap, {"name": "prior", "options": {"checkpoint": str(tmp_path / "router")}}]
    said = "lambdas: a λ prices 1,000 new tokens for cheap, seconds for prior, and tokens elsewhere"
    (line,) = other_units(compare_settings(arms=arms, replay=path, lambdas=[0.1]))
    assert line.startswith(said)
    assert other_units(compare_settings(arms=arms, replay=path)) == []
    got = await live(tmp_path / "out", arms=arms[:2], outcomes=path, replay=path, lambdas=[0.1])
    assert any("new tokens for cheap" in warning for warning in got.warnings)


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
