"""Users who lead elsewhere than their instruction, on hand-worked dialogues; every step is counted by hand."""

from fama.diagnosis.detectors.base import DETECTORS
from fama.diagnosis.detectors.wishes import detect
from fama.diagnosis.orchestrator import blame_of, by_rule, fault_of_user
from fama.diagnosis.taxonomy import load_taxonomy
from fama.diagnosis.trace import Trace
from fama.episodes.records import Episode, Evidence, Message
from tests.support.diagnosis_cases import agent, call, episode, gold, user

EXCHANGE = "exchange_delivered_order_items"
LAMPS = {
    "variants": {
        "9001": {"item_id": "9001", "options": {"power": "battery", "color": "white"}, "available": True},
        "9002": {"item_id": "9002", "options": {"power": "mains", "color": "white"}, "available": True},
        "9003": {"item_id": "9003", "options": {"power": "mains", "color": "red"}, "available": False},
    }
}
OFFER = agent("There are 9001 (white) and 9002 (white, mains). Which one?")
RIGHT = (gold(EXCHANGE, order_id="#W1", item_ids=["4001"], new_item_ids=["9001"]),)


def exchanged(item: str, *parts: Message | list[Message], told: str = "You want another lamp.") -> Episode:
    return episode(
        user("I want another lamp for #W1."),  # 1
        call("get_product_details", LAMPS, product_id="7"),  # 2, 3
        *parts,  # 4
        call(EXCHANGE, "ok", order_id="#W1", item_ids=["4001"], new_item_ids=[item]),
        actions=RIGHT,
        instruction=told,
    )


def found(example: Episode, source: str) -> list[Evidence]:
    return [item for item in detect(Trace.of(example)) if item.source == source]


def test_a_user_who_takes_another_one_of_those_offered_is_to_blame() -> None:
    example = exchanged("9002", OFFER, user("9002, please."), agent("9002, right?"), user("Yes."))
    (item,) = found(example, "user:chose")
    assert item.step == 5
    merged = by_rule(Trace.of(example), [e for name in ("gold", "wishes") for e in of(example, name)], load_taxonomy())
    assert (merged.blame, merged.step, merged.primary) == ("user", 5, ("WRCO",))
    assert merged.rationale.startswith("the user (user:chose at message 5)")


def of(example: Episode, name: str) -> list[Evidence]:
    return list(DETECTORS.load(name)(Trace.of(example)))


def test_no_choice_without_the_right_one_in_the_offer_and_none_where_the_agent_chose() -> None:
    alone = exchanged("9002", agent("There is 9002."), user("9002, please."))
    assert found(alone, "user:chose") == []
    advised = exchanged("9002", OFFER, user("You choose."), agent("9002, right?"), user("Yes."))
    assert found(advised, "user:chose") == []
    told = exchanged("9002", OFFER, user("9002, please."), told="You want 9002.")
    assert found(told, "user:chose") == []


def test_an_offer_that_the_outputs_rule_out_is_the_agents_fault() -> None:
    offer = agent("There are 9001 and 9003, both available.")
    assert found(exchanged("9003", offer, user("9003, please.")), "user:chose") == []


def test_another_best_than_the_instructions_is_a_choice_too() -> None:
    parts = (OFFER, user("The earliest one."), agent("9002, right?"), user("Yes."))
    assert [e.step for e in found(exchanged("9002", *parts, told="You want the fastest."), "user:chose")] == [5]
    assert found(exchanged("9002", *parts, told="You want the earliest."), "user:chose") == []


def test_a_preference_of_the_instruction_that_was_never_said() -> None:
    parts = (agent("9002 is white. Shall I?"), user("Yes."))
    told = "You prefer battery to mains."
    assert [e.step for e in found(exchanged("9002", *parts, told=told), "user:silent")] == [5]
    said = (agent("Which?"), user("One with a battery."), *parts)
    assert found(exchanged("9002", *said, told=told), "user:silent") == []
    assert found(exchanged("9002", *parts), "user:silent") == []


