import pytest

from fama.dialogue.requests import wants
from fama.episodes.records import Note, ToolSpec
from fama.helpers.tsa import build
from tests.support.note_states import LOANS, TOOLS, Chat, tool


def test_leads_to_the_identity_check_first() -> None:
    chat = Chat().user("I want to renew a loan.")
    assert chat.note(build()) is None  # nothing to call yet: the agent has to ask
    chat.say("Your e-mail and PIN, please?").user("It is ada@mail.example, PIN 7741.")
    assert chat.note(build()) == "Suggested next tool: find_reader."
    chat.call("find_reader", {"reader_id": "R100"}, email="ada@mail.example")
    assert chat.note(build()) == "Suggested next tool: verify_reader."


def test_looks_up_before_a_change_and_the_second_object_by_its_id() -> None:
    chat = Chat().verified("I want to renew a loan.")
    assert chat.note(build()) == "Suggested next tool: list_loans."
    chat.call("list_loans", LOANS, reader_id="R100")
    assert chat.note(build()) == "Suggested next tool: respond, to ask which loan."
    chat.call("get_loan", LOANS["loans"][0], loan_id="L11").say("Which one?").user("Loan L22, please.")
    assert chat.note(build()) == 'Suggested next tool: get_loan with loan_id "L22".'


def test_takes_the_row_that_fits_the_users_words_and_the_next_one_while_it_is_not_the_object() -> None:
    atlases = [{"loan_id": "L41", "title": "Emma"}, *({"loan_id": f"L4{k}", "title": "Atlas"} for k in (2, 3, 4))]
    chat = Chat().verified("I want to renew the green atlas.").call("list_loans", {"loans": atlases}, reader_id="R100")
    assert chat.note(build()) == 'Suggested next tool: get_loan with loan_id "L42".'
    chat.call("get_loan", {"loan_id": "L42", "title": "Atlas", "cover": "red"}, loan_id="L42")
    assert chat.note(build()) == 'Suggested next tool: get_loan with loan_id "L43".'
    chat.call("get_loan", {"loan_id": "L43", "title": "Atlas", "cover": "green"}, loan_id="L43")
    assert chat.note(build()) is None


def test_proposes_a_change_only_after_the_user_agreed_to_it() -> None:
    chat = Chat().verified("Please renew loan L11.")
    chat.call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build()) is None
    chat.say("I can renew loan L11. Shall I?").user("Yes, please.")
    assert chat.note(build()) == 'Suggested next tool: renew_loan with loan_id "L11".'
    chat.call("renew_loan", {"status": "renewed"}, loan_id="L11")
    assert chat.note(build()) is None


