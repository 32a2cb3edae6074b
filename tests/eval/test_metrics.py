"""Measures on cases worked by hand."""

import numpy as np
import pytest

from eval.metrics.curves import OperatingPoint, area, frontier, success_at, tokens_at
from eval.metrics.episode_scores import Score, TokenUse
from eval.metrics.measures import Resampling, compare_pair, measure_arm
from eval.metrics.pass_k import TaskTrials, pass_k, task_pass_k
from eval.metrics.ranking import rank
from eval.metrics.selection_quality import ExecutedSubset, jaccard, selection_quality, subset_f1, task_grid, task_grids
from fama.episodes.keys import EpisodeKey


def score(task: str, trial: int, status: str, agent: int, helper: int = 0, **use: int | None) -> Score:
    return Score(
        id=f"{task}-{trial}",
        benchmark="toy",
        domain="d",
        task_id=task,
        trial=trial,
        backbone="m",
        strategy="act",
        selector="none",
        status=status,  # type: ignore[arg-type]
        boundary="user" if status == "error" else None,
        tokens=TokenUse(agent=agent, helper=helper, **use),
    )


def test_pass_k_by_hand() -> None:
    assert task_pass_k(TaskTrials(4, 3), 1) == 0.75
    assert task_pass_k(TaskTrials(4, 3), 2) == 3 / 6
    assert task_pass_k(TaskTrials(4, 3), 4) == 0.0
    tasks = {"a": TaskTrials(4, 4), "b": TaskTrials(4, 2), "c": TaskTrials(1, 1)}
    two = pass_k(tasks, 2)
    assert two.value == pytest.approx((1 + 1 / 6) / 2)
    assert two.short == 1 and set(two.per_task) == {"a", "b"}
    assert pass_k(tasks, 5).value is None and pass_k(tasks, 5).short == 3
    with pytest.raises(ValueError, match="k is 0"):
        pass_k(tasks, 0)


def test_pass_k_is_unbiased() -> None:
    """Averaged over every outcome of 3 trials at rate 0.6, pass^2 is 0.6²."""
    p, mean = 0.6, 0.0
    for outcome in range(8):
        wins = outcome.bit_count()
        mean += p**wins * (1 - p) ** (3 - wins) * (task_pass_k(TaskTrials(3, wins), 2) or 0.0)
    assert mean == pytest.approx(p**2)


@pytest.mark.parametrize(("cached", "known"), [(0, True), (90, True), (91, False), (None, False)])
def test_new_tokens_are_unknown_where_the_cached_ones_are_or_cannot_be(cached: int | None, known: bool) -> None:
    scores = [
        score("a", 0, "success", 100, 0, cached=cached, charged_input=90, output=10),
        score("b", 0, "success", 100, 0, cached=10, charged_input=90, output=10),
    ]
    found = measure_arm(scores, ("a", "b"), Resampling(draws=10))
    assert found.cached_share.value == (((cached or 0) + 10) / 180 if known else None)
    new = found.new_tokens
    assert new is not None and new.value == ((100 - (cached or 0) + 90) / 2 if known else None)


def test_tokens_by_hand() -> None:
    scores = [
        score("a", 0, "success", 100, 20, cached=50, charged_input=90, output=30),
        score("b", 0, "failure", 200, 0, selector=10, user=500, cached=0, charged_input=110, output=100),
        score("c", 0, "error", 9999),
    ]
    got = measure_arm(scores, ("a", "b", "c"), Resampling(draws=100))
    assert got.tokens_by_role == {"agent": 150, "helper": 10, "selector": 5, "user": 250, "judge": 0}
    assert got.tokens.value == 165 and got.tokens.n == 2 and got.tokens_per_success.value == 330
    assert got.cached_share.value == 0.25 and got.output_tokens.value == 65
    assert got.new_tokens is not None and got.new_tokens.value == (120 - 50 + 210) / 2  # judges and users apart
    nothing = measure_arm([score("c", 0, "error", 1)], ("c",), Resampling(draws=100))
    assert nothing.tokens.value is None and nothing.tokens_per_success.value is None
    assert nothing.cached_share.value is None and nothing.tokens_by_role == {}


def test_overhead_uses_shared_pairs_only() -> None:
    """Task a: 260 over 100, its second trial is the plain agent's alone; task b: 160 over 100; c is not shared."""
    plain = [score("a", 0, "failure", 100), score("a", 1, "failure", 300), score("b", 0, "success", 100)]
    arm = [score("a", 0, "success", 260), score("b", 0, "success", 130, 30), score("c", 0, "success", 9999)]
    tasks = ("a", "b", "c")
    assert compare_pair(arm, plain, "none", tasks, Resampling(draws=100)).overhead.value == pytest.approx(420 / 200 - 1)
    assert compare_pair(arm, [], "none", tasks, Resampling(draws=100)).overhead.value is None


def test_frontier_and_area_by_hand() -> None:
    points = [
        OperatingPoint(100, 0.3),
        OperatingPoint(150, 0.6),
        OperatingPoint(150, 0.5),
        OperatingPoint(200, 0.4),
        OperatingPoint(300, 0.7),
    ]
    assert frontier(points) == [OperatingPoint(100, 0.3), OperatingPoint(150, 0.6), OperatingPoint(300, 0.7)]
    assert area(points, 50, 350) == pytest.approx((0 * 50 + 0.3 * 50 + 0.6 * 150 + 0.7 * 50) / 300)
    assert area(points, 120, 140) == pytest.approx(0.3)
    assert area([], 0, 1) is None
    assert tokens_at(points, 0.55) == 150 and tokens_at(points, 0.9) is None
    assert success_at(points, 250) == 0.6 and success_at(points, 50) is None
    with pytest.raises(ValueError, match="low < high"):
        area(points, 5, 5)


