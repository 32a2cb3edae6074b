"""Paired differences and pass^k: hand cases, agreement of interval and p, and coverage of simulated truths."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.stats.coverage import (
    RARE_LARGE_STEPS,
    SCENARIOS,
    TASKS,
    TRIALS,
    difference_coverage,
    pass_k_coverage,
)
from eval.stats.paired import _Spread, mcnemar_exact, paired_estimate
from eval.stats.proportions import clustered_proportion, pass_k_intervals
from eval.stats.sign_flips import SignFlipTest, sign_flip_test
from fama.intervals import Array, Interval, wilson_interval

NAN = float("nan")


def ends(differences: Array, level: float = 0.95) -> tuple[float, float]:
    interval = paired_estimate(differences, seed=0, level=level).interval
    assert interval.low is not None and interval.high is not None
    return interval.low, interval.high


def test_sign_flip_by_hand() -> None:
    assert sign_flip_test(np.zeros(9), seed=0).p == 1.0
    assert sign_flip_test(np.array([1.0, 1.0, 1.0, 0.0]), seed=0).p == 2 / 8
    assert sign_flip_test(np.array([1.0, -1.0]), seed=0).p == 1.0
    assert sign_flip_test(np.array([0.5, 0.25, 0.25]), seed=0).p == 2 / 8


def test_sums_too_rare_for_a_number_are_below_every_level() -> None:
    for differences in (np.ones(1500), np.array([1.0] * 2850 + [-1.0] * 150)):
        test = sign_flip_test(differences, seed=0)
        assert 0 < test.p < 1e-300 and 0 < test.accepted < test.rejected < np.sqrt(len(differences))
        found = paired_estimate(differences, seed=0).interval
        assert found.low is not None and 0.8 < found.low < 1


def test_critical_values_by_hand() -> None:
    """Six equal steps: |Σ| is 6 in 2 of 64 patterns and at least 4 in 14 of them; the statistic divides by √6."""
    test = sign_flip_test(np.array([0.5] * 5 + [-0.5]), seed=0)
    assert test.p == 14 / 64
    assert [test.accepted, test.rejected] == pytest.approx([4 / 6**0.5, 6**0.5])
    assert test.critical(2.0) == 2.0 and test.critical(1.0) == test.accepted
    assert test.accepted < test.critical(3.0) < test.rejected
    assert sign_flip_test(np.ones(5), seed=0).rejected == float("inf")  # 2 of 32 is more than 0.05


def test_sign_flips_agree_with_mcnemar_and_with_sampling() -> None:
    """With one trial per task it is McNemar's test; the values that are no fractions are sampled."""
    differences = np.array([1.0] * 14 + [-1.0] * 4 + [0.0] * 10)
    exact = sign_flip_test(differences, seed=3)
    assert exact.p == pytest.approx(mcnemar_exact(14, 4), rel=1e-9)
    assert sign_flip_test(np.ones(40), seed=3).p == pytest.approx(2 / 2**40)
    sampled = sign_flip_test(differences / np.pi, seed=3, draws=20_000)
    assert sampled.p == pytest.approx(mcnemar_exact(14, 4), abs=0.006)
    assert sampled == sign_flip_test(differences / np.pi, seed=3, draws=20_000)
    assert [sampled.accepted, sampled.rejected] == pytest.approx([exact.accepted, exact.rejected])
    assert sign_flip_test(np.ones(40) / np.pi, seed=3, draws=999).p == 1 / 1000
    mixed = np.array([0.5, 1 / 3, -0.25, 0.75, 1.0, -1 / 6, 0.5, 0.25])
    signs = 1 - 2 * (np.arange(2**8)[:, None] >> np.arange(8) & 1)
    by_hand = np.mean(np.abs(signs @ mixed) >= abs(mixed.sum()) - 1e-9)
    assert sign_flip_test(mixed, seed=0).p == pytest.approx(by_hand)


@pytest.mark.parametrize("draws", [999, 1500, 10_000])
def test_every_draw_counts_once(draws: int) -> None:
    """Of 2^39 patterns none but the observed one is as large as it."""
    assert sign_flip_test(np.ones(40) / np.pi, seed=3, draws=draws).p == 1 / (draws + 1)
    assert sign_flip_test(np.ones(40) / np.pi, seed=3).p == 1 / 10_001


