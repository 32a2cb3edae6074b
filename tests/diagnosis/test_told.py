"""What was told otherwise or not at all, on hand-worked dialogues; every step and number is counted by hand."""

import pytest

from fama.diagnosis.detectors.base import DETECTORS
from fama.diagnosis.detectors.told import counts_of, miscomputed
from fama.diagnosis.trace import Trace
from fama.episodes.records import Episode, Evidence, Message
from tests.support.diagnosis_cases import agent, call, episode, gold, user

SHIRTS = {
    "variants": {
        "9001": {"item_id": "9001", "available": True, "price": 20.25},
        "9002": {"item_id": "9002", "available": True, "price": 21.75},
        "9003": {"item_id": "9003", "available": True, "price": 22.0},
        "9004": {"item_id": "9004", "available": False, "price": 23.0},
    }
}
HOW_MANY = user("How many t-shirt options do you have?")


def required(*parts: Message | list[Message], outputs: tuple[str, ...]) -> Episode:
    return episode(*parts, actions=()).model_copy(update={"required_outputs": outputs})


def found(example: Episode, source: str) -> list[Evidence]:
    return [item for item in DETECTORS.load("gold")(Trace.of(example)) if item.source == source]


def test_rows_are_counted_all_of_them_and_those_with_a_yes() -> None:
    assert counts_of(None) == frozenset()
    text = next(m.content for m in call("get", SHIRTS) if m.role == "tool")
    assert counts_of(text) == {3, 4}


def test_another_count_than_the_outputs_is_told_wrong() -> None:
    example = required(
        HOW_MANY,  # 1
        call("get_product_details", SHIRTS, product_id="7"),  # 2, 3
        agent("Product 7 comes in 2 sizes. There are 4 t-shirt options."),  # 4
        user("Thanks."),
        agent("Anything else?"),  # 6
        outputs=("3",),
    )
    (item,) = found(example, "gold:miscounted")
    assert (item.category, item.step) == ("WRCO", 4) and item.quote.startswith("4 told, 3 rows")
    assert found(example, "gold:uncounted") == []


def test_a_count_that_nobody_fetched_is_left_out_at_the_first_answer() -> None:
    example = required(
        HOW_MANY,  # 1
        call("list_all_product_types", {"T-Shirt": "7"}),  # 2, 3
        agent("We sell 50 kinds of products, t-shirts among them."),  # 4
        user("Thanks."),
        agent("Anything else?"),  # 6
        outputs=("3",),
    )
    (item,) = found(example, "gold:uncounted")
    assert (item.category, item.step) == ("IFU", 4)
    assert found(example, "gold:miscounted") == []


def test_what_was_computed_rightly_is_passed_over() -> None:
    example = required(
        user("How much is it in all, and how much more than the cheap one?"),  # 1
        call("get_product_details", SHIRTS, product_id="7"),  # 2, 3
        agent("The first two are $42.00, $1.50 apart."),  # 4: 20.25 + 21.75, told as it had to be; 21.75 - 20.25
        agent("All three together are $65.00."),  # 5: 64.00
        outputs=("42.00", "64.00"),
    )
    (item,) = found(example, "gold:computed")
    assert (item.category, item.step) == ("WRCO", 5) and item.quote.startswith("$65.00")


def test_a_difference_to_the_cent_is_computed_rightly() -> None:
    parts = (user("The difference?"), call("get", {"prices": [532.58, 514.72]}), agent("It is $17.86."))
    assert miscomputed(Trace.of(episode(*parts))) is None
    wrong = (*parts[:2], agent("It is $17.68."))
    assert miscomputed(Trace.of(episode(*wrong))) == (4, "$17.68")


def test_a_long_id_is_never_computed() -> None:
    parts = (user("The tracking number?"), call("get", {"price": 20.0}), agent("You pay $50."), agent("Bye."))
    assert found(required(*parts, outputs=("286422338955",)), "gold:computed") == []
    assert len(found(required(*parts, outputs=("70",)), "gold:computed")) == 1


@pytest.mark.parametrize("told, step", [("I cannot provide balances.", 2), ("The lamp at $20 is not available.", None)])
def test_a_denial_speaks_of_no_single_price(told: str, step: int | None) -> None:
    example = required(user("The sum of my cards?"), agent(told), user("Pity."), agent("Bye."), outputs=("750",))
    assert [item.step for item in found(example, "gold:denied")] == ([] if step is None else [step])


def test_a_wrong_price_explains_a_change_that_the_user_would_have_refused() -> None:
    parts = (
        user("Upgrade me if it is cheap."),  # 1
        call("get_reservation", {"prices": [300, 900]}, reservation_id="R1"),  # 2, 3
        agent("The upgrade costs $495. Shall I?"),  # 4
        user("Yes."),  # 5
        call("update_reservation_flights", "ok", reservation_id="R1"),  # 6, 7
    )
    example = episode(*parts, actions=(), domain="airline", instruction="Go ahead if it costs less than $400.")
    (item,) = found(example, "gold:priced")
    assert (item.category, item.step) == ("WRCO", 4)
    assert found(example, "gold:forbidden") == []
    free = example.model_copy(update={"instruction": "Upgrade in any case."})
    assert found(free, "gold:priced") == [] and [e.step for e in found(free, "gold:forbidden")] == [4]
    wanted = example.model_copy(update={"gold_actions": (gold("book_reservation", user_id="u1"),)})
    assert found(wanted, "gold:priced") == []
