from note_states import LOANS, TOOLS, Chat, tool

from fama.helpers.dce import build

REFUSE = "Suggested next tool: respond, to say that it is not possible: "
BROKEN = REFUSE + 'Only loans with status "active" can be renewed, at most 3 renewals.'


def test_states_the_rule_that_the_record_breaks_and_only_once() -> None:
    chat = Chat().verified("I want to renew loan L33.")
    assert chat.note(build()) is None
    chat.call("get_loan", {"loan_id": "L33", "status": "overdue", "renewals": 0}, loan_id="L33")
    assert chat.note(build()) == BROKEN
    chat.call("get_loan", {"loan_id": "L33", "status": "overdue", "renewals": 0}, loan_id="L33")
    assert chat.note(build()) is None


def test_is_silent_when_the_record_keeps_every_rule() -> None:
    chat = Chat().verified("I want to renew loan L11.")
    chat.call("get_loan", {"loan_id": "L11", "status": "active", "renewals": 1, "reserved": False}, loan_id="L11")
    assert chat.note(build()) is None


def test_compares_numbers_with_the_limit_of_their_unit() -> None:
    chat = Chat().verified("I want to renew loan L11.")
    chat.call("get_loan", {"loan_id": "L11", "status": "active", "renewals": 5, "reserved": False}, loan_id="L11")
    assert chat.note(build()) == BROKEN


def test_states_a_prohibition_whose_mark_is_set() -> None:
    chat = Chat().verified("Please renew loan L11.")
    chat.call("get_loan", {"loan_id": "L11", "status": "active", "renewals": 1, "reserved": True}, loan_id="L11")
    assert chat.note(build()) == REFUSE + "Loans marked reserved cannot be renewed."


def test_never_states_a_prohibition_that_nothing_speaks_for() -> None:
    chat = Chat().verified("Please renew loan L11.")
    chat.call("get_loan", {"loan_id": "L11", "status": "active", "renewals": 1}, loan_id="L11")
    assert chat.note(build()) is None


def test_is_silent_before_a_record_and_without_a_request() -> None:
    chat = Chat().verified("How many books may I take?")
    chat.call("get_loan", {"loan_id": "L33", "status": "overdue"}, loan_id="L33")
    assert chat.note(build()) is None
    chat = Chat().verified("I want to renew a loan.").call("list_loans", LOANS, reader_id="R100")
    assert chat.note(build()) is None


def test_is_silent_about_a_record_that_the_user_did_not_mean() -> None:
    overdue = {"loan_id": "L33", "title": "Emma", "status": "overdue"}
    chat = Chat().verified("I want to renew Dracula.").call("list_loans", LOANS, reader_id="R100")
    assert chat.call("get_loan", overdue, loan_id="L33").note(build()) is None
    chat = Chat().verified("I want to renew a loan.").call("list_loans", LOANS, reader_id="R100")
    assert chat.call("get_loan", overdue, loan_id="L33").note(build()) is None
    chat = Chat().verified("I want to renew Emma.").call("list_loans", LOANS, reader_id="R100")
    assert chat.call("get_loan", overdue, loan_id="L33").note(build()) == BROKEN


def test_a_rule_that_says_what_to_ask_leads_to_asking() -> None:
    chat = Chat().verified("Please move my hold H5 to another branch.")
    chat.call("get_hold", {"hold_id": "H5", "status": "ready"}, hold_id="H5")
    assert chat.note(build()) is None  # no such tool here
    tools = (*TOOLS, tool("get_hold", "Show one hold.", "hold_id"))
    chat = Chat(tools=tools).verified("Please move my hold H5 to another branch.")
    chat.call("get_hold", {"hold_id": "H5", "status": "ready"}, hold_id="H5")
    rule = "Rule: Ask for the pickup branch before you move a hold."
    assert chat.note(build()) == f'{rule} Suggested next tool: respond, to ask "What is the pickup branch?".'


def test_a_rule_about_what_can_be_done_is_no_advice_to_look_something_up() -> None:
    """``get`` in "can … get a new date" is no look-up."""
    rule = 'Only loans with status "active" can be renewed or get a new date.'
    chat = Chat(policy=f"1. First verify the reader by card PIN.\n2. {rule}\n").verified("I want to renew loan L33.")
    chat.call("get_loan", {"loan_id": "L33", "status": "overdue"}, loan_id="L33")
    assert chat.note(build()) == REFUSE + rule
