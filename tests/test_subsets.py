"""Subsets are ordered, stored, read and shown in one way."""

from itertools import combinations

from fama.subsets import (
    POOL,
    flagged,
    in_order,
    in_pool_order,
    join_subset,
    members_of,
    split_label,
    split_subset,
    subset_label,
)


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
