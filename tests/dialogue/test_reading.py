import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.dialogue.calls import calls
from fama.dialogue.language import clauses, meaning, meanings, one_slip, sentences, stem, words, words_at_end
from fama.dialogue.objects import listed_table
from fama.dialogue.pending import change_ahead
from fama.dialogue.policy import rule_verdict, rules
from fama.dialogue.requests import names_change, open_wants, turns_down, wants
from fama.dialogue.shown_records import known_words
from fama.dialogue.tools import view
from fama.dialogue.turns import agrees, consents, corrects
from fama.dialogue.values import is_known, known_values, of_user
from fama.episodes.records import ToolSpec
from tests.support.note_states import LOANS, TOOLS, Chat, tool


def test_a_broken_schema_is_an_empty_one() -> None:
    spec = tool("get_a", "x").model_copy(update={"parameters": "not json"})
    assert view(spec).required == ()


@given(st.text(" \n\u00a0\x1c-_'a\u00e97", max_size=60) | st.text(max_size=60), st.integers(1, 6))
def test_the_last_words_are_those_of_all_words(text: str, count: int) -> None:
    assert words_at_end(text, count) == words(text)[-count:]


def test_stems_and_meanings() -> None:
    assert {stem(word) for word in ("cancel", "cancels", "cancelled", "cancelling", "cancellation")} == {"cancel"}
    assert stem("changed") == stem("change") == stem("changing")
    assert meaning("swapped") == meaning("exchange")
    assert "return" in meanings("I'd like to send it all back")
    assert meanings("the and of it") == frozenset()


def test_sentences_lose_bullets_and_numbers() -> None:
    assert sentences("# Title\n1. One rule. Two!\n- Three; four\n\n2.") == [
        "Title",
        "One rule.",
        "Two!",
        "Three",
        "four",
    ]
    assert clauses("Renew it, and then cancel that.") == ["Renew it", "cancel that"]


@pytest.mark.parametrize(
    ("left", "right", "slip"),
    [
        ("renew", "reenw", True),
        ("renew", "rene", False),
        ("cancel", "cance", True),
        ("renew", "renews", True),
        ("renew", "renaw", True),
        ("trad", "tard", True),
        ("trad", "brad", False),
        ("cat", "act", False),
        ("renew", "renew", False),
        ("renew", "review", False),
    ],
)
def test_one_slip(left: str, right: str, slip: bool) -> None:
    assert one_slip(left, right) == slip == one_slip(right, left)


def test_a_yes_with_a_but_is_no_yes() -> None:
    assert agrees("Yes, please go ahead.")
    assert not agrees("Yes, but wait.")
    assert not agrees("Loan L11.")
    assert corrects("Sorry, I meant the other one.")
    assert not corrects("Sorry, I don't have it.")


def test_calls_are_paired_with_results_and_judged() -> None:
    chat = Chat().user("x").call("get_loan", {"error": "try again later"}, loan_id="L1")
    chat.call("get_loan", "Error: no such loan", loan_id="L2").call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert [(call.busy, call.failed) for call in calls(chat.state())] == [(True, True), (False, True), (False, False)]


def test_requests_are_found_by_verb_object_choice_and_slip() -> None:
    def asked(text: str) -> list[tuple[str, bool]]:
        return [(want.tool.name, bool(want.rivals)) for want in wants(Chat().user(text).state())]

    assert asked("Please renew my loan.") == [("renew_loan", False)]
    assert asked("Pelase reenw my loan.") == [("renew_loan", False)]
    assert asked("I don't want to renew it.") == []
    assert asked("Is my loan overdue?") == []
    assert asked("I renewed my loan yesterday.") == []
    assert asked("I need another branch for it.") == [("move_hold", False)]
    assert asked("Cancel my hold and renew my loan.") == [("cancel_hold", False), ("renew_loan", False)]


def test_a_correction_replaces_a_request() -> None:
    chat = Chat().user("Please renew my loan.").say("Which?").user("Actually, cancel my hold.")
    assert [want.tool.name for want in open_wants(chat.state())] == ["cancel_hold"]


