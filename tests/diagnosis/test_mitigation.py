"""The minimal helper subset: exact against brute force, ties, refusals, the model form."""

import json
from dataclasses import dataclass
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.diagnosis.mitigation import catalogue, covers_minimally, minimal_cover, mitigate
from fama.episodes.records import Failure
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.helpers.base import Helper, HelperContext, HelperReply
from fama.helpers.pool import build_pool
from fama.models.scripted import ScriptedModel
from fama.settings import Form, HelperSettings
from fama.subsets import excluding_pair


@dataclass
class Toy:
    """A helper that says nothing."""

    name: str
    covers: frozenset[str]
    token_cap: int
    cost_cap: int = 0

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        return HelperReply(None)


def pool(*entries: tuple[str, str, int]) -> dict[str, Helper]:
    return {name: Toy(name, frozenset(covers.split()), cap) for name, covers, cap in entries}


POOL = pool(("A", "DCV CM", 60), ("B", "DCV", 30), ("C", "IFU", 30), ("D", "WRCO IFU", 50), ("E", "IFU", 30))


def failure(*primary: str) -> Failure:
    return Failure(
        episode_id="e", task_id="7", primary=primary, rationale="It broke a rule.", labeller="x", taxonomy_version="t"
    )


def test_smallest_then_most_specific_then_cheapest_then_first() -> None:
    assert minimal_cover(["IFU"], pool(("cheap", "IFU CM", 5), ("special", "IFU", 50))) == ("special",)
    assert minimal_cover(["DCV"], POOL) == ("B",)
    assert minimal_cover(["DCV", "CM"], POOL) == ("A",)
    assert minimal_cover(["IFU"], POOL) == ("C",)
    assert minimal_cover(["DCV", "IFU"], POOL) == ("B", "C")
    assert minimal_cover(["DCV", "CM", "WRCO", "IFU"], POOL) == ("A", "D")
    assert minimal_cover([], POOL) == ()


def test_an_uncovered_category_is_refused() -> None:
    with pytest.raises(BadInput, match="'XYZ'.*no helper"):
        minimal_cover(["XYZ"], POOL)


CODES = ("DCV", "WRCO", "CM", "IFU", "NEW")


@given(
    st.lists(st.tuples(st.sets(st.sampled_from(CODES)), st.integers(1, 9)), min_size=1, max_size=7),
    st.sets(st.sampled_from(CODES)),
)
def test_exact_against_brute_force(entries: list[tuple[set[str], int]], wanted: set[str]) -> None:
    helpers = pool(*((f"h{i}", " ".join(covers), cap) for i, (covers, cap) in enumerate(entries)))
    names = tuple(helpers)
    best = min(
        (
            (
                len(subset),
                sum(len(helpers[n].covers) for n in subset),
                sum(helpers[n].token_cap for n in subset),
                [names.index(n) for n in subset],
                subset,
            )
            for size in range(len(names) + 1)
            for subset in combinations(names, size)
            if wanted <= {c for n in subset for c in helpers[n].covers}
        ),
        default=None,
    )
    if best is None:
        with pytest.raises(BadInput):
            minimal_cover(wanted, helpers)
    else:
        assert minimal_cover(wanted, helpers) == best[4]


async def test_without_a_model_the_set_cover_decides() -> None:
    found = await mitigate(failure("DCV", "CM"), POOL)
    assert found.subset == ("A",) and found.ledger == () and not found.by_model


@pytest.mark.parametrize(
    ("reply", "subset", "by_model"),
    [
        ('{"helpers": ["A"]}', ("A",), True),  # covers too, though B is cheaper
        ('```json\n{"helpers": ["B"]}\n```', ("B",), True),
        ('{"helpers": ["A", "B"]}', ("B",), False),  # one could be left out
        ('{"helpers": ["C"]}', ("B",), False),  # does not cover
        ('{"helpers": ["Zorro"]}', ("B",), False),
        ("I would take A.", ("B",), False),
    ],
)
async def test_a_models_answer_stands_only_if_it_covers_minimally(
    reply: str, subset: tuple[str, ...], by_model: bool
) -> None:
    prompts: list[str] = []

    def answer(request: object) -> str:
        prompts.append(str(request))
        return reply

    found = await mitigate(failure("DCV"), POOL, ScriptedModel("m", answer))
    assert (found.subset, found.by_model) == (subset, by_model)
    assert {row.role for row in found.ledger} == {"mitigation"} and (found.ledger[0].input_tokens or 0) > 0
    assert "It broke a rule." in prompts[0]


def test_the_catalogue_lists_coverage_and_caps() -> None:
    assert [entry["name"] for entry in catalogue(POOL)] == list(POOL)
    assert json.dumps(catalogue(POOL)).count("DCV") == 2


@pytest.mark.parametrize("form", ["template", "llm", "separate"])
def test_a_helper_says_itself_what_it_does(form: Form) -> None:
    shipped = catalogue(build_pool(HelperSettings(form=form)))
    assert all(str(entry["does"]).endswith(".") and entry["does"] != "gives a note." for entry in shipped)
    (other,) = catalogue(pool(("DCE", "DCV", 30)))
    assert other["does"] == "gives a note."


def test_a_cover_takes_one_form_of_a_helper_and_prompts_list_both() -> None:
    pair = build_pool(HelperSettings(pool=("TSA", "TSA:template", "Verifier"), form="llm"))
    for size in range(1, 4):
        for wanted in combinations(sorted(frozenset[str]().union(*(helper.covers for helper in pair.values()))), size):
            assert excluding_pair(minimal_cover(wanted, pair)) is None
    assert minimal_cover(pair["TSA"].covers - pair["Verifier"].covers, pair) == ("TSA",)
    assert not covers_minimally(("TSA", "TSA:template"), pair["TSA"].covers, pair)
    said = {str(entry["name"]): str(entry["does"]) for entry in catalogue(pair)}
    assert said["TSA"] == "suggests the next tool. Form: llm; not together with TSA:template."
    assert said["TSA:template"] == "suggests the next tool. Form: template; not together with TSA."
    assert "Form" not in said["Verifier"]


def test_forms_that_cover_only_together_are_no_cover() -> None:
    formed = pool(("X", "DCV", 9), ("X:llm", "CM", 9), ("Y", "IFU", 9))
    assert minimal_cover(["DCV", "IFU"], formed) == ("X", "Y")
    with pytest.raises(BadInput, match=r"CM, DCV: only forms of one helper .* cover them together \(X, X:llm\)"):
        minimal_cover(["DCV", "CM"], formed)