def test_the_ends_of_the_sign_flip_distribution() -> None:
    """No task differs: nothing can be rejected. Of three equal steps |Σ| is 3 in 2 of 8 patterns: not below α = 1/4."""
    assert sign_flip_test(np.zeros(9), seed=0) == SignFlipTest(1.0, 0.0, float("inf"))
    at_alpha = sign_flip_test(np.ones(3), seed=0, level=0.75)
    assert [at_alpha.p, at_alpha.accepted, at_alpha.rejected] == pytest.approx([0.25, 3 / 3**0.5, float("inf")])
    assert sign_flip_test(np.ones(3), seed=0, level=0.74).rejected == pytest.approx(3 / 3**0.5)
    assert sign_flip_test(np.array([1.0, -1.0] * 30), seed=0).p == 1.0  # the chances add up to 1 + 2e-16


def test_tasks_without_a_value_are_left_out() -> None:
    got = paired_estimate(np.array([1.0, 0.0, NAN]), seed=0)
    assert got.interval.value == 0.5 and got.interval.n == 2 and got.p == 1.0
    assert paired_estimate(np.array([NAN, 0.25]), seed=0).interval == Interval(0.25, None, None, 1)
    assert paired_estimate(np.array([NAN]), seed=0).interval == Interval(None, None, None, 0)
    assert paired_estimate(np.array([NAN]), seed=0).p is None


def test_equal_arms_by_hand() -> None:
    """No task differs: θ is in the interval where θ √n / √(θ − θ²) ≤ 1.96, θ ≤ z² / (n + z²)."""
    low, high = ends(np.zeros(24))
    assert high == -low == pytest.approx(1.959964**2 / (24 + 1.959964**2), abs=1e-6)


def test_gains_of_half_the_tasks_are_read_at_their_own_step() -> None:
    """Ten of 20 tasks gain one trial of four, p = 2 / 2^10; one loss more widens the interval."""
    quarters = np.array([0.25] * 10 + [0.0] * 10)
    low, high = ends(quarters)
    assert paired_estimate(quarters, seed=0).p == 2 / 2**10
    assert 0.06 < low < 0.07 and 0.18 < high < 0.19
    with_loss = ends(np.array([0.25] * 10 + [-0.25] + [0.0] * 9))
    assert 0 < with_loss[0] < low and high - low < with_loss[1] - with_loss[0]


def test_rare_gains_of_one_trial_have_wilsons_upper_end() -> None:
    """Three of 20 tasks won and none lost; 0 is inside, since p = 2 / 2^3."""
    size = 20 + 1.959964**2
    wilson = (3 + 1.959964**2 / 2 + 1.959964 * (3 * 17 / 20 + 1.959964**2 / 4) ** 0.5) / size
    low, high = ends(np.array([1.0] * 3 + [0.0] * 17))
    assert low < 0 and high == pytest.approx(wilson, abs=1e-5)


@pytest.mark.parametrize(
    ("differences", "theta", "variance"),
    [
        ([0.25] * 8, 0.5, 0.25 * 0.5),  # all equal, beyond: a difference of 1 in n (θ − mean) / (1 − mean)
        ([0.25] * 8, -0.3, 0.55**2),  # all equal, on the other side: those of a shift
        ([0.25] * 8, 0.1, 0.25**2 * (2 * 0.3 + 0.4 - 0.4**2)),  # all equal, before: three values, 0.3 of them lost
        ([0.25] * 2 + [0.0] * 6, 0.15, 0.25**2 * (0.6 - 0.6**2) + 0.75 * 0.75 * (0.15**2 - 0.0625**2)),
        ([0.25] * 2 + [0.0] * 6, 0.5, 0.25**2 / 4 - 0.0625**2 + (0.5 - 0.0625) ** 2),
        ([0.25, -0.25] + [0.0] * 6, 0.05, 0.25**2 * ((0.1825**0.5 - 0.15) / 2 + 0.2 - 0.2**2)),
    ],
)
def test_variance_by_hand(differences: list[float], theta: float, variance: float) -> None:
    """Under the mean θ; two of eight tasks gain a step of 1/4, one of four shares, and larger steps may be unseen."""
    spread = _Spread.of(np.array(differences))
    assert spread.variance(theta) == pytest.approx(variance)
    assert _Spread.of(-np.array(differences)).variance(-theta) == pytest.approx(variance)


