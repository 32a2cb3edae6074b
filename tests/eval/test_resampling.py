"""Sums over units with intervals over resampled tasks: hand cases."""

import numpy as np
import pytest

from eval.annotation.agreement import cohen_kappa
from eval.stats.resampling import Resample
from fama.intervals import Array, Interval, clustered_share, ratio_interval, task_weights

TASK_OF = ("b", "a", "c", "a")


def test_units_are_resampled_with_their_task() -> None:
    """The mean over units is the ratio of the tasks' sums to their counts, over the same draws."""
    values = np.array([1.0, 0.0, 0.25, 0.5])
    resample = Resample(TASK_OF, 200, 3, "stream")
    got = resample.interval(lambda total, count: total / count, values, np.ones(4))
    by_task = ratio_interval(np.array([0.5, 1.0, 0.25]), np.array([2.0, 1.0, 1.0]), task_weights(3, 200, 3, "stream"))
    assert resample.tasks == 3 and got == by_task and got.value == 1.75 / 4


def test_sums_keep_the_other_axes() -> None:
    """Counts of two labels in two units, of which the first label has three in four."""
    counts = np.array([[1.0, 1.0], [2.0, 0.0]])
    got = Resample(("a", "b"), 50, 0, "x").interval(lambda sums: sums[..., 0] / sums.sum(axis=-1), counts)
    assert (got.value, got.n) == (0.75, 2)
    assert got.low is not None and got.high is not None and 0.5 <= got.low < 0.75 < got.high <= 1


def test_the_tasks_behind_a_value_are_those_of_the_units_that_it_is_of() -> None:
    values, counts = np.array([1.0, 0.5, 0.0, 1.0]), np.array([1.0, 1.0, 0.0, 1.0])
    resample = Resample(TASK_OF, 500, 3, "x")
    with np.errstate(invalid="ignore"):
        found = resample.interval(lambda total, count: total / count, values, counts, of=counts)
    assert (found.value, found.n, resample.tasks) == (2.5 / 3, 2, 3)


def test_a_share_is_that_of_its_tasks() -> None:
    """Units b, a, c, a: task a has 3 of 6 hits, b 1 of 1, c 0 of 2."""
    hits, counts = np.array([1.0, 1.0, 0.0, 2.0]), np.array([1.0, 2.0, 2.0, 4.0])
    got = Resample(TASK_OF, 10, 0, "x").share(hits, counts)
    assert got == clustered_share([3.0, 1.0, 0.0], [6.0, 1.0, 2.0]) and got.value == 4 / 9


def test_what_is_not_defined_is_unknown() -> None:
    undefined = Resample(TASK_OF, 10, 0, "x").interval(lambda total: total * np.nan, np.ones(4))
    assert undefined == Interval(None, None, None, 3)


@pytest.mark.parametrize(("defined", "has_ends"), [(10, True), (5, True), (4, False)])
def test_ends_need_half_of_the_draws(defined: int, has_ends: bool) -> None:
    def statistic(total: Array) -> Array:
        return np.where(np.arange(10) < defined, total, np.nan) if total.ndim else total

    got = Resample(TASK_OF, 10, 0, "x").interval(statistic, np.ones(4))
    assert (got.value, got.n) == (4.0, 3)
    assert [end is not None for end in (got.low, got.high)] == [has_ends] * 2


def test_equal_resamples_do_not_tell_how_sure_a_value_is() -> None:
    """Two annotators who agree on five failures of five tasks: κ is 1 in every resample."""
    confusions = np.zeros((5, 2, 2))
    confusions[range(5), [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]] = 1
    resample = Resample("abcde", 200, 0, "x")
    assert resample.interval(cohen_kappa, confusions) == Interval(1.0, None, None, 5)
    one_apart = confusions.copy()
    one_apart[0] = [[0, 1], [0, 0]]
    got = resample.interval(cohen_kappa, one_apart)
    assert got.low is not None and got.low < 0.5 and got.high == 1.0