def test_a_change_of_a_kind_that_the_instruction_does_not_know() -> None:
    def asked(words: str, told: str) -> Episode:
        return episode(
            user("I want to exchange the lamp."),  # 1
            agent("You may book another visit, too."),  # 2
            user(words),  # 3
            call("book_visit", "ok", visit_id="V1"),  # 4, 5
            actions=(gold(EXCHANGE, order_id="#W1"),),
            domain="clinic",
            benchmark="none",
            instruction=told,
        )

    (item,) = found(asked("Then book one for me.", "You want another lamp."), "user:asked")
    assert item.step == 3
    assert found(asked("Then book one for me.", "You want another lamp and to book a visit."), "user:asked") == []
    assert found(asked("Yes, book it.", "You want another lamp."), "user:asked") == []


def test_a_yes_that_never_comes() -> None:
    ask = agent('Reply "Confirm" to proceed.')

    def talk(*answers: str) -> Episode:
        parts = [part for words in answers for part in (ask, user(words))]
        return episode(user("Pay my bill."), *parts, actions=RIGHT, instruction="Pay the bill.")

    asks = ("Verify it.", "What is this about?", 'Say "yes" first.', "Confirm that all is right.")
    (item,) = found(talk(*asks), "user:withheld")
    assert item.step == 3  # 2 asks, 3 answers first
    assert found(talk(*asks[:3]), "user:withheld") == []
    assert found(talk(*asks[:3], "Yes.", asks[3]), "user:withheld") == []


def test_what_the_user_was_asked_for_and_kept_back() -> None:
    def asked(question: str, answer: str) -> list[Evidence]:
        example = episode(
            user("Cancel my booking."),  # 1
            agent(question),  # 2
            user(answer),  # 3
            agent("I cannot go on without it."),
            user("Bye."),
            actions=(gold("cancel_reservation", user_id="mia_li_1234"),),
            domain="airline",
            instruction="You are mia_li_1234 and want to cancel.",
        )
        return [e for e in of(example, "user") if e.source == "user:kept_back"]

    assert [e.step for e in asked("What is your user ID?", "I do not have it at hand.")] == [3]
    assert asked("What is your order?", "I do not have it at hand.") == []  # the agent never asked for it
    assert asked("What is your user ID?", "It is ann_li_5678.") == []  # another one of that form


def test_a_year_that_nobody_told_the_user() -> None:
    def flown(day: str, told: str) -> list[Evidence]:
        wanted = gold("book_reservation", user_id="u1", date="2024-05-26")
        example = episode(user("A flight."), agent("When?"), user(day), actions=(wanted,), instruction=told)
        return [e for e in of(example, "user") if e.source == "user:invented"]

    (item,) = flown("On 2023-05-26.", "You fly on May 26.")
    assert item.step == 3
    assert flown("On 2024-05-26.", "You fly on May 26.") == []
    assert flown("On 2023-05-26.", "You fly on 2023-05-26.") == []


def test_an_earlier_fault_of_the_agent_stays_the_agents_but_the_offer_itself_does_not_count() -> None:
    trace = Trace.of(episode(user("Hi"), agent("Hello"), user("Bye")))

    def item(source: str, step: int) -> Evidence:
        return Evidence(source=source, category="CM", step=step, quote="q")

    chose = item("user:chose", 7)
    assert fault_of_user(trace, (item("gold:wrong_row", 6), chose)) == chose
    assert fault_of_user(trace, (item("gold:wrong_row", 4), chose)) is None
    assert blame_of(trace, (item("gold:wrong_row", 4), chose)) == "agent"
    assert blame_of(trace, (item("gold:missing", 4), chose)) == "user"  # a change never made may come of it
    assert blame_of(trace, (item("executed:repair", 2), chose)) == "agent"
