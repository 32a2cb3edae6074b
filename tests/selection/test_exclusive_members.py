"""Members that exclude each other: no selector chooses two, every other subset can be chosen, chances are exact."""

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.helpers.pool import declared_pool
from fama.models.base import ChatReply, ChatRequest
from fama.models.prefix import AgentRequest
from fama.models.scripted import ScriptedModel
from fama.selection.base import SelectorContext
from fama.selection.budget import RunBudget
from fama.selection.decision_rule import (
    Masks,
    Objective,
    Scorer,
    SubsetValues,
    all_masks,
    decide,
    largest,
    subsets_to_choose_from,
)
from fama.selection.helper_choice import read_names
from fama.selection.selectors import fixed, random_subset, rule
from fama.selection.selectors.prompted import build as prompted
from fama.settings import BudgetSettings
from fama.subsets import exclusive_groups, flagged, is_admissible, one_form_each, subsets_of_size
from tests.support.asking import choose
from tests.support.draws import check_draws
from tests.support.every_selector import CASES, Inputs
from tests.support.note_states import Chat

POOL = ("TSA", "TSA:template", "Verifier", "DCE:llm", "Memory", "DCE")
HELPERS = declared_pool(POOL)
CONTEXT = SelectorContext(HELPERS)
STATE = VisibleState("", (), ())
POOLS = (POOL, POOL[:3], ("A", "A:llm", "A:separate", "A:template"), ("B", "A:llm", "C", "A", "C:llm", "A:separate"))


def admissible(pool: tuple[str, ...]) -> list[tuple[str, ...]]:
    """All subsets of a pool, by plain loops over all sets of names."""
    every = (names for size in range(len(pool) + 1) for names in combinations(pool, size))
    return [names for names in every if len({name.split(":")[0] for name in names}) == len(names)]


def liking(seed: int, size: int) -> Scorer:
    """A scorer with a random value for every mask, inadmissible ones too."""
    values = np.random.default_rng(seed).random(2**size)

    def score(masks: Masks) -> SubsetValues:
        return SubsetValues(values[masks @ (1 << np.arange(size))], np.full(len(masks), 100.0))

    return score


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), pool=st.sampled_from(POOLS))
def test_the_exact_search_takes_the_best_admissible_subset(seed: int, pool: tuple[str, ...]) -> None:
    score = liking(seed, len(pool))
    choice = decide(score, len(pool), Objective(), groups=exclusive_groups(pool))
    masks = np.array([[name in names for name in pool] for names in admissible(pool)])
    assert choice.success == score(masks).success.max()
    assert flagged(choice.members, pool) in admissible(pool)
    for group in exclusive_groups(pool):  # marginals of what excludes each other share one probability
        assert sum(choice.probabilities[place] for place in group) <= 1 + 1e-9


@pytest.mark.parametrize("pool", POOLS)
def test_every_admissible_subset_is_reached_and_is_searched_once(pool: tuple[str, ...]) -> None:
    groups, size = exclusive_groups(pool), len(pool)
    masks = subsets_to_choose_from(size, groups=groups)
    assert sorted(flagged(mask, pool) for mask in masks.tolist()) == sorted(admissible(pool))
    assert list(masks.sum(axis=1)) == sorted(masks.sum(axis=1))
    for names in admissible(pool):
        wanted = np.array([name in names for name in pool])

        def score(masks: Masks, wanted: Any = wanted) -> SubsetValues:
            return SubsetValues(1.0 - (masks ^ wanted).mean(axis=1), np.zeros(len(masks)))

        assert flagged(decide(score, size, Objective(), groups=groups).members, pool) == names
        everything = decide(score, size, Objective(), candidates=all_masks(size), groups=groups)
        assert flagged(everything.members, pool) == names


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), additive=st.booleans())
def test_local_search_stays_admissible_and_finds_the_best_form(seed: int, additive: bool) -> None:
    pool = tuple(f"{name}{form}" for name in "ABCDE" for form in ("", ":llm", ":template"))
    draw = np.random.default_rng(seed)
    worth, noise = draw.normal(size=len(pool)), draw.normal(size=(len(pool), len(pool)))

    def score(masks: Masks) -> SubsetValues:
        members = masks.astype(float)
        pairs = 0.0 if additive else ((members @ noise) * members).sum(axis=1)
        return SubsetValues(members @ worth + pairs, np.zeros(len(masks)))

    groups = exclusive_groups(pool)
    choice = decide(score, len(pool), Objective(), groups=groups)
    assert is_admissible(flagged(choice.members, pool), pool)
    if additive:  # of each helper the best form, if that is worth anything
        best = sum(max(0.0, *(worth[place] for place in group)) for group in groups)
        assert choice.success == pytest.approx(best)


