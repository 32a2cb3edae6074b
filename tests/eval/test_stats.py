"""Statistics: hand cases, and coverage on synthetic truth."""

import numpy as np
import pytest

from eval.stats.paired import holm, mcnemar_exact, paired_estimate
from eval.stats.power import NOT_FOUND, detectable_effect, planned_sd, spread_of, tasks_needed
from eval.stats.proportions import clustered_proportion, cohens_h
from eval.stats.sign_flips import sign_flip_test
from fama.intervals import expanded_tail, ratio_interval, task_weights

#: three resamples of five tasks with seed 0: whoever changes the draws changes every published interval
PINNED_DRAWS = [[0.0, 1.0, 3.0, 1.0, 0.0], [1.0, 2.0, 0.0, 0.0, 2.0], [0.0, 0.0, 3.0, 2.0, 0.0]]


def test_weights_are_whole_resamples_and_repeat() -> None:
    weights = task_weights(7, 50, seed=1)
    assert weights.shape == (50, 7) and (weights.sum(axis=1) == 7).all()
    assert (weights == task_weights(7, 50, seed=1)).all()
    assert (weights != task_weights(7, 50, seed=2)).any()


def test_ratio_by_hand() -> None:
    weights = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    ratio = ratio_interval(np.array([1.0, 3.0]), np.array([2.0, 2.0]), weights, level=0.5)
    assert ratio.value == 1.0 and ratio.n == 2
    assert ratio.low is not None and ratio.high is not None and 0.5 <= ratio.low < 1 < ratio.high <= 1.5


def test_resamples_are_drawn_once_and_stay_as_they_were() -> None:
    weights = task_weights(5, 3, 0)
    assert weights is task_weights(5, 3, 0) and not weights.flags.writeable
    assert weights.tolist() == PINNED_DRAWS
    assert expanded_tail(10) == pytest.approx(0.00855064, abs=1e-8)


def test_proportion_by_hand() -> None:
    """Ten tasks, one trial each, 5 solved: Wilson at n scaled by (z/t)² and the n−1 variance."""
    got = clustered_proportion(np.array([1.0] * 5 + [0.0] * 5), trials=10)
    size = 9 * (1.959964 / 2.262157) ** 2
    half = 1.959964 / (1 + 1.959964**2 / size) * (0.25 / size + 1.959964**2 / (4 * size**2)) ** 0.5
    assert got.value == 0.5 and got.high == pytest.approx(0.5 + half, abs=1e-5)
    assert clustered_proportion(np.array([]), 0).value is None
    assert clustered_proportion(np.array([1.0]), 4).low is None
    never = clustered_proportion(np.zeros(20), 80)
    assert never.low == 0.0 and never.high is not None and 0.1 < never.high < 0.25


def test_effect_size_by_hand() -> None:
    assert cohens_h(0.5, 0.5) == 0.0 and cohens_h(1.0, 0.0) == pytest.approx(np.pi)
    assert cohens_h(0.75, 0.25) == pytest.approx(np.pi / 3) and cohens_h(0.25, 0.75) == pytest.approx(-np.pi / 3)


def test_mcnemar_by_hand() -> None:
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(3, 0) == mcnemar_exact(0, 3) == 0.25
    assert mcnemar_exact(8, 2) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar_exact(5, 5) == 1.0


def test_holm_by_hand() -> None:
    got = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert got == {"a": pytest.approx(0.03), "c": pytest.approx(0.06), "b": pytest.approx(0.06)}
    assert holm({}) == {}
    assert holm({"x": 0.7, "y": 0.8}) == {"x": 1.0, "y": 1.0}


def test_power_by_hand() -> None:
    assert detectable_effect(0.5, 1) is None
    assert detectable_effect(0.5, 1000) == pytest.approx((1.95996 + 0.84162) * 0.5 / 1000**0.5, rel=5e-3)
    needed = tasks_needed(0.1, 0.5)
    assert (detectable_effect(0.5, needed) or 1) <= 0.1 < (detectable_effect(0.5, needed - 1) or 0)
    assert planned_sd(0.36, 1) == pytest.approx(0.6) and planned_sd(0.36, 4) == pytest.approx(0.3)
    assert planned_sd(0.36, 10**9, between=0.04) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="above 0"):
        tasks_needed(0, 1)


