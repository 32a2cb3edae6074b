"""Names of exported files: no two groups share one, whatever their parts."""

from hypothesis import given
from hypothesis import strategies as st

from fama.episodes.exporters.names import distinct_names

PARTS = st.tuples(*[st.sampled_from(["", "a", "A", "a b", "a-b", "a_b", "ä", "../x", "x" * 300])] * 3)


@given(st.sets(PARTS, max_size=12))
def test_every_group_has_a_name_of_its_own(groups: set[tuple[str, ...]]) -> None:
    names = distinct_names({parts: parts for parts in groups})
    assert len({name.casefold() for name in names.values()}) == len(groups)
    assert all(name and "/" not in name and len(name.encode()) < 250 for name in names.values())
    assert distinct_names({parts: parts for parts in sorted(groups)}) == names


def test_names_that_are_alone_stay_readable() -> None:
    groups = [("shop", "q 1.5b", "DCE+TSA"), ("shop", "q-1.5b", "none"), ("shop", "q/1.5b", "none")]
    named = distinct_names({parts: parts for parts in groups})
    assert named[groups[0]] == "shop_q-1.5b_DCE+TSA"
    assert all(named[parts].startswith("shop_q-1.5b_none_") for parts in groups[1:])
