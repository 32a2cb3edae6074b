"""Measures on cases worked by hand."""

import pytest

from eval.metrics.curves import Point, area, frontier, success_at, tokens_at
from eval.metrics.pass_k import TaskTrials, pass_k, task_pass_k
from eval.metrics.scores import Score, TokenUse
from eval.metrics.selection import Cell, jaccard, lattices, selection_quality, task_lattice
from eval.metrics.tokens import overhead, token_means


def score(task: str, trial: int, status: str, agent: int, helper: int = 0, **use: int) -> Score:
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


def test_tokens_by_hand() -> None:
    scores = [
        score("a", 0, "success", 100, 20, cached=50, charged_input=90, output=30),
        score("b", 0, "failure", 200, 0, selector=10, user=500, cached=0, charged_input=110, output=100),
        score("c", 0, "error", 9999),
    ]
    means = token_means(scores)
    assert means.episodes == 2
    assert means.by_role == {"agent": 150, "helper": 10, "selector": 5, "user": 250, "judge": 0}
    assert means.total == 165 and means.per_success == 330
    assert means.cached_share == 0.25 and means.output == 65
    nothing = token_means([score("c", 0, "error", 1)])
    assert nothing.total is None and nothing.per_success is None and nothing.cached_share is None


def test_overhead_uses_shared_tasks_only() -> None:
    plain = [score("a", 0, "failure", 100), score("a", 1, "failure", 300), score("b", 0, "success", 100)]
    arm = [score("a", 0, "success", 260), score("b", 0, "success", 130, 30), score("c", 0, "success", 9999)]
    assert overhead(arm, plain) == pytest.approx((260 + 160) / 300 - 1)
    assert overhead(arm, []) is None


def test_frontier_and_area_by_hand() -> None:
    points = [Point(100, 0.3), Point(150, 0.6), Point(150, 0.5), Point(200, 0.4), Point(300, 0.7)]
    assert frontier(points) == [Point(100, 0.3), Point(150, 0.6), Point(300, 0.7)]
    assert area(points, 50, 350) == pytest.approx((0 * 50 + 0.3 * 50 + 0.6 * 150 + 0.7 * 50) / 300)
    assert area(points, 120, 140) == pytest.approx(0.3)
    assert area([], 0, 1) is None
    assert tokens_at(points, 0.55) == 150 and tokens_at(points, 0.9) is None
    assert success_at(points, 250) == 0.6 and success_at(points, 50) is None
    with pytest.raises(ValueError, match="low < high"):
        area(points, 5, 5)


def cells(task: str, runs: dict[str, tuple[list[float], float]]) -> list[Cell]:
    return [
        Cell(task, trial, frozenset(name.split("+")) - {""}, success, tokens)
        for name, (outcomes, tokens) in runs.items()
        for trial, success in enumerate(outcomes)
    ]


def test_minimal_subset_is_the_cheapest_that_is_not_worse() -> None:
    lattice = task_lattice(cells("t", {"": ([0, 0], 100), "A": ([1, 1], 120), "A+B": ([1, 1], 150), "B": ([1, 0], 90)}))
    assert lattice is not None
    assert lattice.minimal == {"A"} and lattice.oracle == 1.0 and lattice.solvable
    assert lattice.success[frozenset({"B"})] == 0.5


def test_when_nothing_works_the_cheapest_is_minimal() -> None:
    lattice = task_lattice(cells("t", {"": ([0], 100), "A": ([0], 90), "A+B": ([0], 90)}))
    assert lattice is not None and lattice.minimal == {"A"} and not lattice.solvable


def test_subsets_are_compared_on_shared_trials() -> None:
    """B failed only on a trial that the best subset was not run on; on the shared one it is not worse."""
    rows = [Cell("t", 0, frozenset("A"), 1, 200), Cell("t", 0, frozenset("B"), 1, 100)]
    rows += [
        Cell("t", 1, frozenset("B"), 0, 100),
        Cell("t", 2, frozenset("C"), 1, 50),
        Cell("t", 3, frozenset("C"), 0, 50),
    ]
    lattice = task_lattice(rows)
    assert lattice is not None and lattice.minimal == {"B"}  # C shares no trial with A


def test_selection_quality_by_hand() -> None:
    runs = {"": ([0.0], 100.0), "A": ([1.0], 120.0), "A+B": ([1.0], 150.0)}
    truth = lattices(cells("t1", runs) + cells("t2", runs) + cells("alone", {"A": ([1.0], 5.0)}))
    assert set(truth) == {"t1", "t2"}
    choices = [("t1", frozenset("A")), ("t2", frozenset("AB")), ("t2", frozenset("C")), ("alone", frozenset("A"))]
    quality = selection_quality(choices, truth, ("A", "B", "C", "D"))
    assert (quality.choices, quality.tasks, quality.solvable) == (3, 2, 2)
    assert quality.exact == pytest.approx(1 / 3)
    assert quality.jaccard == pytest.approx((1 + 0.5 + 0) / 3)
    assert quality.f1 == {"A": pytest.approx(2 * 2 / (2 + 3)), "B": 0.0, "C": 0.0, "D": None}
    assert quality.macro_f1 == pytest.approx(0.8 / 3)
    assert quality.regret == 0.0 and quality.executed == 2


def test_no_choice_gives_none_not_zero() -> None:
    quality = selection_quality([], {}, ("A",))
    assert quality.exact is None and quality.jaccard is None and quality.regret is None and quality.macro_f1 is None
    assert jaccard(frozenset(), frozenset()) == 1.0
