from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama.selection.decision_rule import (
    Choice,
    Masks,
    Objective,
    Scorer,
    SubsetValues,
    all_masks,
    decide,
    subsets_to_choose_from,
)
from fama.selection.router.scores import Quadratic, calibrated


def random_scorer(seed: int, size: int) -> Scorer:
    random = np.random.default_rng(seed)
    pairs = size * (size - 1) // 2
    quadratic = Quadratic(
        base=float(random.normal()),
        utility=random.normal(size=size),
        pair=random.normal(scale=0.7, size=pairs),
        token_base=float(np.log(5000)),
        token_utility=random.uniform(0.0, 0.3, size=size),
    )
    return calibrated(quadratic, temperature=1.3)


def value(scorer: Scorer, members: tuple[int, ...], size: int, lam: float) -> float:
    mask = np.zeros((1, size), dtype=np.bool_)
    mask[0, list(members)] = True
    scores = scorer(mask)
    return float(scores.success[0] - lam * scores.tokens[0] / 1000.0)


def brute_force(
    scorer: Scorer, size: int, objective: Objective, costs: list[int], allowance: int | None
) -> tuple[int, float, float]:
    """Size and value of the subset to be chosen, and the value of the best one, by plain loops."""
    values = {
        members: value(scorer, members, size, objective.lam)
        for count in range(size + 1)
        for members in combinations(range(size), count)
        if allowance is None or not members or sum(costs[i] for i in members) <= allowance
    }
    best = max(values.values())
    tied = {members: v for members, v in values.items() if v >= best - objective.epsilon}
    fewest = min(map(len, tied))
    return fewest, max(v for members, v in tied.items() if len(members) == fewest), best


def chosen_value(scorer: Scorer, choice: Choice, lam: float) -> float:
    members = tuple(i for i, flag in enumerate(choice.members) if flag)
    return value(scorer, members, len(choice.members), lam)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 6),
    lam=st.sampled_from([0.0, 0.01, 0.1]),
    epsilon=st.sampled_from([0.0, 0.01, 0.1]),
    costs=st.lists(st.integers(0, 100), min_size=6, max_size=6),
    allowance=st.none() | st.integers(0, 300),
)
def test_exact_search_equals_brute_force(
    seed: int, size: int, lam: float, epsilon: float, costs: list[int], allowance: int | None
) -> None:
    scorer, objective = random_scorer(seed, size), Objective(lam, epsilon)
    choice = decide(scorer, size, objective, costs[:size], allowance)
    fewest, wanted, _ = brute_force(scorer, size, objective, costs, allowance)
    assert sum(choice.members) == fewest
    assert chosen_value(scorer, choice, lam) == pytest.approx(wanted, abs=1e-12)
    assert all(0.0 <= p <= 1.0 for p in choice.probabilities)
    spent = sum(cost for cost, flag in zip(costs, choice.members, strict=False) if flag)
    assert allowance is None or not any(choice.members) or spent <= allowance


def test_masks_are_all_subsets_smaller_first() -> None:
    masks = all_masks(4)
    assert masks.shape == (16, 4)
    assert len({tuple(row) for row in masks.tolist()}) == 16
    assert list(masks.sum(axis=1)) == sorted(masks.sum(axis=1))


def fixed(success: dict[tuple[bool, ...], float], tokens: float = 0.0) -> Scorer:
    def score(masks: Masks) -> SubsetValues:
        values = np.array([success[tuple(row)] for row in masks.tolist()])
        return SubsetValues(values, np.full(len(masks), tokens))

    return score


def test_ties_take_the_smallest_subset() -> None:
    scorer = fixed({(False, False): 0.5, (True, False): 0.7, (False, True): 0.7, (True, True): 0.72})
    assert decide(scorer, 2, Objective(epsilon=0.0)).members == (True, True)
    assert decide(scorer, 2, Objective(epsilon=0.03)).members == (True, False)
    assert decide(scorer, 2, Objective(epsilon=0.5)).members == (False, False)


def test_probabilities_order_helpers_by_worth() -> None:
    scorer = fixed({(False, False): 0.2, (True, False): 0.6, (False, True): 0.3, (True, True): 0.65})
    choice = decide(scorer, 2, Objective())
    assert choice.probabilities[0] > choice.probabilities[1] > 0.5
    assert choice.success == pytest.approx(0.65)


