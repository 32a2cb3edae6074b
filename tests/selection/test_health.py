"""The health of a selector, counted by hand."""

import json
from typing import Any

import pytest

from fama.episodes.records import Decision, Episode, LedgerRow, SelectionState
from fama.hashing import content_hash
from fama.selection.health import HealthTally, SelectorHealth, is_choice, selection_states
from tests.support.eval_builders import build


def row(turn: int, parsed: bool = True, role: str = "selector", **more: Any) -> LedgerRow:
    return LedgerRow(role=role, model="m", input_tokens=10, output_tokens=5, parsed=parsed, turn=turn, **more)


def decision(turn: int, *subset: str, selection: SelectionState | None = "chosen", **more: Any) -> Decision:
    return Decision(turn=turn, message_index=2 * turn + 2, subset=subset, selection=selection, **more)


def episode(decisions: list[Decision], rows: list[LedgerRow]) -> Episode:
    return build("t0", "prompted", decisions=tuple(decisions), ledger=tuple(rows))


def health(*episodes: Episode) -> SelectorHealth:
    tally = HealthTally()
    for one in episodes:
        tally.add(one)
    return tally.health()


def test_every_count_by_hand() -> None:
    """Seven decisions of one episode.

    0 chose DCE at once; 1 was asked again and chose DCE and TSA; 2 was unparsed twice, cut once; 3 held; 4 had no
    budget; 5 chose nobody, naming Oracle besides; 6 chose DCE and TSA, of which the budget dropped TSA.
    """
    whole: dict[str, Any] = {"truncated": False}
    decisions = [
        decision(0, "DCE"),
        decision(1, "DCE", "TSA"),
        decision(2, selection="unparsed"),
        decision(3, selection="by_cadence"),
        decision(4, selection="unaffordable"),
        decision(5),
        decision(6, "DCE", dropped=("TSA",)),
    ]
    rows = [
        *(row(0, **whole), row(1, False, **whole), row(1, **whole)),
        *(row(2, False, truncated=True), row(2, False, **whole)),
        *(row(5, unknown_names=("Oracle",), **whole), row(6, **whole), row(0, role="agent")),
    ]
    found = health(episode(decisions, rows))
    assert found == SelectorHealth(
        selections=5,
        unparsed=1,
        fell_back=1,
        repaired=2,
        truncated=1,
        unaffordable=1,
        subsets=3,
        only_subset=None,
        unknown_names={"Oracle": 1},
    )
    assert found.chosen == 4 and not found.broken and not found.constant
    assert found.warnings("prompted") == (
        "prompted: 1 of 5 (20 %) selections unparsed, 1 of these ran without helpers; 1 with a truncated reply: raise "
        "its reply_tokens.",
        "prompted: 1 of 6 (17 %) selections not made, since the budget had no room to ask.",
        "prompted: replies name helpers that the pool lacks: 'Oracle' ×1.",
    )


@pytest.mark.parametrize(
    ("selections", "unparsed", "unaffordable", "broken"),
    [(10, 5, 0, False), (10, 6, 0, True), (4, 2, 1, True), (1, 1, 0, True), (0, 0, 0, False), (0, 0, 1, True)],
)
def test_broken_is_more_than_half(selections: int, unparsed: int, unaffordable: int, broken: bool) -> None:
    found = SelectorHealth(selections=selections, unparsed=unparsed, unaffordable=unaffordable)
    assert found.broken is broken
    assert any("broken selector" in line for line in found.warnings("x")) is broken


def test_constant_choices_are_said_of_selectors_that_read_the_task() -> None:
    same = [episode([decision(0, "DCE", "TSA")], []) for _ in range(10)]
    found = health(*same)
    assert found.constant and (found.subsets, found.only_subset) == (1, "DCE+TSA")
    assert found.warnings("linear") == ("linear: chose the same subset (DCE+TSA) at all 10 selections.",)
    assert found.warnings("fixed", blind=True) == ()
    assert not health(*same[:9]).constant  # too few to say so
    assert not health(*same, episode([decision(0)], [])).constant


def test_nobody_chosen_at_every_decision_is_a_constant_choice_not_an_unparsed_one() -> None:
    found = health(*(episode([decision(0)], [row(0, truncated=False)]) for _ in range(10)))
    assert (found.unparsed, found.fell_back, found.only_subset, found.constant) == (0, 0, "none", True)


def test_a_fallback_with_helpers_is_no_fall_back_to_nothing() -> None:
    """The mitigation agent's reply is unreadable, and the set cover stands in."""
    found = health(episode([decision(0, "TSA", selection="unparsed")], [row(0, False, "mitigation", truncated=False)]))
    assert (found.unparsed, found.fell_back, found.subsets) == (1, 0, 0)
    assert "its fallback chose instead" in found.warnings("prompted")[0]


def test_records_that_do_not_say_it_are_read_by_their_calls() -> None:
    """Episodes of before: the row's ``parsed`` tells; whether a reply was cut is unknown, not 0."""
    old = [decision(0, selection=None), decision(1, selection=None)]
    unparsed = episode(old, [row(0, False)])
    assert selection_states(unparsed) == ["unparsed", "by_cadence"] and not is_choice(unparsed)
    found = health(unparsed, episode(old, [row(0), row(1, False)]))
    assert (found.selections, found.unparsed, found.truncated) == (3, 2, None)
    silent = episode([decision(t, *s, selection=None) for t, s in enumerate((["DCE"], ["DCE"], [], []))], [])
    assert selection_states(silent) == ["chosen", "by_cadence", "chosen", "by_cadence"]
    assert health(silent).truncated == 0  # no call was made, so none was cut
    assert selection_states(build("t", "x", decisions=())) == []


@pytest.mark.parametrize(
    ("states", "subset", "choice"),
    [
        (["unparsed", "by_cadence"], (), False),
        (["unaffordable", "unparsed"], (), False),
        (["unparsed", "chosen"], (), True),
        (["unparsed", "by_cadence"], ("TSA",), True),
        (["chosen"], (), True),
    ],
)
def test_what_is_left_without_a_choice_is_none(
    states: list[SelectionState], subset: tuple[str, ...], choice: bool
) -> None:
    made = [decision(turn, *subset, selection=state) for turn, state in enumerate(states)]
    assert is_choice(episode(made, [])) is choice


def test_records_without_the_new_fields_keep_their_bytes() -> None:
    """Hashes of committed episodes are those of their lines, which have none of the fields."""
    old = json.loads(episode([decision(0, selection=None)], [row(0)]).model_dump_json())
    assert "selection" not in old["decisions"][0]
    assert not {"truncated", "unknown_names"} & old["ledger"][0].keys()
    again = Episode.model_validate(old)
    assert content_hash(again.model_dump(mode="json")) == content_hash(old)
    new = episode([decision(0)], [row(0, truncated=False, unknown_names=("X",))])
    assert Episode.model_validate_json(new.model_dump_json()) == new