def test_equal_rates_are_equal_whatever_the_order_of_their_sum() -> None:
    """Two arms solve as many trials of three; summed in another order, their means differ in the last bit."""
    thirds = np.array([0, 1, 1, 3, 1, 2, 3, 0, 2, 1, 3, 2, 0, 1, 3, 2, 1, 0, 2, 2]) / 3
    orders = [thirds, *(np.random.default_rng(seed).permutation(thirds) for seed in range(20))]
    low, high = min(map(np.mean, orders)), max(map(np.mean, orders))
    assert low != high and high - low < 1e-12
    cheap, costly = OperatingPoint(100, float(low)), OperatingPoint(500, float(high))
    assert frontier([cheap, costly]) == [cheap] and tokens_at([cheap], costly.success) == 100
    assert rank(cheap.success, 100) < rank(costly.success, 500)


def executed(task: str, trial: int, subset: frozenset[str], success: float, tokens: float) -> ExecutedSubset:
    return ExecutedSubset(EpisodeKey("b", "d", task, trial, "m", "act"), subset, success, tokens)


def cells(task: str, runs: dict[str, tuple[list[float], float]]) -> list[ExecutedSubset]:
    return [
        executed(task, trial, frozenset(name.split("+")) - {""}, success, tokens)
        for name, (outcomes, tokens) in runs.items()
        for trial, success in enumerate(outcomes)
    ]


def test_minimal_subset_is_the_cheapest_that_is_not_worse() -> None:
    grid = task_grid(cells("t", {"": ([0, 0], 100), "A": ([1, 1], 120), "A+B": ([1, 1], 150), "B": ([1, 0], 90)}))
    assert grid is not None
    assert grid.minimal == {"A"} and grid.oracle == 1.0 and grid.solvable
    assert grid.success[frozenset({"B"})] == 0.5


def test_two_forms_of_a_helper_are_no_minimal_subset() -> None:
    runs: dict[str, tuple[list[float], float]] = {
        "": ([0], 100),
        "A+A:llm": ([1], 110),
        "A:llm+B": ([1], 120),
        "A+B": ([1], 130),
    }
    grid = task_grid(cells("t", runs))
    assert grid is not None and grid.minimal == {"A:llm", "B"}
    assert frozenset({"A", "A:llm"}) not in grid.success
    assert task_grid(cells("t", {"A+A:llm": ([1], 110)})) is None


def test_when_nothing_works_the_cheapest_is_minimal() -> None:
    grid = task_grid(cells("t", {"": ([0], 100), "A": ([0], 90), "A+B": ([0], 90)}))
    assert grid is not None and grid.minimal == {"A"} and not grid.solvable


def test_subsets_are_compared_on_shared_trials() -> None:
    """B failed only on a trial that the best subset was not run on; on the shared one it is not worse."""
    rows = [executed("t", 0, frozenset("A"), 1, 200), executed("t", 0, frozenset("B"), 1, 100)]
    rows += [
        executed("t", 1, frozenset("B"), 0, 100),
        executed("t", 2, frozenset("C"), 1, 50),
        executed("t", 3, frozenset("C"), 0, 50),
    ]
    grid = task_grid(rows)
    assert grid is not None and grid.minimal == {"B"}  # C shares no trial with A


def test_selection_quality_by_hand() -> None:
    runs = {"": ([0.0], 100.0), "A": ([1.0], 120.0), "A+B": ([1.0], 150.0)}
    truth = task_grids(cells("t1", runs) + cells("t2", runs) + cells("alone", {"A": ([1.0], 5.0)}))
    assert set(truth) == {"t1", "t2"}
    choices = [("t1", frozenset("A")), ("t2", frozenset("AB")), ("t2", frozenset("C")), ("alone", frozenset("A"))]
    quality = selection_quality(choices, truth, ("A", "B", "C", "D"))
    assert quality is not None
    assert (quality.choices, quality.tasks, quality.solvable) == (3, 2, 2)
    assert quality.exact.value == pytest.approx((1 + 0) / 2) and quality.exact.n == 2  # a mean of each task's mean
    assert quality.jaccard.value == pytest.approx((1 + (0.5 + 0) / 2) / 2)
    assert quality.f1 == {"A": pytest.approx(2 * 2 / (2 + 3)), "B": 0.0, "C": 0.0, "D": None}
    assert quality.macro_f1 == pytest.approx(0.8 / 3)
    assert quality.regret.value == 0.0 and quality.executed == 2


def test_no_choice_gives_none_not_zero() -> None:
    assert selection_quality([], {}, ("A",)) is None
    truth = task_grids(cells("t", {"": ([0.0], 100.0), "A": ([1.0], 120.0)}))
    quality = selection_quality([("t", frozenset("B"))], truth, ("C",))
    assert quality is not None and quality.executed == 0
    assert quality.regret.value is None and quality.f1 == {"C": None} and quality.macro_f1 is None
    assert jaccard(frozenset(), frozenset()) == subset_f1(frozenset(), frozenset()) == 1.0
    assert subset_f1(frozenset("AB"), frozenset("A")) == pytest.approx(2 / 3)
