"""The decision behind the call that spoilt an episode, on hand-worked dialogues; every step is counted by hand."""

from fama.diagnosis.detectors.base import DETECTORS
from fama.diagnosis.orchestrator import blame_of
from fama.diagnosis.trace import Trace
from fama.episodes.records import Episode, Evidence
from tests.support.diagnosis_cases import RETURN, agent, call, episode, gold, user

CANCEL, ORDERS = "cancel_pending_order", "get_order_details"
ASKED = user("Please cancel my order.")


def found(example: Episode, source: str, detector: str = "gold") -> list[Evidence]:
    return [item for item in DETECTORS.load(detector)(Trace.of(example)) if item.source == source]


def test_a_forbidden_change_counts_from_the_words_that_offered_it() -> None:
    example = episode(
        ASKED,  # 1
        agent("Which order would you like to cancel, #W1001 or #W1002?"),  # 2: names both
        user("#W1001."),  # 3
        call(ORDERS, {"order_id": "#W1001", "status": "pending"}, order_id="#W1001"),  # 4, 5
        agent("I can cancel order #W1001. Would you like to proceed?"),  # 6
        user("Is that final?"),  # 7
        agent("Yes. Shall I cancel it now?"),  # 8
        user("Yes."),  # 9
        call(CANCEL, {"status": "cancelled"}, order_id="#W1001"),  # 10
        actions=(),
    )
    (item,) = found(example, "gold:forbidden")
    assert item.step == 6


def test_a_change_without_a_word_before_counts_from_its_call() -> None:
    example = episode(ASKED, call(CANCEL, {"status": "cancelled"}, order_id="#W1001"), actions=())
    (item,) = found(example, "gold:forbidden")
    assert item.step == 2


def test_a_wrong_value_counts_from_the_first_words_that_go_by_it() -> None:
    orders = {"orders": [{"order_id": "#W1001", "items": ["4001"]}, {"order_id": "#W1002", "items": ["4002"]}]}
    example = episode(
        user("I want to return the lamp."),  # 1
        call("list_orders", orders),  # 2, 3
        agent("You have #W1001 and #W1002."),  # 4: a list decides nothing
        user("Look yourself."),  # 5
        call(ORDERS, {"order_id": "#W1002"}, order_id="#W1002"),  # 6, 7: neither does a look-up
        agent("The lamp is in #W1002."),  # 8
        user("Good."),  # 9
        agent("Shall I return item 4002 of #W1002?"),  # 10
        user("Yes."),  # 11
        call(RETURN, "ok", order_id="#W1002", item_ids=["4002"]),  # 12
        actions=(gold(RETURN, order_id="#W1001", item_ids=["4002"]),),
    )
    (item,) = found(example, "gold:wrong_row")
    assert item.step == 8


def test_a_value_that_another_change_needs_was_mixed_up_by_the_call_alone() -> None:
    rows = {"items": [{"item_id": "4001"}, {"item_id": "4002"}]}
    example = episode(
        user("Return both orders' lamps."),  # 1
        call("list_items", rows),  # 2, 3
        agent("Item 4002 goes back from #W1002. Right?"),  # 4: true of the other order
        user("Yes."),  # 5
        call(RETURN, "ok", order_id="#W1001", item_ids=["4002"]),  # 6, 7
        call(RETURN, "ok", order_id="#W1002", item_ids=["4002"]),  # 8
        actions=(
            gold(RETURN, order_id="#W1001", item_ids=["4001"]),
            gold(RETURN, order_id="#W1002", item_ids=["4002"]),
        ),
    )
    (item,) = found(example, "gold:wrong_row")
    assert item.step == 6


def required(*messages: object, outputs: tuple[str, ...]) -> Episode:
    return episode(*messages, actions=()).model_copy(update={"required_outputs": outputs})  # type: ignore[arg-type]


