"""What was said not to exist and never looked up, on hand-worked dialogues; every step is counted by hand."""

from fama.diagnosis.detectors.unseen import detect
from fama.diagnosis.trace import Trace
from fama.episodes.records import Episode, Evidence, Message
from tests.support.diagnosis_cases import RETURN, agent, call, episode, gold, user

ORDERS = "get_order_details"
WANTED = (gold(RETURN, order_id="#W1002", item_ids=["4002"]),)


def found(*parts: Message | list[Message]) -> list[Evidence]:
    return list(detect(Trace.of(example(*parts))))


def example(*parts: Message | list[Message]) -> Episode:
    return episode(
        user("Please return the lamp."),  # 1
        call("get_user_details", {"user_id": "mia", "orders": ["#W1001", "#W1002"]}, user_id="mia"),  # 2, 3
        call(ORDERS, {"order_id": "#W1001", "items": [{"item_id": "4001"}]}, order_id="#W1001"),  # 4, 5
        *parts,  # 6
        actions=WANTED,
    )


def test_a_denial_of_what_was_never_looked_up_is_unfounded() -> None:
    (item,) = found(agent("I checked everything. None of your orders contain a lamp."), user("Odd."))
    assert (item.source, item.category, item.step) == ("gold:unseen", "CM", 6)
    assert "4002" in item.quote


def test_a_denial_of_what_an_output_showed_is_not_unseen() -> None:
    seen = call(ORDERS, {"order_id": "#W1002", "items": [{"item_id": "4002"}]}, order_id="#W1002")  # 6, 7
    assert found(seen, agent("None of your orders contain a lamp."), user("Odd.")) == []


def test_what_is_said_of_one_object_that_was_looked_at_may_be_true() -> None:
    assert found(agent("I don't see a lamp in order #W1001."), user("Odd.")) == []


def test_a_failed_or_empty_look_up_speaks_for_the_denial() -> None:
    for result in ("Error: order not found", "[]"):
        assert found(call(ORDERS, result, order_id="#W9"), agent("I could not find any order with a lamp.")) == []


def test_questions_and_what_was_used_later_are_no_denials() -> None:
    assert found(agent("I don't see a lamp, do you have another order?"), user("No.")) == []
    used = call(RETURN, "Error: not delivered", order_id="#W1002", item_ids=["4002"])
    assert found(agent("I don't see a lamp in your orders."), user("Look again."), used) == []


def test_without_a_reference_nothing_is_known_to_be_needed() -> None:
    hidden = example(agent("None of your orders contain a lamp.")).model_copy(update={"gold_actions": None})
    assert list(detect(Trace.of(hidden))) == []