def test_change_ahead_needs_identity_and_a_look_up() -> None:
    chat = Chat().user("Renew loan L11.")
    assert not change_ahead(chat.state())
    chat = Chat().verified("Renew loan L11.")
    assert not change_ahead(chat.state())
    chat.call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert change_ahead(chat.state())
    chat.call("renew_loan", {"status": "renewed"}, loan_id="L11")
    assert not change_ahead(chat.state())


def test_values_come_from_the_user_and_from_tools() -> None:
    chat = Chat().verified("Renew loan L22.").call("list_loans", LOANS, reader_id="R100")
    show, check = view(TOOLS[3]), view(TOOLS[1])
    found = known_values("loan_id", show, chat.state())
    assert [(value.value, value.by_user) for value in found][:2] == [("L22", True), ("L11", False)]
    assert [value.value for value in known_values("reader_id", check, chat.state())] == ["R100"]
    assert of_user("email", view(TOOLS[0]), chat.state()) == ["ada@mail.example"]
    assert is_known("pin", check, chat.state())
    assert not is_known("branch", view(TOOLS[6]), chat.state())


def test_ids_of_lists_and_plain_results_count() -> None:
    chat = Chat().user("x").call("find_reader_id", "ada_7", email="a@b.example")
    chat.call("get_reader", {"loans": ["#L100", "#L200"], "holds": [{"id": "H1"}, {"id": "H2"}]}, reader_id="ada_7")
    for parameter, values in (("loan_id", ["#L100", "#L200"]), ("hold_id", ["H1", "H2"]), ("reader_id", ["ada_7"])):
        spec = view(tool("get_it", "Get.", parameter))
        assert [found.value for found in known_values(parameter, spec, chat.state())] == values


def test_rules_that_lean_on_others_are_left_out() -> None:
    texts = [
        rule.text
        for rule in rules("Cancel pending ones only. Otherwise refuse the whole request. # A\nThis is once only.")
    ]
    assert texts == ["Cancel pending ones only."]


def test_a_field_set_against_another_objects_breaks_no_rule() -> None:
    swap, only = rules("Swap only for the same title in another language. Swap only loans with status active.")
    seen = {"language": frozenset({"dutch", "greek"}), "status": frozenset({"overdue"})}
    assert rule_verdict(swap, [{"language": "dutch"}], seen) == "open"
    assert rule_verdict(only, [{"status": "overdue"}], seen) == "broken"
    (shelf,) = rules("Lend only what is in stock.")
    assert rule_verdict(shelf, [{"stock": 0}], {}) == "broken" and rule_verdict(shelf, [{"stock": 2}], {}) == "open"


def test_a_value_that_a_longer_one_holds_is_not_named_by_it() -> None:
    (never,) = rules("Basic economy seats cannot be changed.")
    seen = {"cabin": frozenset({"economy", "basic_economy"})}
    assert rule_verdict(never, [{"cabin": "economy"}], seen) == "open"
    assert rule_verdict(never, [{"cabin": "basic_economy"}], seen) == "broken"
    (both,) = rules("Basic economy and economy seats cannot be changed.")
    assert rule_verdict(both, [{"cabin": "economy"}], seen) == "broken"


def test_the_words_of_a_value_stand_in_a_row() -> None:
    (rule,) = rules("A basic seat in economy cannot be changed.")
    assert rule_verdict(rule, [{"cabin": "basic_economy"}], {}) == "open"


def test_values_that_an_enumeration_allows_are_known() -> None:
    chat = Chat(tools=(*TOOLS, tool("set_state", "Set a state.", "loan_id", state=["lost", "long_lost"])))
    assert known_words((), chat.state())["state"] == {"lost", "long_lost"}


ID_TOOLS = (
    tool("find_reader_id", "Find a reader's id.", "reader", "postcode"),
    tool("get_reader", "Show a reader.", "reader_id"),
    tool("get_loan", "Show a loan.", "loan_id"),
)