@pytest.mark.parametrize("n", range(2, 12))
def test_a_p_that_equals_alpha_rejects_nothing(n: int) -> None:
    """Equal steps have p = 2 / 2^n; at just this level 0 is an end of the interval, whatever is rounded."""
    for step in (1.0, 0.5, 1 / 3, 0.1):
        level = 1 - 2 / 2**n
        assert ends(np.full(n, step), level)[0] <= 0 <= ends(np.full(n, -step), level)[1]
        assert ends(np.full(n, step), level - 1e-9)[0] > 0


@pytest.mark.parametrize(("wins", "losses"), [(10, 3), (14, 4), (25, 12)])
def test_ends_of_one_trial_by_a_search_for_the_likeliest_shares(wins: int, losses: int) -> None:
    """At both ends of 60 pairs the statistic is 1.96, its variance Tango's (1998) or that of a shift, if larger."""
    ties, mean, square = 60 - wins - losses, (wins - losses) / 60, (wins + losses) / 60
    for theta in ends(np.array([1.0] * wins + [-1.0] * losses + [0.0] * ties)):
        lost = np.linspace(0, (1 - theta) / 2, 400_001)[1:-1]
        lost = lost[lost + theta > 0]
        likelihood = wins * np.log(lost + theta) + losses * np.log(lost) + ties * np.log(1 - 2 * lost - theta)
        tango = 2 * lost[np.argmax(likelihood)] + theta - theta**2
        variance = max(tango, square - mean**2 + (mean - theta) ** 2)
        assert abs(theta - mean) * (60 / variance) ** 0.5 == pytest.approx(1.959964, abs=1e-4)


@given(
    st.sampled_from([1, 2, 3, 4, 8]).flatmap(
        lambda trials: st.lists(st.integers(-trials, trials), min_size=2, max_size=30).map(
            lambda steps: np.array(steps) / trials
        )
    )
)
@settings(max_examples=100, deadline=None)
def test_interval_and_p_never_contradict_each_other(differences: Array) -> None:
    got = paired_estimate(differences, seed=0)
    low, high = ends(differences)
    assert got.p is not None and got.interval.value is not None
    assert (got.p < 0.05) == (not low <= 0 <= high)
    assert -1 <= low <= got.interval.value <= high <= 1 and low < high
    assert ends(-differences) == pytest.approx((-high, -low))
    lower, upper = ends(differences, 0.8)
    assert (got.p < 0.2) == (not lower <= 0 <= upper)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=25).map(np.array))
@settings(max_examples=20, deadline=None)
def test_sampled_p_and_interval_do_not_contradict_each_other_either(differences: Array) -> None:
    got, (low, high) = paired_estimate(differences, seed=0), ends(differences)
    assert got.p is not None and (got.p < 0.05) == (not low <= 0 <= high)


@pytest.mark.parametrize(("scenario", "tasks", "trials"), [(1, 60, 1), (2, 20, 4), (3, 60, 4), (6, 20, 8)])
def test_intervals_cover_simulated_differences(scenario: int, tasks: int, trials: int) -> None:
    got = difference_coverage(SCENARIOS[scenario], tasks, trials, 250)
    assert 0.93 <= got.share <= 0.985 and got.contradictions == 0


@pytest.mark.parametrize(("tasks", "trials"), [(20, 4), (30, 4)])
def test_pass_k_covers_simulated_truths(tasks: int, trials: int) -> None:
    """Without widening, pass^3 of four trials is covered 87 times in a hundred."""
    assert all(0.93 <= one.share <= 0.99 for one in pass_k_coverage(1.0, 2.0, tasks, trials, 400))


@given(st.lists(st.integers(0, 5), min_size=2, max_size=40))
@settings(max_examples=50, deadline=None)
def test_pass_k_intervals_do_not_rise(solved: list[int]) -> None:
    values = [np.array([comb(c, k) / comb(5, k) for c in solved]) for k in range(1, 6)]
    got = pass_k_intervals(values, 5 * len(solved))
    for ends_of in ([one.low for one in got], [one.high for one in got]):
        known = [end for end in ends_of if end is not None]
        assert len(known) == 5 and known == sorted(known, reverse=True)
    assert all((one.low or 0) - 1e-12 <= (one.value or 0) <= (one.high or 0) for one in got)