def test_a_required_value_denied_although_an_output_held_it_is_told_wrong() -> None:
    example = required(
        user("Where is my parcel?"),  # 1
        call(ORDERS, {"order_id": "#W1001", "tracking_id": "286422"}, order_id="#W1001"),  # 2, 3
        agent("It is on its way."),  # 4
        user("By the way, what is the tracking number of it?"),  # 5
        agent("Cancelled orders have no such number."),  # 6
        user("Thanks."),  # 7
        agent("Bye."),  # 8
        outputs=("286422",),
    )
    (item,) = found(example, "gold:told_wrong")
    assert (item.category, item.step) == ("CM", 6)
    assert (
        found(
            required(*[m for m in example.messages][:4], agent("It is 286422."), outputs=("286422",)), "gold:told_wrong"
        )
        == []
    )


def test_a_number_that_no_output_has_was_computed_where_it_was_told_or_reckoned() -> None:
    balance = {"cards": [{"amount": 500}, {"amount": 250}]}
    told = required(
        user("How much have I?"),  # 1
        call("get_user_details", balance, user_id="u1"),  # 2, 3
        agent("The first holds $500."),  # 4
        user("In all?"),  # 5
        agent("Together that is $1,500."),  # 6
        outputs=("750",),
    )
    (item,) = found(told, "gold:computed")
    assert (item.category, item.step) == ("WRCO", 6)
    reckoned = required(
        user("How much have I?"),  # 1
        call("get_user_details", balance, user_id="u1"),  # 2, 3
        call("calculate", "1500.0", expression="500 + 500 + 500"),  # 4, 5
        agent("Together that is $1,500."),  # 6
        outputs=("750",),
    )
    assert [item.step for item in found(reckoned, "gold:computed")] == [4]


def test_a_denial_comes_before_what_was_never_said() -> None:
    example = required(
        user("What is the sum of my cards?"),
        agent("I cannot provide information about your cards."),
        user("Pity."),
        agent("Anything else?"),
        outputs=("750",),
    )
    (item,) = found(example, "gold:denied")
    assert (item.category, item.step) == ("IFU", 2)


def test_calls_to_the_end_that_bring_nothing_count_from_the_first_repetition() -> None:
    think = [call("think", "", thought=f"I should ask, {number}") for number in range(4)]
    example = episode(user("Hi"), call("find_user", "Error: user not found", user_id="u9"), *think)
    (item,) = found(example, "loop:stalled", "loops")
    assert item.step == 6  # 2 the look-up, 4 the first thought, 6 the second
    spoke = episode(user("Hi"), *think, agent("Who are you?"), user("Mia."))
    assert found(spoke, "loop:stalled", "loops") == []


def test_a_user_that_talks_on_until_the_limit_is_to_blame_after_the_last_step_of_the_reference() -> None:
    asks = [part for number in range(11) for part in (user(f"Verify it again, {number}."), agent("It is done."))]
    calls = [call(ORDERS, {"n": number}, order_id=f"#W{number}00") for number in range(3)]
    example = episode(
        user("Cancel #W1001."),  # 1
        *calls,  # 2 to 7
        call(CANCEL, "ok", order_id="#W1001"),  # 8, 9
        *asks,  # 10 the first
        actions=(gold(CANCEL, order_id="#W1001"),),
    )
    example = example.model_copy(update={"outcome": example.outcome.model_copy(update={"reason": "max_steps"})})
    items = found(example, "user:endless", "user")
    assert [item.step for item in items] == [10]
    assert blame_of(Trace.of(example), items) == "user"
    ended = example.model_copy(update={"outcome": example.outcome.model_copy(update={"reason": "done"})})
    assert found(ended, "user:endless", "user") == []


def test_what_the_instruction_has_and_no_turn_says_is_found() -> None:
    example = episode(
        user("Hello."),
        agent("Your zip code?"),
        user("85033."),
        agent("I find nobody."),
        user("Bye."),
        actions=(gold("find_user", zip="32169"),),
    )
    told = example.model_copy(update={"instruction": "You moved from Florida (32169) to Phoenix (85033)."})
    assert [item.step for item in found(told, "user:unsaid", "user")] == [3]
    other = example.model_copy(update={"instruction": "You live in Phoenix (85033)."})
    assert found(other, "user:unsaid", "user") == []


def test_an_amount_with_a_decimal_comma_stands_in_the_output_that_has_it() -> None:
    told = required(
        user("How much have I?"),
        call("get_user_details", {"balance": 12.5}, user_id="u1"),
        agent("It is € 12,50."),
        outputs=("750",),
    )
    assert found(told, "gold:computed") == []
