from pathlib import Path
from typing import Any

import pytest

from fama.episodes.keys import EpisodeKey
from fama.episodes.outcome_table import OutcomeRow, write_outcomes
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.helpers.pool import build_pool
from fama.selection.base import SelectorContext
from fama.selection.selectors import best_fixed, oracle
from fama.selection.selectors.best_fixed import arms_of
from fama.settings import HelperSettings
from tests.support import outcome_rows
from tests.support.asking import choose

POOL = ("DCE", "TSA", "Verifier")
CONTEXT = SelectorContext(build_pool(HelperSettings(pool=POOL)))


def row(task: str, subset: str, success: bool | None, tokens: int = 100, trial: int = 0, **other: Any) -> OutcomeRow:
    ours = {"benchmark": "b", "pool": "+".join(POOL), "tokens": tokens, "tokens_agent": tokens}
    return outcome_rows.row(task, subset, success, trial=trial).model_copy(update={**ours, **other})


def table(path: Path, rows: list[OutcomeRow]) -> str:
    file = path / "outcomes.parquet"
    write_outcomes(file, rows, {"test": True})
    return str(file)


STATE = VisibleState("", (), ())


def key(task: str, backbone: str = "m") -> EpisodeKey:
    return EpisodeKey("b", "d", task, 0, backbone, "act")


async def test_best_fixed_takes_the_highest_mean_over_tasks(tmp_path: Path) -> None:
    rows = [row(f"t{i}", "TSA", i < 8) for i in range(10)] + [row(f"t{i}", "", i < 3) for i in range(10)]
    rows += [row("t0", "", True, trial=k) for k in range(1, 30)]  # many trials of one task are still one task
    chosen = await choose(best_fixed.build(CONTEXT, outcomes=table(tmp_path, rows)), STATE)
    assert chosen.subset == ("TSA",)
    assert chosen.propensity == 1.0
    assert chosen.probabilities["TSA"] > 0.5
    assert chosen.probabilities["DCE"] == 0.0


def test_a_subset_seen_on_one_task_does_not_win_by_luck() -> None:
    rows = [row("t0", "DCE", True)] + [row(f"t{i}", "TSA", i < 9) for i in range(10)]
    rows += [row(f"t{i}", "", i < 5) for i in range(10)]
    arms = arms_of(rows, POOL)
    assert [(arm.subset, arm.tasks) for arm in arms] == [(("TSA",), 10), (("DCE",), 1), ((), 10)]
    assert arms_of(rows, POOL, prior_tasks=0)[0].subset == ("DCE",)


def test_equal_subsets_go_by_tokens_then_by_size() -> None:
    cells = [("TSA", 90), ("Verifier", 80), ("DCE+TSA", 80)]
    rows = [row(f"t{i}", subset, i < 5, tokens=tokens) for subset, tokens in cells for i in range(8)]
    assert [arm.subset for arm in arms_of(rows, POOL)] == [("Verifier",), ("DCE", "TSA"), ("TSA",)]


def test_the_price_is_of_the_unit_that_is_asked_for(tmp_path: Path) -> None:
    """TSA solves more and takes few new tokens, Verifier few in all, and is quick."""
    cells = (("TSA", 6, 900, 880, 3.0), ("Verifier", 5, 300, 0, 0.5))
    rows = [
        row(f"t{i}", subset, i < solved, tokens=tokens, tokens_cached=cached, seconds=seconds)
        for subset, solved, tokens, cached, seconds in cells
        for i in range(8)
    ]
    path = table(tmp_path, rows)
    for cost, lam, subset in (
        ("tokens", 0.0, "TSA"),
        ("tokens", 1.0, "Verifier"),
        ("new_tokens", 1.0, "TSA"),
        ("seconds", 1.0, "TSA"),
        ("seconds", 100.0, "Verifier"),
    ):
        assert best_fixed.build(CONTEXT, outcomes=path, cost=cost).at(lam).subset == (subset,), (cost, lam)  # type: ignore[attr-defined]
    unknown = table(tmp_path, [row("t1", "TSA", True, tokens_cached=None)])
    assert best_fixed.build(CONTEXT, outcomes=unknown).subset == ("TSA",)  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="episode t1-TSA-0 of the outcome table: new_tokens unknown; set cost to tokens"):
        best_fixed.build(CONTEXT, outcomes=unknown, cost="new_tokens")
    with pytest.raises(BadInput, match="selector.options.cost: 'euros' is none of tokens, new_tokens, seconds"):
        best_fixed.build(CONTEXT, outcomes=path, cost="euros")


