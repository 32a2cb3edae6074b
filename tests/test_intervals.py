"""The bootstrap over tasks that tables and cards share: hand cases, and coverage on synthetic truth."""

import numpy as np
import pytest

from fama.intervals import (
    Interval,
    clustered_mean,
    clustered_share,
    expanded_tail,
    percentile_interval,
    price_interval,
    ratio_interval,
    task_weights,
    wilson_interval,
)


def test_clustered_mean_draws_whole_tasks() -> None:
    values = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    two = clustered_mean(values, ["a"] * 3 + ["b"] * 3, 0)
    assert two == Interval(0.5, 0.0, 1.0, 2)
    own = clustered_mean(np.tile(values, 4), [str(number) for number in range(24)], 0)
    assert own.n == 24 and own.low is not None and own.high is not None
    assert 0.0 < own.low < 0.5 < own.high < 1.0
    assert clustered_mean(values, ["a"] * 3 + ["b"] * 3, 0) == two
    weighted = clustered_mean(np.array([0.0, 1.0]), ["a", "b"], 0, row_weights=np.array([1.0, 3.0]))
    assert weighted == Interval(0.75, 0.0, 1.0, 2)
    assert clustered_mean(values, ["a"] * 6, 0) == Interval(0.5, None, None, 1)


def test_rows_of_a_card_and_sums_of_a_table_give_one_interval() -> None:
    """The card has rows, a table has sums per task in sorted order: the same draws, the same ends."""
    random = np.random.default_rng(3)
    tasks = [f"t{number % 9}" for number in range(31)]
    values = random.uniform(size=31)
    names = sorted(set(tasks))
    sums = np.array([values[[task == name for task in tasks]].sum() for name in names])
    counts = np.array([float(tasks.count(name)) for name in names])
    table, card = ratio_interval(sums, counts, task_weights(9, 2000, 5)), clustered_mean(values, tasks, 5)
    assert card.n == table.n == 9
    for ours, theirs in ((card.value, table.value), (card.low, table.low), (card.high, table.high)):
        assert ours == pytest.approx(theirs, abs=1e-12)


def test_percentiles_are_widened_for_few_tasks() -> None:
    draws = np.linspace(0.0, 1.0, 1001)
    few, many = percentile_interval(0.5, draws, 5), percentile_interval(0.5, draws, 5000)
    assert few.low == pytest.approx(expanded_tail(5)) and many.low == pytest.approx(0.025, abs=1e-4)
    assert few.low is not None and many.low is not None and few.low < many.low
    assert percentile_interval(0.5, draws, 1) == Interval(0.5, None, None, 1)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        values = random.normal(size=(40, 1)).repeat(3, axis=1).ravel()
        got = clustered_mean(values, [str(i // 3) for i in range(120)], 0, draws=300)
        assert got.low is not None and got.high is not None
        hits += got.low <= 0.0 <= got.high
    assert hits >= 50


def test_a_share_s_interval_is_by_tasks_and_has_ends_at_0_and_1() -> None:
    none, all_ = clustered_share([0] * 8, [5] * 8), clustered_share([5] * 8, [5] * 8)
    assert none == wilson_interval(0.0, 8.0, 8) and all_.value == 1.0
    assert none.low == 0.0 and none.high is not None and all_.low == pytest.approx(1 - none.high)
    # all notes of a task alike: as good as one note each; spread evenly over tasks: as good as all of them
    alike, even = clustered_share([10, 0] * 10, [10] * 20), clustered_share([5] * 20, [10] * 20)
    assert alike == wilson_interval(0.5, 19.0, 20)
    assert even == wilson_interval(0.5, 200.0, 20)
    assert clustered_share([1, 0, 0], [2, 0, 2]).n == 2
    assert clustered_share([1], [2]) == Interval(0.5, None, None, 1)
    assert clustered_share([], []) == Interval(None, None, None, 0)


def test_a_share_s_interval_covers_a_rare_one_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        counts = random.integers(1, 12, size=25)
        rates = random.beta(1, 19, size=25)  # 5 % in the mean, another in each task
        got = clustered_share(random.binomial(counts, rates).tolist(), counts.tolist())
        assert got.low is not None and got.high is not None
        hits += got.low <= 0.05 <= got.high
    assert 370 <= hits <= 398


def test_price_of_few_successes_is_not_bounded_from_above() -> None:
    """One of four tasks is solved: about a third of the resamples (0.75⁴) solve none, so the upper end is infinite."""
    weights = task_weights(4, 2000, 0)
    cost, solved = np.full(4, 100.0), np.array([1.0, 0.0, 0.0, 0.0])
    assert price_interval(cost, solved, weights) == Interval(400.0, 100.0, None, 4)
    assert price_interval(cost, np.ones(4), weights) == ratio_interval(cost, np.ones(4), weights)
    assert price_interval(cost, np.zeros(4), weights) == Interval(None, None, None, 4)
    assert price_interval(cost[:1], solved[:1], task_weights(1, 100, 0)) == Interval(100.0, None, None, 1)
    unknown = price_interval(np.array([100.0, np.nan]), np.ones(2), task_weights(2, 100, 0))
    assert unknown == Interval(None, None, None, 2)


def test_tasks_that_ended_in_errors_make_no_price_infinite() -> None:
    """Two of ten tasks have a verdict: a tenth of the resamples (0.8¹⁰) hold neither, and say nothing."""
    cost = np.array([100.0, 120.0] + [0.0] * 8)
    got = price_interval(cost, (cost > 0).astype(float), task_weights(10, 2000, 0))
    assert got == Interval(110.0, 100.0, 120.0, 2)


def test_share_of_something_rare_is_not_bounded_from_above() -> None:
    """3 of 20 tasks have a denominator: 4 % of the resamples (0.85²⁰) hold none of them, but what is to be shared."""
    weights = task_weights(20, 2000, 0)
    ours, theirs = np.ones(20), np.array([10.0] * 3 + [0.0] * 17)
    got = ratio_interval(ours, theirs, weights)
    assert got.value == pytest.approx(2 / 3) and got.low is not None and got.high is None and got.n == 3
    same = ratio_interval(np.where(theirs > 0, 5.0, 0.0), theirs, weights)  # nothing to share where there is none
    assert same == Interval(0.5, 0.5, 0.5, 3)


def test_price_covers_the_truth_about_as_often_as_it_says() -> None:
    """A fifth of 24 tasks is solved, at a price of 500 per success."""
    random = np.random.default_rng(0)
    below, above, asked = 0, 0, 0
    weights = task_weights(24, 500, 0)
    for _ in range(600):
        cost, solved = random.uniform(50.0, 150.0, 24), (random.uniform(size=24) < 0.2).astype(float)
        if solved.any():
            got = price_interval(cost, solved, weights)
            assert got.low is not None
            asked += 1
            below, above = below + (got.low > 500.0), above + (got.high is not None and got.high < 500.0)
    assert below / asked < 0.05 and above / asked < 0.05, (below, above, asked)


def test_an_interval_holds_its_value_whatever_is_rounded() -> None:
    for n in range(2, 400):
        none, all_ = wilson_interval(0.0, n, n), wilson_interval(1.0, n, n)
        assert none.low == 0.0 and all_.high == 1.0
        assert none.high is not None and 0 < none.high and all_.low is not None and all_.low < 1