def _asked_for_loan(answer: str) -> Chat:
    chat = Chat(tools=ID_TOOLS).user("I want to renew a loan.")
    return chat.say("Your name and postcode, please, so that I find your loan?").user(answer)


def test_a_number_given_as_something_else_is_no_id() -> None:
    chat = _asked_for_loan("Ada Ng, 19122.")
    assert of_user("loan_id", view(ID_TOOLS[2]), chat.state()) == ["19122"]
    chat.call("find_reader_id", "ada_7", reader="Ada Ng", postcode="19122")
    assert of_user("loan_id", view(ID_TOOLS[2]), chat.state()) == []


@pytest.mark.parametrize("other", ["19122", "24-hour", "ada_ng_7"])
def test_an_id_that_only_the_agent_named_is_made_of_the_signs_of_those_shown(other: str) -> None:
    chat = _asked_for_loan(f"{other} and L4M2X.")
    chat.call("get_reader", {"loans": ["L10A1", "77LM2"]}, reader_id="ada_7")
    assert of_user("loan_id", view(ID_TOOLS[2]), chat.state()) == ["L4M2X"]
    chat.user(f"It is loan {other}.")
    assert other in of_user("loan_id", view(ID_TOOLS[2]), chat.state())


BOOKING = (
    tool("book_room", "Book a room. The key will be sent to the guest.", "hotel", "origin"),
    tool("cancel_room", "Cancel a room. The fee will be refunded, and a note be added to the bill.", "room_id"),
)


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("I'd like the refund to go to my card", []),
        ("Please tell me if it included other things", []),
        ("the origin is from New York", []),
        ("I'd like a new origin", ["book_room"]),
        ("Please cancel it", ["cancel_room"]),
    ],
)
def test_side_words_of_a_description_and_names_of_places_ask_for_nothing(said: str, asked: list[str]) -> None:
    assert [want.tool.name for want in wants(Chat(tools=BOOKING).user(said).state())] == asked


def test_tables_survive_depth_and_odd_data() -> None:
    deep: list[object] = []
    for _ in range(60):
        deep = [deep]
    assert listed_table(json.dumps(deep)) == ()
    assert listed_table(None) == listed_table("x") == listed_table("3") == ()
    assert listed_table('[{"id": "A1", "size": 3}]') == listed_table('[{"id": "A1", "size": 3}]')


@pytest.mark.parametrize(
    ("text", "yes", "consent"),
    [
        ("Yes, please go ahead.", True, True),
        ("Yes, but wait.", False, True),
        ("Please don’t go ahead.", False, True),
        ("I'd like the red one.", False, True),
        ("No, thanks.", False, False),
        ("Hm, how long does it take?", False, False),
    ],
)
def test_a_helper_wants_a_clear_yes_and_a_detector_any_consent(text: str, yes: bool, consent: bool) -> None:
    assert (agrees(text), consents(text)) == (yes, consent)


@pytest.mark.parametrize(
    ("sentence", "refused"),
    [
        ("We cannot cancel this loan.", True),
        ("That is against our policy.", True),
        ("If it is reserved, we cannot renew it.", False),
        ("Are you unable to return it?", False),
        ("I cannot find it.", False),
    ],
)
def test_a_flat_refusal_names_a_change_and_no_condition(sentence: str, refused: bool) -> None:
    assert turns_down(sentence) is refused


def test_changes_are_named_by_their_verbs() -> None:
    assert names_change("Please reschedule my visit") and names_change("I upgraded it")
    assert not names_change("Where is my parcel?")


@pytest.mark.parametrize("part", ["properties", "required"])
@pytest.mark.parametrize("value", [None, [], {}, "x", 3])
def test_a_schema_with_a_part_of_another_type_is_read(part: str, value: object) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], part: value}
    seen = view(ToolSpec(name="cancel_a", description="Cancel it.", parameters=json.dumps(schema)))
    assert seen.parameters == (("a",) if part == "required" else ())
    assert seen.required == (("a",) if part == "properties" else ())