def test_does_not_propose_what_the_user_turned_down_or_the_agent_refused() -> None:
    chat = Chat().verified("Please renew loan L11.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    chat.say("I can renew loan L11. Shall I?").user("No, wait.")
    assert chat.note(build()) is None
    chat.say("I am sorry, I cannot renew it. Is there anything else?").user("Yes, you are right, that was all.")
    assert chat.note(build()) is None


def test_leaves_a_busy_tool_to_the_verifier() -> None:
    chat = Chat().verified("Please renew loan L11.").call("get_loan", {"error": "busy, try again"}, loan_id="L11")
    assert chat.note(build()) is None


def test_never_gives_the_same_note_twice() -> None:
    chat = Chat().verified("I want to renew a loan.")
    assert chat.note(build()) == "Suggested next tool: list_loans."
    assert chat.note(build()) is None


def test_asks_which_part_is_meant_while_the_user_has_not_said_so() -> None:
    drop = tool("drop_book", "Drop one book of a loan.", "loan_id", "book_id")
    books = [{"book_id": "B1", "title": "Emma"}, {"book_id": "B2", "title": "Dracula"}]
    record = {"loan_id": "L11", "status": "active", "books": books}
    chat = Chat(tools=(*TOOLS, drop)).verified("I want to drop a book of loan L11.")
    assert (
        chat.call("get_loan", record, loan_id="L11").note(build()) == "Suggested next tool: respond, to ask which book."
    )
    chat = Chat(tools=(*TOOLS, drop)).verified("I want to drop Dracula of loan L11.")
    assert chat.call("get_loan", record, loan_id="L11").note(build()) is None


def test_an_error_that_names_another_tool_leads_to_it() -> None:
    chat = Chat().verified("I want to renew my book.")
    chat.call("renew_loan", {"error": "no loan L99; ids come from list_loans"}, loan_id="L99")
    assert chat.note(build()) == "Suggested next tool: list_loans."
    silent = Chat().verified("I want to renew my book.").call("list_loans", {"error": "see get_loan"}, reader_id="R1")
    assert silent.note(build()) != "Suggested next tool: get_loan."  # whose id nobody has


def test_another_lead_is_left_alone() -> None:
    chat = Chat().verified("I want to renew a loan.")
    refusal = "Suggested next tool: respond, to say that it is not possible: no."
    chat.noted.append((chat.state().turn, Note(helper="DCE", text=refusal, tokens=0)))
    assert chat.note(build()) is None


def test_verbs_of_sending_ask_for_what_a_description_calls_delivery() -> None:
    moved = tool("change_branch", "Change the branch for the delivery of a hold.", "hold_id", "branch")
    tools = (*TOOLS[:4], moved, *TOOLS[4:6])

    def asked(text: str) -> list[str]:
        return [want.tool.name for want in wants(Chat(tools=tools).user(text).state()) if not want.rivals]

    assert asked("I have to have my hold sent to Norwich.") == ["change_branch"]
    assert asked("Please get my hold delivered to Norwich.") == ["change_branch"]
    assert asked("When will my hold be delivered?") == []
    assert asked("I need it sooner than you can deliver.") == []


def test_an_agreed_change_comes_with_the_old_and_the_new_id_that_the_words_leave() -> None:
    swap = tool("swap_item", "Swap an item of a loan for another one.", "loan_id", "item_id", "new_item_id")
    lists = tool("list_items", "List items that an item can be swapped for.", "subject")
    chat = Chat(tools=(*TOOLS, swap, lists)).verified("I want to swap the red atlas of loan L11 for the blue one.")
    chat.call("list_loans", LOANS, reader_id="R100")
    old = [{"item_id": "I1", "name": "red atlas"}, {"item_id": "I2", "name": "green globe"}]
    chat.call("get_loan", {"loan_id": "L11", "items": old}, loan_id="L11")
    new = [{"item_id": "I8", "color": "blue"}, {"item_id": "I9", "color": "white"}]
    chat.call("list_items", {"items": new}, subject="atlas").say("Swap it for the blue one?")
    chat.user("Wait, I meant white instead of blue.").say("Swap the red atlas for the white one?").user("OK, yes.")
    assert chat.note(build()) == 'Suggested next tool: swap_item with loan_id "L11", item_id "I1", new_item_id "I9".'


def test_after_a_yes_the_change_comes_before_any_further_look_up() -> None:
    tools = (*TOOLS, tool("list_holds", "List the holds of a reader.", "reader_id"))
    chat = Chat(tools=tools).verified("Please renew Dracula. And cancel a hold of mine.")
    chat.call("list_loans", LOANS, reader_id="R100").call("get_loan", LOANS["loans"][1], loan_id="L22")
    chat.say("I can renew loan L22, Dracula. Shall I?").user("Yes, please.")
    assert chat.note(build()) == 'Suggested next tool: renew_loan with loan_id "L22".'


def test_after_a_yes_the_id_that_the_question_named_is_used() -> None:
    tools = (
        *TOOLS[:2],
        tool("get_card", "Show a card with its fines.", "card_id"),
        tool("waive_fine", "Waive a fine.", "fine_id"),
    )
    fines = {"card_id": "C1", "fines": [{"fine_id": "F10", "month": "May"}, {"fine_id": "F20", "month": "June"}]}
    chat = Chat(tools=tools).verified("Please waive the fine of May.").call("get_card", fines, card_id="C1")
    chat.say("I can waive the fine of May (F10). Shall I?").user("Sorry, I meant June.")
    chat.say("I can waive the fine of June (F20). Shall I?").user("Yes, please.")
    assert chat.note(build()) == 'Suggested next tool: waive_fine with fine_id "F20".'


DESKS = (
    *TOOLS[:2],
    tool("get_desk", "Show a desk.", "desk_id"),
    ToolSpec(
        name="change_desk",
        description="Change the chairs of a desk.",
        parameters='{"type": "object", "properties": {"desk_id": {"type": "string"}, "chairs": {"type": "integer"}},'
        ' "required": ["desk_id", "chairs"]}',
    ),
    tool("paint_desk", "Paint a desk.", "desk_id", color=["red", "green", "blue"]),
)


def test_a_value_that_nobody_said_is_asked_for() -> None:
    def note(wish: str) -> str | None:
        chat = Chat(tools=DESKS).verified(wish)
        return chat.call("get_desk", {"desk_id": "D7", "chairs": 12, "color": "red"}, desk_id="D7").note(build())

    ask = 'Suggested next tool: respond, to ask "{}?".'
    assert note("Please change the chairs of desk D7.") == ask.format("How many chairs")
    assert note("Please change desk D7 to 15 chairs.") is None
    assert note("Please paint desk D7 in another color.") == ask.format("Which color")
    assert note("Please paint desk D7 green.") is None


PEOPLE = (
    *TOOLS[:2],
    tool("list_members", "List the members of a branch.", "branch_id"),
    tool("get_branch", "Show a branch.", "branch_id"),
    tool("block_member", "Block a member.", "reader_id"),
)
BRANCH = {"branch_id": "B7", "name": "River", "desks": 12}


def test_somebody_else_is_looked_up_though_the_users_own_id_is_known() -> None:
    chat = Chat(tools=PEOPLE).verified("Please block the member Petra Lopez.")
    assert chat.call("get_branch", BRANCH, branch_id="B7").note(build()) == "Suggested next tool: list_members."
    chat = Chat(tools=PEOPLE).verified("Please block me as a member.")
    assert chat.call("get_branch", BRANCH, branch_id="B7").note(build()) is None
    chat = Chat(tools=PEOPLE).verified("Please block a member.").call("get_branch", BRANCH, branch_id="B7")
    chat.say("Which member, please?").user("That is Petra Lopez.")
    assert chat.note(build()) == "Suggested next tool: list_members."


def test_a_record_is_shown_by_the_tool_named_after_it() -> None:
    desks = tool("change_name", "Change the name of a branch.", "branch_id", "name")
    chat = Chat(tools=(*PEOPLE, desks)).verified("Please change the name of our branch to Lake.")
    chat.call("find_reader", {"reader_id": "R100", "branch_id": "B7"}, email="ada@mail.example")
    assert chat.note(build()) == "Suggested next tool: get_branch."
    assert chat.call("get_branch", BRANCH, branch_id="B7").note(build()) is None


def test_an_object_that_the_user_did_not_name_is_asked_for() -> None:
    ask = "Suggested next tool: respond, to ask which {}."
    chat = Chat().verified("Please renew a loan.").call("list_loans", LOANS, reader_id="R100")
    assert chat.note(build()) == ask.format("loan")
    tools = (*TOOLS[:2], tool("get_card", "Show a card with its fines.", "card_id"))
    fines = {"card_id": "C1", "fines": [{"fine_id": "F10", "month": "May"}, {"fine_id": "F20", "month": "June"}]}
    chat = Chat(tools=(*tools, tool("waive_fine", "Waive a fine.", "fine_id"))).verified("Please waive a fine.")
    assert chat.call("get_card", fines, card_id="C1").note(build()) == ask.format("fine")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Could you tell me your name again, so that I can renew it?", "Sure, my name is Ada Ng."),
        ("Would you like me to check whether another copy is there?", "Yes, please check that."),
    ],
)
def test_a_yes_to_another_question_leads_to_no_change(question: str, answer: str) -> None:
    chat = Chat().verified("Please renew loan L11.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.say(question).user(answer).note(build()) is None
