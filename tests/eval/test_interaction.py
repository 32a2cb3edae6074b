"""The test within margins has its size and power, and choices judged by other trials gain what is there."""

import itertools

import numpy as np
import pytest

from eval.stats.interaction import choice_gains, margin_test
from fama.intervals import Array

HELPERS = np.array(list(itertools.product((0, 1), repeat=3)))
#: Helpers shared by two of the eight subsets of three helpers.
SHARED = HELPERS @ HELPERS.T


def _table(rng: np.random.Generator, tasks: int, interaction: float) -> Array:
    """Draw a table: log odds of a task and of the subset, and of one helper that fits the task."""
    ease = rng.normal(-1.0, 1.5, (tasks, 1))
    match = HELPERS.T[rng.integers(0, 3, tasks)]
    odds = ease + HELPERS @ [0.8, 0.4, 0.2] + interaction * (match - 0.5)
    return np.asarray(rng.random(odds.shape) < 1 / (1 + np.exp(-odds)), dtype=np.float64)


def test_the_sum_and_its_expectation_by_hand() -> None:
    """Of the two tables with margins of one each, one has both successes with like arms of one task."""
    solved = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=float)
    alike = np.zeros((4, 4))
    alike[0, 1] = alike[1, 0] = alike[2, 3] = alike[3, 2] = 1
    # 2 + 2 of the third task, which no trade changes, and of the first two in 2 of the 6 ways to share four arms
    tables = [
        sum({0, 1} <= set(way) or {2, 3} <= set(way) for _ in (0, 1)) for way in itertools.combinations(range(4), 2)
    ]
    found = margin_test(solved, alike, draws=4000)
    assert found.seen == 4.0
    assert found.expected == pytest.approx(2 + np.mean(tables), abs=0.05)
    assert found.p == pytest.approx(2 / 6, abs=0.03)


def test_a_single_solver_is_traded_too() -> None:
    """Three arms solve one task each: in one of the three tables the like ones solve the same."""
    alike = np.zeros((3, 3))
    alike[0, 1] = alike[1, 0] = 1
    found = margin_test(np.array([[1, 1, 0], [0, 0, 1]]), alike, draws=2000)
    assert found.seen == 1.0 and found.expected == pytest.approx(1 / 3, abs=0.05)
    assert found.p == pytest.approx(1 / 3, abs=0.05)
    assert margin_test(np.array([[1, 1, 0], [0, 0, 0]]), alike, draws=9).p == 1.0  # nothing to trade with


def test_margins_alone_are_not_significant() -> None:
    every = margin_test(np.ones((5, 3)), np.ones((3, 3)), draws=50)
    assert every.p == 1.0 and every.seen == every.expected == 15.0


def test_size_without_interaction_and_power_with_it() -> None:
    rng = np.random.default_rng(7)
    null = [margin_test(_table(rng, 20, 0.0), SHARED, draws=39).p for _ in range(150)]
    assert np.mean(np.array(null) <= 0.05) <= 0.09  # 5 % and two and a quarter standard errors
    assert 0.4 <= np.mean(null) <= 0.65
    real = [margin_test(_table(rng, 60, 4.0), SHARED, draws=99).p for _ in range(15)]
    assert np.mean(np.array(real) <= 0.05) >= 0.8


def test_choices_by_other_trials_by_hand() -> None:
    """Task 0: arm 1 is better in every trial. Task 1: each arm is lucky in one trial."""
    solved = np.array([[[0, 0], [1, 1]], [[1, 0], [0, 1]]], dtype=float)
    # task 1: by trial 0 the base is chosen, by trial 1 arm 1, which then solves nothing where the base does
    assert choice_gains(solved, base=0).tolist() == [1.0, -0.5]
    tied = np.array([[[0, 0], [1, 1], [1, 0]]], dtype=float)  # by trial 0 arms 1 and 2 are tied: (1 + 0) / 2
    assert choice_gains(tied, base=0).tolist() == [0.75]
    # by trial 0 the base is as good as arm 1 and stays, by trial 1 arm 1 does not do better
    even = np.array([[[1, 0], [1, 1]]], dtype=float)
    assert choice_gains(even, base=0).tolist() == [0.0]


def test_luck_gains_nothing_and_a_difference_does() -> None:
    rng = np.random.default_rng(3)
    luck = (rng.random((4000, 2, 4)) < 0.5).astype(float)
    assert (luck.mean(2).max(1) - luck[:, 0].mean(1)).mean() > 0.1  # the best of both looks better
    assert abs(choice_gains(luck, base=0).mean()) < 0.02
    chance = np.where(rng.random((4000, 1, 1)) < 0.5, [[[0.1], [0.9]]], [[[0.9], [0.1]]])
    real = (rng.random((4000, 2, 4)) < chance).astype(float)
    assert choice_gains(real, base=0).mean() == pytest.approx(0.4, abs=0.05)