def test_a_helper_that_cannot_be_paid_has_no_probability() -> None:
    scorer = fixed({(False, False): 0.2, (True, False): 0.9, (False, True): 0.5, (True, True): 0.95})
    choice = decide(scorer, 2, Objective(), costs=[100, 10], allowance=50)
    assert choice.members == (False, True)
    assert choice.probabilities[0] == 0.0


def test_more_expensive_tokens_never_buy_more_tokens() -> None:
    for seed in range(20):
        scorer = random_scorer(seed, 6)
        spent = [decide(scorer, 6, Objective(lam)).tokens for lam in (0.0, 0.01, 0.05, 0.2, 1.0)]
        assert all(a >= b - 1e-9 for a, b in zip(spent, spent[1:], strict=False))


def test_local_search_finds_the_additive_optimum_of_a_large_pool() -> None:
    size = 14
    utility = np.linspace(-1.0, 1.0, size)
    quadratic = Quadratic(-1.0, utility, np.zeros(size * (size - 1) // 2), 0.0, np.zeros(size))
    choice = decide(calibrated(quadratic, 1.0), size, Objective())
    assert choice.members == tuple(bool(u > 0) for u in utility)
    assert all((p > 0.5) == bool(u > 0) for p, u in zip(choice.probabilities, utility, strict=True))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), allowance=st.integers(0, 400))
def test_local_search_stays_within_the_allowance(seed: int, allowance: int) -> None:
    size, costs = 13, [(37 * i) % 90 + 5 for i in range(13)]
    choice = decide(random_scorer(seed, size), size, Objective(0.01, 0.01), costs, allowance)
    assert sum(cost for cost, flag in zip(costs, choice.members, strict=True) if flag) <= allowance
    assert all(0.0 <= p <= 1.0 for p in choice.probabilities)


def test_costs_must_match_the_pool() -> None:
    with pytest.raises(ValueError, match="3 costs for 2 helpers"):
        decide(random_scorer(0, 2), 2, Objective(), costs=[1, 2, 3])


def test_only_candidates_are_chosen() -> None:
    scorer = fixed({(False, False): 0.2, (True, False): 0.6, (False, True): 0.3, (True, True): 0.9})
    candidates = np.array([[False, True], [True, False]])
    choice = decide(scorer, 2, Objective(), candidates=candidates)
    assert choice.members == (True, False)
    assert decide(scorer, 2, Objective(), [50, 10], 20, candidates).members == (False, True)
    assert decide(scorer, 2, Objective(), candidates=np.zeros((0, 2), dtype=np.bool_)).members == (False, False)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), allowance=st.none() | st.integers(0, 200))
def test_all_subsets_as_candidates_change_nothing(seed: int, allowance: int | None) -> None:
    scorer, costs = random_scorer(seed, 5), [10, 20, 30, 40, 50]
    plain = decide(scorer, 5, Objective(0.01, 0.01), costs, allowance)
    listed = decide(scorer, 5, Objective(0.01, 0.01), costs, allowance, all_masks(5)[::-1])
    assert listed.members == plain.members
    assert listed.probabilities == pytest.approx(plain.probabilities)


SURE: dict[tuple[bool, ...], float] = {(False, False): 0.2, (True, False): 0.6, (False, True): 0.3, (True, True): 0.7}


@pytest.mark.parametrize(
    ("max_predicted_loss", "members"), [(None, (True, False)), (0.2, (True, False)), (0.05, (True, True))]
)
def test_all_helpers_are_used_where_the_choice_loses_too_much(
    max_predicted_loss: float | None, members: tuple[bool, ...]
) -> None:
    plain = decide(fixed(SURE), 2, Objective(epsilon=0.15))
    choice = decide(fixed(SURE), 2, Objective(epsilon=0.15), max_predicted_loss=max_predicted_loss)
    assert choice.members == members and choice.probabilities == plain.probabilities
    assert choice.success == SURE[members]


@pytest.mark.parametrize(("allowance", "members"), [(None, (True, True)), (30, (True, True)), (29, (False, False))])
def test_all_helpers_are_not_used_beyond_the_allowance(allowance: int | None, members: tuple[bool, ...]) -> None:
    choice = decide(fixed(SURE), 2, Objective(epsilon=1.0), [10, 20], allowance, max_predicted_loss=0.0)
    assert choice.members == members


def sum_of(*worth: float) -> Scorer:
    def score(masks: Masks) -> SubsetValues:
        return SubsetValues(0.25 + masks @ np.array(worth), 100.0 * masks.sum(axis=1))

    return score