def test_all_helpers_are_the_first_form_of_each() -> None:
    def score(masks: Masks) -> SubsetValues:  # many helpers are good, tokens are dear
        return SubsetValues(masks.sum(axis=1) / 10.0, masks.sum(axis=1) * 1000.0)

    groups = exclusive_groups(POOL)
    price = Objective(lam=1.0)
    assert flagged(largest(len(POOL), groups), POOL) == one_form_each(POOL) == ("TSA", "Verifier", "DCE:llm", "Memory")
    assert not any(decide(score, len(POOL), price, groups=groups).members)
    safe = decide(score, len(POOL), price, max_predicted_loss=0.1, groups=groups)
    assert flagged(safe.members, POOL) == one_form_each(POOL)
    assert safe.success == pytest.approx(0.4)
    unpaid = decide(score, len(POOL), price, [1] * len(POOL), 3, max_predicted_loss=0.1, groups=groups)
    assert not any(unpaid.members)


@pytest.mark.parametrize(
    "options", [{}, {"size": 2}, {"size": [1, 2, 1]}, {"mean_size": 1.3}, {"mean_size": 0}, {"size": 4}]
)
async def test_random_propensities_sum_to_one_over_the_admissible_subsets(options: dict[str, Any]) -> None:
    selector = random_subset.build(CONTEXT, **options)
    assert isinstance(selector, random_subset.RandomSelector)
    expected = {subset: selector.propensity_of(subset) for subset in admissible(POOL)}
    every = (names for size in range(len(POOL) + 1) for names in combinations(POOL, size))
    assert not any(selector.propensity_of(names) for names in every if names not in expected)
    await check_draws(selector, expected, POOL)
    mean = sum(len(subset) * p for subset, p in expected.items())
    assert "mean_size" not in options or math.isclose(mean, options["mean_size"], abs_tol=1e-9)


def test_a_random_size_is_at_most_one_form_of_each() -> None:
    with pytest.raises(BadInput, match="size: 5 does not fit; give 0 to 4"):
        random_subset.build(CONTEXT, size=5)
    with pytest.raises(BadInput, match="mean_size: 4.5 does not fit; give a number from 0 to 4"):
        random_subset.build(CONTEXT, mean_size=4.5)


async def test_fixed_subsets() -> None:
    async def of(selector: Any) -> tuple[str, ...]:
        return (await choose(selector, STATE)).subset

    assert await of(fixed.everything(CONTEXT)) == one_form_each(POOL)
    assert await of(fixed.fixed(CONTEXT, subset=["Verifier", "TSA:template"])) == ("TSA:template", "Verifier")
    assert await of(fixed.irma(CONTEXT)) == ("TSA", "Memory", "DCE")
    forms = SelectorContext(declared_pool(("Memory:llm", "DCE:llm", "DCE:template", "TSA:template", "Verifier:llm")))
    assert await of(fixed.irma(forms)) == ("Memory:llm", "DCE:llm", "TSA:template")
    ruled = rule.build(forms)
    assert isinstance(ruled, rule.RuleSelector) and ruled.subset == ("DCE:llm", "Verifier:llm")
    for build in (fixed.fixed, rule.build):
        with pytest.raises(BadInput, match="options.subset: TSA and TSA:template are forms of one helper"):
            build(CONTEXT, subset=["TSA", "Memory", "TSA:template"])
    with pytest.raises(BadInput, match="'Memory' is not in the pool"):
        fixed.irma(SelectorContext(declared_pool(POOL[:3])))


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("TSA:template, Verifier", ("TSA:template", "Verifier")),
        ("Verifier, TSA:template and TSA.", ("TSA:template", "Verifier")),
        ("tsa, TSA:TEMPLATE", ("TSA",)),
        ("DCE:llm", ("DCE:llm",)),
    ],
)
def test_of_two_forms_that_an_answer_names_the_first_stands(answer: str, names: tuple[str, ...]) -> None:
    assert read_names(answer, POOL) == names