def test_pass_k_by_hand() -> None:
    """One of 60 tasks solves one trial of two: the upper end of pass^1 is raised to that of pass^2, 0 of 60."""
    first, second = pass_k_intervals([np.array([0.5] + [0.0] * 59), np.zeros(60)], 120)
    own = clustered_proportion(np.array([0.5] + [0.0] * 59), 120)
    assert second == clustered_proportion(np.zeros(60), 120) and second.high is not None
    assert own.high is not None and own.high < second.high == first.high and first.low == own.low
    whole = np.array([1.0] * 3 + [0.0] * 17)  # all trials or none: half of an unseen task adds nothing
    plain, allowed = clustered_proportion(whole, 40), clustered_proportion(whole, 40, unseen=0.5)
    assert plain.low is not None and allowed.low is not None and plain.high is not None and allowed.high is not None
    assert [allowed.low, allowed.high] == pytest.approx([plain.low, plain.high])
    assert pass_k_intervals([np.array([0.5])], 2) == [Interval(0.5, None, None, 1)]
    assert pass_k_intervals([], 0) == []


def test_pass_k_above_1_allows_for_half_an_unseen_task() -> None:
    """Two of 20 tasks have 1/2: rate 0.05, variance 0.45/19 per task, each with half a squared deviation of 1 more."""
    _, second = pass_k_intervals([np.array([0.75] * 2 + [0.0] * 18), np.array([0.5] * 2 + [0.0] * 18)], 80)
    size = (20 * 0.05 * 0.95 + 19 * 0.5 / 20) / (0.45 / 19 + 0.5 / 20)
    assert second.high == pytest.approx(wilson_interval(0.05, size, 20).high)
    assert clustered_proportion(np.array([]), 0) == Interval(None, None, None, 0)
    assert clustered_proportion(np.full(3, 1 + 3e-16), 3).value == 1.0  # rounding makes no rate above 1


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_scenario_is_covered(scenario: object) -> None:
    """Every number of tasks and trials; more than 97.5 % is allowed where few tasks or one sign make steps large."""
    kind = next(one for one in SCENARIOS if one is scenario)
    for trials in TRIALS:
        for tasks in TASKS:
            got = difference_coverage(kind, tasks, trials, 1000)
            assert got.share >= 0.93 and got.contradictions == 0, (trials, tasks, got)
            if tasks == TASKS[-1] and "one-sided" not in kind.name:
                assert got.share <= 0.975, (trials, got)


@pytest.mark.slow
def test_what_is_not_covered_is_known() -> None:
    """One task in 25 wins all trials, the others show small steps only: 20 tasks often hold none that wins."""
    assert 0.6 < difference_coverage(RARE_LARGE_STEPS, 20, 8, 1000).share < 0.85
    assert difference_coverage(RARE_LARGE_STEPS, 200, 8, 1000).share >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b"), [(1.0, 2.0), (1.0, 1.0), (0.3, 0.9)])
def test_every_pass_k_is_covered(a: float, b: float) -> None:
    for trials in (4, 8):
        for tasks in (20, 25, 30, 60, 200):
            shares = [one.share for one in pass_k_coverage(a, b, tasks, trials, 2000)]
            assert min(shares) >= 0.93, (trials, tasks, shares)


def test_pass_k_of_few_tasks_bounds_that_of_no_others() -> None:
    """Two of 30 tasks kept all four trials, the others lost one to an error: the rate of all is as sure as before."""
    once, all_four = np.array([1.0, 0.0, 0.0] * 10), np.zeros(2)
    alone = clustered_proportion(once, 92)
    first, fourth = pass_k_intervals([once, all_four], 92)
    assert fourth.high is not None and fourth.high > 0.9
    assert first == alone and alone.high is not None and alone.high < 0.6
    _, sure = pass_k_intervals([once, np.ones(12)], 92)
    assert sure == clustered_proportion(np.ones(12), 92, unseen=0.5)
    assert sure.low is not None and alone.low is not None and sure.low > alone.low