async def test_best_fixed_leaves_errors_foreign_helpers_and_other_backbones_out(tmp_path: Path) -> None:
    rows = [row("t1", "TSA", None), row("t1", "DCE+Other", True), row("t1", "DCE", True, backbone="big")]
    rows += [row("t1", "", False), row("t2", "Verifier", True)]
    path = table(tmp_path, rows)
    chosen = best_fixed.build(CONTEXT, outcomes=path, backbone="m")
    assert (await choose(chosen, STATE)).subset == ("Verifier",)


async def test_what_is_averaged_and_what_is_left_out_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [row("t1", "TSA", True), row("t1", "TSA", None, trial=1), row("t1", "DCE", True, backbone="big")]
    rows += [row("t2", "Verifier", True, strategy="fc"), row("t2", "Other", None), row("t2", "", None)]
    path = table(tmp_path, rows)
    for _ in range(2):
        for module in (best_fixed, oracle):
            module.build(CONTEXT, outcomes=path)
        best_fixed.build(CONTEXT, outcomes=path, backbone="big")
    left_out = "2 of 5 episodes ended in an error and count for no subset of {}; most with no helper, 1 of 1"
    assert [record.getMessage().removeprefix(f"{path}: ") for record in caplog.records] == [
        left_out.format("best_fixed"),
        "best_fixed takes the mean over episodes of 2 backbones (big, m); the option backbone names one",
        "best_fixed takes the mean over episodes of 2 strategies (act, fc); the option strategy names one",
        left_out.format("oracle"),
    ]


async def test_the_table_of_the_context_is_used(tmp_path: Path) -> None:
    path = table(tmp_path, [row("t1", "TSA", True)])
    context = SelectorContext(CONTEXT.helpers, outcomes=path)
    for module in (best_fixed, oracle):
        chosen = await choose(module.build(context), STATE, None, key("t1"))
        assert chosen.subset == ("TSA",)


async def test_the_oracle_takes_each_tasks_best_and_the_cheapest_of_equals(tmp_path: Path) -> None:
    rows = [row("t1", "TSA", True, 300), row("t1", "DCE+Verifier", True, 200), row("t1", "", False, 50)]
    rows += [row("t2", "", True, 50), row("t2", "TSA", True, 60), row("t3", "TSA", False, 70), row("t3", "", False, 40)]
    chosen = oracle.build(CONTEXT, outcomes=table(tmp_path, rows))
    assert chosen.track == "retrospective"
    found = {task: (await choose(chosen, STATE, None, key(task))).subset for task in ("t1", "t2", "t3")}
    assert found == {"t1": ("DCE", "Verifier"), "t2": (), "t3": ()}
    with pytest.raises(BadInput, match="no finished episode of b d t9 m act"):
        await choose(chosen, STATE, None, key("t9"))
    with pytest.raises(BadInput, match="no finished episode"):
        await choose(chosen, STATE, None, key("t1", "big"))


@pytest.mark.parametrize("module", [best_fixed, oracle])
def test_bad_tables_and_options_say_what_to_mend(module: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no outcome table; set outcomes"):
        module.build(CONTEXT)
    with pytest.raises(BadInput, match="no such file"):
        module.build(CONTEXT, outcomes=str(tmp_path / "none.parquet"))
    with pytest.raises(BadInput, match="no option 'size'"):
        module.build(CONTEXT, outcomes="x", size=2)


def test_a_table_without_usable_rows_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, [row("t1", "TSA", None)])
    with pytest.raises(BadInput, match="no finished episode of a subset of DCE, TSA, Verifier"):
        best_fixed.build(CONTEXT, outcomes=path)
    with pytest.raises(BadInput, match="prior_tasks"):
        best_fixed.build(CONTEXT, outcomes=path, prior_tasks=-1)