@pytest.mark.parametrize("form", ["one_call", "on_prefix"])
async def test_a_prompt_lists_both_forms(form: str) -> None:
    asked: list[ChatRequest] = []

    def reply(request: ChatRequest) -> str | ChatReply:
        asked.append(request)
        return '{"helpers": ["TSA:template", "TSA"]}' if form == "one_call" else "TSA:template, TSA"

    own = AgentRequest(({"role": "user", "content": "Hello."},))
    context = SelectorContext(HELPERS, ScriptedModel("m", reply), request=lambda state: own)
    chosen = await choose(prompted(context, form=form), Chat().user("Hello.").state())
    assert chosen.subset == ("TSA:template",)
    text = str(asked[0].messages[-1]["content"])
    assert "TSA:template" in text
    assert "suggests the next tool. Form: llm; not together with TSA:template." in text
    assert "suggests the next tool. Form: template; not together with TSA." in text
    assert text.count("together with") == 4  # nothing is said of members without another form


def test_a_budget_never_lets_two_forms_through() -> None:
    budget = RunBudget(BudgetSettings()).episode()
    assert budget.fit(("TSA", "TSA:template", "Memory"), HELPERS).subset == ("TSA", "Memory")
    liked = budget.fit(POOL, HELPERS, {"TSA": 0.2, "TSA:template": 0.6, "DCE": 0.9, "DCE:llm": 0.1})
    assert liked.subset == ("TSA:template", "Verifier", "Memory", "DCE")
    assert liked.dropped == ("DCE:llm", "TSA")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return Inputs(
        tmp_path_factory.mktemp("selectors"),
        {"TOR": "TSA:template", "Planner": "Verifier:llm"},
        answer='{"helpers": ["TSA:template", "Verifier:llm", "TSA", "Verifier"]}',
        rows=("TSA+TSA:template", "TSA+TSA:template+Verifier:llm+Verifier", "TSA:template+Verifier", "TSA+Memory"),
    )


@pytest.mark.parametrize(("name", "place"), CASES)
async def test_no_registered_selector_chooses_two_forms(name: str, place: int, inputs: Inputs) -> None:
    selector, seen = inputs.build(name, place), set()
    assert inputs.pool == ("DCE", "TSA", "TSA:template", "Verifier:llm", "Verifier", "Memory")
    for text in ("Renew loan L1.", "Cancel it, please. Yes.", "What is the fee?"):
        for seed in range(20):
            one = await choose(selector, Chat().user(text).state(), seed=seed)
            assert is_admissible(one.subset, inputs.pool), one.subset
            assert list(one.subset) == [helper for helper in inputs.pool if helper in one.subset]
            assert set(one.probabilities) == set(inputs.pool)
            seen.add(one.subset)
    expected = {
        "all": ("DCE", "TSA", "Verifier:llm", "Memory"),
        "best_fixed": ("TSA", "Memory"),
        "oracle": ("TSA", "Memory"),
    }
    if name in expected:
        assert seen == {expected[name]}
    if (name, place) == ("random", 0):
        assert len(seen) > 10


def test_sizes_count_as_the_subsets_do() -> None:
    for pool in POOLS:
        groups = [[name for name in pool if name.split(":")[0] == base] for base in {n.split(":")[0] for n in pool}]
        assert random_subset.counts_by_size(groups) == [len(subsets_of_size(pool, k)) for k in range(len(groups) + 1)]
