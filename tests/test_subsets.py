"""Subsets are ordered, stored, read and shown in one way."""

from itertools import combinations
from typing import get_args

import pytest

from fama.errors import BadInput
from fama.settings import Form
from fama.subsets import (
    FORMS,
    POOL,
    base_of,
    excluding_pair,
    exclusive_groups,
    flagged,
    in_order,
    in_pool_order,
    is_admissible,
    join_subset,
    members_of,
    one_form_each,
    refuse_excluded,
    split_label,
    split_subset,
    stated_form,
    subset_label,
    subsets_of_size,
)

FORMED = ("TSA", "TSA:template", "Verifier")


def test_every_subset_makes_the_round_trip() -> None:
    for size in range(len(POOL) + 1):
        for subset in combinations(POOL, size):
            assert split_subset(join_subset(subset)) == split_label(subset_label(subset)) == subset
            assert in_pool_order(reversed(subset), POOL) == in_order(reversed(subset)) == subset
            assert members_of(join_subset(subset)) == frozenset(subset)
            assert flagged([name in subset for name in POOL], POOL) == subset
    assert (join_subset(()), subset_label(()), subset_label(("DCE", "TSA"))) == ("", "none", "DCE+TSA")


def test_helpers_of_other_pools_come_last_by_name() -> None:
    assert in_order(["Zeta", "Memory", "Own", "DCE", "DCE"]) == ("DCE", "Memory", "Own", "Zeta")
    assert in_pool_order(["Own", "DCE"], ("Own", "DCE")) == ("Own", "DCE")
    assert members_of("A+B") is members_of("A+B")


def test_a_name_states_its_helper_and_its_form() -> None:
    assert FORMS == get_args(Form)
    for form in FORMS:
        assert (base_of(f"TSA:{form}"), stated_form(f"TSA:{form}")) == ("TSA", form)
    for name in ("TSA", "TSA:nonsense", ":llm", "C:/mine.yaml", "acme:Guide"):
        assert (base_of(name), stated_form(name)) == (name, None)


def test_members_of_one_helper_exclude_each_other() -> None:
    assert excluding_pair(FORMED) == ("TSA", "TSA:template")
    assert excluding_pair(("TSA:llm", "Verifier", "TSA:template")) == ("TSA:llm", "TSA:template")
    assert excluding_pair(("TSA", "TSA")) is excluding_pair(POOL) is excluding_pair(()) is None
    assert exclusive_groups(FORMED) == ((0, 1),) and exclusive_groups(POOL) == ()
    assert one_form_each(FORMED) == ("TSA", "Verifier")
    assert one_form_each(("TSA:template", "TSA")) == ("TSA:template",)
    assert one_form_each(POOL) == POOL
    assert is_admissible(("Verifier", "TSA:template"), FORMED)
    assert not is_admissible(("TSA", "TSA:template"), FORMED) and not is_admissible(("TSA:llm",), FORMED)
    with pytest.raises(BadInput, match="^here: TSA and TSA:template are forms of one helper and exclude each other; "):
        refuse_excluded(FORMED, "here")


def test_the_subsets_of_a_pool_with_forms() -> None:
    by_size = [subsets_of_size(FORMED, size) for size in range(4)]
    assert by_size[2:] == [[("TSA", "Verifier"), ("TSA:template", "Verifier")], []]
    assert [len(of_size) for of_size in by_size] == [1, 3, 2, 0]
    assert subsets_of_size(POOL, 3) == list(combinations(POOL, 3))


def test_subsets_with_forms_make_the_round_trip() -> None:
    subset = ("DCE", "TSA:template", "Verifier")
    assert split_subset(join_subset(subset)) == split_label(subset_label(subset)) == subset
    assert in_order(["Verifier", "TSA:template", "Zeta:llm", "DCE"]) == (*subset, "Zeta:llm")
