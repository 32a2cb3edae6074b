"""Requests for information: which record they are about, when they are open, and what helpers say of them."""

from fama.dialogue.pending import asked_about, open_questions
from fama.helpers import dce, planner, tor, tsa
from tests.support.note_states import LOANS, TOOLS, Chat, tool

RECORD = {"loan_id": "L11", "title": "Moby Dick", "status": "active", "due": "2025-07-01"}


def test_a_question_is_about_the_one_record_tool_unless_its_words_name_something_else() -> None:
    chat = Chat().verified("I would like to know when Moby Dick is due.")
    assert [want.tool.name for want in asked_about(chat.state())] == ["get_loan"]
    hold = Chat().verified("I would like to know when my hold H5 arrives.")
    assert asked_about(hold.state()) == ()  # no tool shows holds
    two = Chat(tools=(*TOOLS, tool("get_fee", "Show one fee.", "fee_id"))).verified("Please tell me when it is due.")
    assert asked_about(two.state()) == ()  # either record could be meant
    assert asked_about(Chat().verified("Thanks. Let me know what you need.").state()) == ()


def test_a_question_is_led_to_its_record_and_answered_once() -> None:
    chat = Chat().verified("I would like to know when Moby Dick is due.")
    assert chat.note(tsa.build()) == "Suggested next tool: list_loans."
    chat.call("list_loans", LOANS, reader_id="R100")
    assert chat.note(tsa.build()) == 'Suggested next tool: get_loan with loan_id "L11".'
    chat.call("get_loan", RECORD, loan_id="L11")
    asked = 'The user asked: "I would like to know when Moby Dick is due". '
    assert chat.note(tsa.build()) == asked + "Suggested next tool: respond, to tell what get_loan shows."
    told = 'Suggested next tool: respond, to tell title "Moby Dick", status "active", due "2025-07-01".'
    assert chat.note(tor.build()) == told  # though another helper leads to the answer already
    chat.say("It is due on 1 July.").user("Thanks.")
    assert open_questions(chat.state()) == ()
    assert chat.note(tsa.build()) is None


def test_the_part_that_was_asked_about_brings_the_row_that_it_refers_to() -> None:
    record = {
        "loan_id": "L11",
        "parts": [{"name": "atlas", "box": "B1"}, {"name": "map", "box": "B2"}],
        "boxes": [{"id": "B1", "floor": "first"}, {"id": "B2", "floor": "third"}],
    }
    chat = Chat().verified("I would like to know where the map of loan L11 is.").call("get_loan", record, loan_id="L11")
    assert chat.note(tor.build()) == 'Suggested next tool: respond, to tell floor "third".'


def test_a_question_beside_a_change_comes_back_with_the_call_that_answers_it() -> None:
    chat = Chat().verified("Please renew loan L11. And I would like to know when loan L22 is due.")
    chat.call("list_loans", LOANS, reader_id="R100").call("renew_loan", {"status": "renewed"}, loan_id="L11")
    assert open_questions(chat.state()) != ()
    chat.say("Loan L11 is renewed.").user("Thanks.")
    asked = 'The user also asked: "I would like to know when loan L22 is due". '
    assert chat.note(planner.build()) == asked + 'Suggested next tool: get_loan with loan_id "L22".'
    unnamed = Chat().verified("Please renew loan L11. And I would like to know when another loan is due.")
    unnamed.call("list_loans", LOANS, reader_id="R100").call("renew_loan", {"status": "renewed"}, loan_id="L11")
    unnamed.say("Loan L11 is renewed.").user("Thanks.")
    assert str(unnamed.note(planner.build())).endswith("Suggested next tool: respond, to ask which loan.")


def test_a_record_of_somebody_else_is_refused_by_the_rule_or_without_one() -> None:
    other = {**RECORD, "reader_id": "R200"}
    chat = Chat().verified("I would like to know when loan L11 is due.").call("get_loan", other, loan_id="L11")
    assert chat.note(dce.build()) == dce.REFUSE.format(rule="this belongs to another reader.")
    assert chat.note(tor.build()) is None
    rule = "Speak only about loans of the verified reader."
    ruled = Chat(policy=f"1. First verify the reader by card PIN.\n2. {rule}\n")
    ruled.verified("I would like to know when loan L11 is due.").call("get_loan", other, loan_id="L11")
    assert ruled.note(dce.build()) == dce.REFUSE.format(rule=rule)
    mine = Chat().verified("I would like to know when loan L11 is due.")
    assert mine.call("get_loan", {**RECORD, "reader_id": "R100"}, loan_id="L11").note(dce.build()) is None
