from fama.helpers.dce import build
from tests.support.note_states import LOANS, TOOLS, Chat, tool

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


def test_states_that_share_a_verb_elsewhere_are_told_apart() -> None:
    rule = "Only items of delivered parcels can be returned."
    parcel = tool("get_parcel", "Show one parcel.", "parcel_id")
    back = tool("return_item", "Return an item of a parcel.", "parcel_id")
    for status, note in (("shipped", REFUSE + rule), ("delivered", None)):
        chat = Chat(policy=f"1. First verify the reader.\n2. {rule}\n", tools=(*TOOLS, parcel, back))
        chat.verified("I want to return the map of parcel P7. The parcel P8 was delivered.")
        chat.call("list_loans", {"parcels": [{"parcel_id": "P8", "status": "delivered"}]}, reader_id="R100")
        assert chat.call("get_parcel", {"parcel_id": "P7", "status": status}, parcel_id="P7").note(build()) == note


def test_a_choice_that_a_rule_forbids_is_refused_when_the_user_makes_it() -> None:
    rule = "Swap only for a title that is in stock."
    swap = tool("swap_loan", "Swap a loan for another title.", "loan_id", "new_title_id")
    titles = tool("list_titles", "List titles a loan can be swapped for.", "subject")
    chat = Chat(policy=f"1. First verify the reader.\n2. {rule}\n", tools=(*TOOLS, swap, titles))
    chat.verified("I want to swap loan L11 for another title.").call("get_loan", {"loan_id": "L11"}, loan_id="L11")
    rows = [{"title_id": "T1", "name": "Walden", "stock": 0}, {"title_id": "T2", "name": "Emma", "stock": 3}]
    chat.call("list_titles", {"titles": rows}, subject="any").say("Which title?")
    assert chat.user("Emma, please.").note(build()) is None
    assert chat.user("Walden would be better.").note(build()) == REFUSE + rule


SEATS = "1. Verify the reader. 2. A plain desk has at most 4 chairs, a wide one at most 12, a hall any number."
DESKS = (
    *TOOLS[:2],
    tool("get_desk", "Show a desk.", "desk_id"),
    tool("change_chairs", "Change the chairs of a desk.", "desk_id", "chairs"),
)


def test_of_several_limits_the_one_of_the_records_own_word_counts() -> None:
    def note(kind: str, chairs: int, wish: str) -> str | None:
        chat = Chat(SEATS, DESKS).verified(f"Please change the chairs of desk D1 to {wish}.")
        return chat.call("get_desk", {"desk_id": "D1", "kind": kind, "chairs": chairs}, desk_id="D1").note(build())

    assert note("wide", 8, "more") is None
    assert note("hall", 40, "more") is None
    assert note("plain", 3, "6 chairs") == REFUSE + SEATS.split("2. ")[1]
    assert note("wide", 8, "10 chairs") is None
    assert note("wide", 8, "14 chairs") == REFUSE + SEATS.split("2. ")[1]


def test_a_number_given_in_an_answer_is_held_against_the_record_at_the_users_turn() -> None:
    rule = "A desk needs at least as many chairs as are in use."
    chat = Chat(f"1. Verify the reader. 2. {rule}", DESKS).verified("Please change the chairs of desk D1.")
    chat.call("get_desk", {"desk_id": "D1", "chairs": 8, "chairs_used": 3}, desk_id="D1")
    assert chat.note(build()) is None
    chat.say("How many chairs shall it be?").user("Make it 7741, no, I mean, hmm.")
    assert chat.note(build()) is None  # the number of the card, with which a tool was called
    chat.say("How many chairs shall it be?").user("Make it 5.")
    assert chat.note(build()) is None
    chat.say("I can change it to 5 chairs. Shall I?").user("It is 1 chair that I want.")
    assert chat.note(build()) == REFUSE + rule
    assert chat.user("1, please.").note(build()) is None  # once


def test_by_how_many_is_not_to_how_many() -> None:
    chat = Chat(SEATS, DESKS).verified("Please change the chairs of desk D1, I need it bigger by 9 chairs.")
    chat.call("get_desk", {"desk_id": "D1", "kind": "wide", "chairs": 8}, desk_id="D1")
    assert chat.note(build()) is None


def test_a_rule_about_people_is_not_held_against_the_people_of_a_desk() -> None:
    never = "Never change a chairman or make anybody one."
    overdue = "Never change the chairs while a loan is overdue."
    tools = (*DESKS, tool("list_members", "List the members of a desk.", "desk_id"))
    rows = {"members": [{"reader_id": "R1", "role": "chairman"}], "loans": [{"loan_id": "L1", "status": "active"}]}

    def note(policy: str, status: str = "active") -> str | None:
        rows["loans"][0]["status"] = status
        rows["members"][1:] = [{"reader_id": "R2", "role": "guest"}]
        chat = Chat(policy, tools).verified("Please change the chairs of desk D1 to 5 chairs.")
        return chat.call("list_members", rows, desk_id="D1").note(build())

    assert note(f"1. Verify the reader. 2. {never}") is None
    assert note(f"1. Verify the reader. 2. {overdue}", "overdue") == REFUSE + overdue


def test_who_may_do_it_and_what_an_object_needs_are_left_unsaid() -> None:
    policy = (
        "1. Verify the reader. 2. Only members with a card may renew a loan. 3. Renew only for four weeks at a time."
    )
    chat = (
        Chat(policy).verified("Please renew loan L11.").call("get_loan", {"loan_id": "L11", "days": 3}, loan_id="L11")
    )
    assert chat.note(build()) == "Rule: Renew only for four weeks at a time."