def test_detectable_effects_by_hand() -> None:
    """Two tasks: t₁(.975) + t₁(.8) = 12.70620 + 1.37638, over √2; ten tasks: t₉ has 2.26216 and 0.88340."""
    assert detectable_effect(1.0, 2) == pytest.approx((12.706205 + 1.376382) / 2**0.5, abs=1e-5)
    assert detectable_effect(0.5, 10, trials=4) == pytest.approx((2.262157 + 0.883404) * 0.5 / 10**0.5, abs=1e-6)
    assert planned_sd(0.36, 4, between=0.04) == pytest.approx(0.12**0.5)


@pytest.mark.parametrize("tasks", [2, 3, 6, 8, 11])
def test_an_effect_that_is_just_detectable_needs_no_more_tasks(tasks: int) -> None:
    just = detectable_effect(1.0, tasks) or 0.0
    assert tasks_needed(just, 1.0) == tasks and tasks_needed(just - 1e-9, 1.0) == tasks + 1


@pytest.mark.parametrize(("tasks", "alpha"), [(5, 0.05), (8, 0.05 / 9), (2, 0.05)])
def test_nothing_is_detectable_where_the_test_cannot_be_below_its_level(tasks: int, alpha: float) -> None:
    """However little the differences vary: p of so many tasks that all differ one way is 2 / 2^tasks."""
    best = paired_estimate(np.ones(tasks), seed=0).p
    assert best is not None and best == 2.0 ** (1 - tasks) and best >= alpha
    assert detectable_effect(0.01, tasks, alpha) == NOT_FOUND
    assert (detectable_effect(0.01, 10, alpha) or 1) < 1


def test_few_tasks_find_only_what_makes_enough_of_them_differ_by_hand() -> None:
    """Six tasks must all gain, and six independent chances of 0.8^(1/6) do so 4 times in 5; of eight, six must."""
    assert detectable_effect(0.01, 6) == pytest.approx(0.8 ** (1 / 6))
    assert detectable_effect(0.01, 6, trials=2) == pytest.approx(1 - (1 - 0.8 ** (1 / 6)) ** 0.5)
    share = detectable_effect(0.01, 8) or 0.0
    assert 28 * share**6 * (1 - share) ** 2 + 8 * share**7 * (1 - share) + share**8 == pytest.approx(0.8)


@pytest.mark.parametrize(("tasks", "trials", "discordance"), [(6, 1, 0.4), (8, 2, 0.2), (12, 4, 0.1), (12, 4, 0.8)])
def test_the_sign_flip_test_of_few_tasks_finds_what_is_detectable(tasks: int, trials: int, discordance: float) -> None:
    rng = np.random.default_rng(0)
    effect = detectable_effect(planned_sd(discordance, trials), tasks, trials=trials) or 0.0
    differ = max(discordance, effect)
    drawn = rng.choice([1, -1, 0], (300, tasks, trials), p=[(differ + effect) / 2, (differ - effect) / 2, 1 - differ])
    found = [sign_flip_test(one, seed=0).p < 0.05 for one in drawn.mean(axis=2)]
    assert 0.72 < np.mean(found) < 0.88


def test_power_on_synthetic_truth() -> None:
    """At the detectable effect, a t test finds the difference in about 80 % of simulations."""
    from scipy import stats

    rng = np.random.default_rng(5)
    effect = detectable_effect(1.0, 30) or 0.0
    found = stats.ttest_1samp(rng.normal(effect, 1.0, size=(2000, 30)), 0, axis=1).pvalue < 0.05
    assert 0.77 < found.mean() < 0.83


def test_where_no_task_differs_the_spread_is_that_of_three_in_n() -> None:
    assert spread_of([0.0, 1.0, 0.0, -1.0]) == pytest.approx((2 / 3) ** 0.5)
    assert spread_of([0.5, 1.0]) == pytest.approx(0.125**0.5)
    assert spread_of([0.7]) == 1.0  # one task shows no spread
    assert spread_of([0.0] * 12) == 0.5 and spread_of([0.0, 0.0]) == 1.0
    assert (detectable_effect(spread_of([0.0] * 3), 3) or 0) > 1  # three equal tasks show nothing