def test_probabilities_by_hand() -> None:
    """A gain of one softness has the odds e, of nothing even ones; so in the exact and in the local search."""
    assert Objective() == Objective(lam=0.0, epsilon=0.0, softness=0.05)
    odds = 1 / (1 + np.exp(-1.0))
    assert decide(sum_of(0.05), 1, Objective()).probabilities == pytest.approx((odds,))
    assert decide(sum_of(0.1, 0.0), 2, Objective(softness=0.1)).probabilities == pytest.approx((odds, 0.5))
    many = decide(sum_of(*[0.0] * 11, 0.05, -0.05), 13, Objective())
    assert many.probabilities == pytest.approx((*[0.5] * 11, odds, 1 - odds))
    assert many.members == (*[False] * 11, True, False) and (many.success, many.tokens) == pytest.approx((0.3, 100.0))


@pytest.mark.parametrize(("epsilon", "kept"), [(0.0, 3), (0.0624, 3), (0.0625, 2), (0.1874, 1), (0.1875, 0)])
def test_the_local_search_gives_up_no_more_than_epsilon_in_all(epsilon: float, kept: int) -> None:
    """Three of 13 helpers bring 1/16 each; what was given up adds up."""
    worth = (0.0625, 0.0625, 0.0625, *[-1.0] * 10)
    assert sum(decide(sum_of(*worth), 13, Objective(epsilon=epsilon)).members) == kept


@pytest.mark.parametrize(("size", "members"), [(12, 2), (13, 0)])
def test_pools_of_12_are_searched_exactly(size: int, members: int) -> None:
    """Two helpers are worth something together only, which no single step of the local search finds."""

    def score(masks: Masks) -> SubsetValues:
        both = masks[:, 3] & masks[:, 7]
        return SubsetValues(both - 0.1 * masks.sum(axis=1), np.zeros(len(masks)))

    assert sum(decide(score, size, Objective()).members) == members


@pytest.mark.parametrize(("loss", "everyone"), [(0.25, False), (0.2499, True)])
def test_a_predicted_loss_that_is_allowed_changes_nothing(loss: float, everyone: bool) -> None:
    choice = decide(sum_of(0.125, 0.125), 2, Objective(epsilon=1.0), max_predicted_loss=loss)
    assert choice.members == (everyone, everyone)
    assert (choice.success, choice.tokens) == ((0.5, 200.0) if everyone else (0.25, 0.0))


def test_masks_that_are_shared_cannot_be_changed() -> None:
    candidates = np.array([[True, True, False]])
    shared = (
        all_masks(3),
        subsets_to_choose_from(3, groups=((0, 1),)),
        subsets_to_choose_from(3, candidates),
    )
    assert not any(masks.flags.writeable for masks in shared)
    assert [len(masks) for masks in shared] == [8, 6, 2]


def test_a_large_pool_with_candidates_is_searched_exactly() -> None:
    pair = np.zeros((1, 13), dtype=np.bool_)
    pair[0, [3, 7]] = True

    def score(masks: Masks) -> SubsetValues:
        return SubsetValues((masks == pair).all(axis=1) * 1.0, np.zeros(len(masks)))

    assert decide(score, 13, Objective(), candidates=pair).members == tuple(pair[0].tolist())


def test_the_local_search_takes_back_what_later_steps_made_worse() -> None:
    """The first helper is best alone, harmful beside the next two, and in the way of the fourth."""
    worth, size = np.array([0.3, 0.2, 0.2, 0.1, *[-1.0] * 9]), 13

    def score(masks: Masks) -> SubsetValues:
        beside = masks[:, 0] * (0.16 * masks[:, 1] + 0.16 * masks[:, 2] + 0.3 * masks[:, 3])
        return SubsetValues(masks @ worth - beside, np.zeros(len(masks)))

    assert np.flatnonzero(decide(score, size, Objective()).members).tolist() == [1, 2, 3]


@pytest.mark.parametrize("size", [1, 13])
@pytest.mark.parametrize(("worth", "probability"), [(0.5, 1.0), (-0.5, 0.0)])
def test_sure_probabilities_do_not_overflow(size: int, worth: float, probability: float) -> None:
    with np.errstate(over="raise", invalid="raise"):
        choice = decide(sum_of(*[worth] * size), size, Objective(softness=0.0005))
    assert choice.probabilities == pytest.approx([probability] * size)


def test_no_rounding_makes_a_probability_above_1() -> None:
    """The chances of the eight subsets with the first helper add up to 1 + 2e-16."""
    assert decide(sum_of(2.5, 0.041, 0.041, 0.041), 4, Objective()).probabilities[0] == 1.0
