import asyncio
from dataclasses import replace

from fama.dialogue.turns import given_before_user
from fama.episodes.records import Note
from fama.helpers.base import HelperContext
from fama.helpers.forms import ASK_YES
from fama.helpers.verifier import ASK_AGAIN, build
from tests.support.note_states import LOANS, TOOLS, Chat, tool


def test_busy_tools_are_called_again_once_an_event() -> None:
    chat = Chat().verified("Renew loan L11.").call("get_loan", {"error": "busy, try again"}, loan_id="L11")
    assert chat.note(build()) == "Call get_loan again with the same arguments."
    assert chat.note(build()) is None
    chat.call("get_loan", {"error": "busy, try again"}, loan_id="L11")
    assert chat.note(build()) == "Call get_loan again with the same arguments."


def test_a_skipped_identity_check_is_named_once() -> None:
    chat = Chat().user("Renew loan L11, I am a@b.example.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build()) == "Suggested next tool: verify_reader, before anything else."
    assert chat.note(build()) != "Suggested next tool: verify_reader, before anything else."
    chat = Chat().user("Renew loan L11.").call("find_reader", {"reader_id": "R100"}, email="a@b.example")
    assert chat.note(build()) is None


def test_who_told_nothing_is_asked_for_what_the_identity_check_needs() -> None:
    ask = "Suggested next tool: respond, to ask for email and pin."
    chat = Chat().user("Renew loan L11.").call("get_loan", {"error": "no loan L99"}, loan_id="L99")
    assert chat.note(build()) == ask
    chat = Chat().user("Renew loan L11.").call("find_reader", {"error": "no reader"}, email="somebody@else.example")
    assert chat.note(build()) == ask
    assert chat.note(build()) is None


def test_the_id_that_the_user_named_replaces_another_one() -> None:
    chat = Chat().verified("Renew loan L22.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build()) == 'Call get_loan again with loan_id "L22".'


def test_the_row_that_the_user_described_replaces_another_one() -> None:
    chat = Chat().verified("I want to renew Dracula.").call("list_loans", LOANS, reader_id="R100")
    chat.call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build()) == 'Call get_loan again with loan_id "L22".'
    chat.call("get_loan", LOANS["loans"][1], loan_id="L22")
    assert chat.note(build()) == ASK_YES.format(tool="renew_loan")


def test_asks_for_a_yes_before_an_allowed_change_only() -> None:
    chat = Chat().verified("Renew loan L11.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build()) == ASK_YES.format(tool="renew_loan")
    assert chat.note(build()) is None
    chat = Chat().verified("Renew loan L33.").call("get_loan", LOANS["loans"][2], loan_id="L33")
    assert chat.note(build()) is None


def test_asks_at_the_start_for_what_the_identity_check_needs_unless_it_was_told() -> None:
    ask = "Suggested next tool: respond, to ask for email and pin."
    chat = Chat().user("Renew loan L11.")
    assert chat.note(build()) == ask
    assert chat.note(build()) is None
    assert chat.say("It is renewed until May.").user("Until when, please?").note(build()) == ask
    greeted = Chat().say("Hi! How can I help?").user("Renew loan L11.")
    assert [greeted.note(build()), greeted.note(build())] == [ask, None]
    assert Chat().user("Renew loan L11. I am ada@mail.example.").note(build()) is None
    assert Chat(policy="Be kind to readers.").user("Renew loan L11.").note(build()) is None


def test_asks_again_when_the_answer_is_no_yes() -> None:
    chat = Chat().verified("I want to renew a loan.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build()) == ASK_YES.format(tool="renew_loan")
    chat.say("Shall I renew it until May?").user("Until June.")
    assert chat.note(build()) == ASK_AGAIN.format(said='"Until June"')
    assert chat.say("Until June?").user("Yes.").note(build()) is None
    taken_back = "Wait, I meant until July."
    assert chat.say("I do it now.").user(taken_back).note(build()) == ASK_AGAIN.format(said=f'"{taken_back[:-1]}"')


def test_a_yes_to_one_change_is_none_to_the_next() -> None:
    loan = tool("move_loan", "Move a loan to another card.", "loan_id")
    chat = Chat(tools=(*TOOLS, loan)).verified("Please renew loan L11. And move loan L22 to my other card.")
    chat.call("get_loan", LOANS["loans"][0], loan_id="L11").say("I can renew L11. Shall I?").user("Yes.")
    chat.call("renew_loan", {"status": "renewed"}, loan_id="L11").call("get_loan", LOANS["loans"][1], loan_id="L22")
    assert chat.note(build()) == ASK_YES.format(tool="move_loan")


def test_a_case_with_nothing_but_refusals_is_closed_as_refused() -> None:
    close = 'Suggested next tool: close_case with outcome "refused".'
    refused = Chat().verified("Renew loan L33.").call("get_loan", LOANS["loans"][2], loan_id="L33")
    refused.say("I am sorry, loan L33 cannot be renewed.")
    assert refused.user("Understood.").note(build()) == close
    assert refused.user("Please, it is really important, okay?").note(build()) is None  # insists
    assert refused.user("OK, but renew loan L22.").note(build()) is None  # asks for another change
    asks = Chat().verified("Renew loan L33.").call("get_loan", LOANS["loans"][2], loan_id="L33")
    assert asks.say("I cannot renew that one. Another one?").user("Okay.").note(build()) is None
    done = Chat().verified("Renew loan L11.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    done.call("renew_loan", {"status": "renewed"}, loan_id="L11").say("Renewed. I cannot do more.")
    assert done.user("Thanks.").note(build()) is None


def test_a_miscopied_value_is_put_right_from_the_users_words() -> None:
    error = {"error": "no reader with e-mail nes@mail.example"}
    chat = Chat().user("I am under ines@mail.example.").call("find_reader", error, email="nes@mail.example")
    assert chat.note(build()) == 'Call find_reader again with email "ines@mail.example".'
    known = Chat().user("I am under ines@mail.example.").call("find_reader", error, email="ines@mail.example")
    assert known.note(build()) is None
    unlike = Chat().user("I am under ines@mail.example.").call("find_reader", error, email="bob@post.example")
    assert unlike.note(build()) is None


def test_the_yes_is_asked_for_after_the_choice_was_looked_up() -> None:
    swap = tool("swap_loan", "Swap a loan for another title.", "loan_id", "new_title_id")
    titles = tool("list_titles", "List titles a loan can be swapped for.", "subject")
    chat = Chat(tools=(*TOOLS, swap, titles)).verified("I want to swap loan L11 for another title about whales.")
    chat.call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build()) is None  # what it may be swapped for is not known yet
    chat.call("list_titles", {"titles": [{"title_id": "T1"}, {"title_id": "T2"}]}, subject="whales")
    assert chat.note(build()) == ASK_YES.format(tool="swap_loan")


def test_keeps_its_question_back_where_another_note_of_this_decision_says_what_comes_next() -> None:
    chat = Chat().verified("Renew loan L11.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    other = Note(helper="TSA", text="Suggested next tool: list_loans.", tokens=1)
    chat.noted.append((chat.state().turn, other))
    assert chat.note(build()) is None
    chat.noted[-1] = (chat.state().turn, other.model_copy(update={"text": "Suggested next tool: respond, to ask why."}))
    assert chat.note(build()) is None
    chat.noted[-1] = (chat.state().turn - 1, other)
    assert chat.note(build()) == ASK_YES.format(tool="renew_loan")


def test_asks_for_the_yes_too_when_the_user_has_just_said_what_was_missing() -> None:
    chat = Chat().verified("I want to renew a loan.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    chat.say("Until when?").user("Until May.")
    assert chat.note(build()) == ASK_YES.format(tool="renew_loan")
    chat = Chat().verified("I want to renew a loan.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.say("I can renew loan L11. Shall I?").user("Yes, please.").note(build()) is None


def test_an_error_that_lists_what_may_be_is_tried_again_with_one_of_it() -> None:
    chat = Chat().verified("Move hold H5 to the river branch.")
    error = {"error": "branch must be one of: north, south, east"}
    assert chat.call("move_hold", error, hold_id="H5", branch="river").note(build()) == ASK_YES.format(tool="move_hold")
    chat.say("I can move hold H5. Shall I?").user("Yes.").call("move_hold", error, hold_id="H5", branch="river")
    assert chat.note(build()) == 'Call move_hold again with branch "north", "south" or "east", as the user means it.'
    chat = Chat().verified("Move hold H5 to the river branch.").say("I can move it. Shall I?").user("Yes.")
    chat.call("move_hold", {"error": "no hold H5"}, hold_id="H5", branch="river")
    assert chat.note(build()) is None


def test_of_the_values_that_an_error_lists_the_present_one_is_left_out_and_a_named_one_chosen() -> None:
    def note(offer: str) -> str | None:
        chat = Chat().verified("Move hold H5 to the middle branch.")
        chat.call("get_loan", {"hold_id": "H5", "branch": "north"}, loan_id="H5").say(offer).user("Yes.")
        error = {"error": "branch must be one of: north, south, east"}
        return chat.call("move_hold", error, hold_id="H5", branch="midle").note(build())

    assert note("I can move it. Shall I?") == (
        'Call move_hold again with branch "south" or "east", as the user means it.'
    )
    assert note("I can move it from north to south. Shall I?") == 'Call move_hold again with branch "south".'


def test_a_change_of_what_only_a_list_shows_needs_a_yes_too() -> None:
    tools = (
        *TOOLS[:2],
        tool("list_holds", "List the holds of a reader.", "reader_id"),
        tool("cancel_hold", "Cancel a hold.", "hold_id"),
    )
    rows = {"holds": [{"hold_id": "H5", "title": "Emma"}, {"hold_id": "H6", "title": "Dracula"}]}
    chat = Chat(tools=tools).verified("Please cancel the hold on Emma.").call("list_holds", rows, reader_id="R100")
    assert chat.note(build()) == ASK_YES.format(tool="cancel_hold")


def test_a_value_that_the_enumeration_allows_is_not_miscopied() -> None:
    tools = (*TOOLS, tool("lend_book", "Lend a book.", "title", loan_type=["one_week", "two_weeks"]))
    chat = Chat(tools=tools).verified("Please lend me Emma, a one-week loan.").say("Shall I?").user("Yes, please.")
    chat.call("lend_book", "Error: no copy left", title="Emma", loan_type="one_week")
    assert chat.note(build()) is None


def test_of_several_identity_tools_the_one_whose_details_are_known_comes_first() -> None:
    gates = (
        tool("verify_reader_by_email", "Verify a reader by e-mail.", "email"),
        tool("verify_reader_by_name", "Verify a reader by name and postcode.", "name", "postcode"),
    )
    chat = Chat(tools=(*gates, *TOOLS[2:])).user("How many copies of Emma are there?")
    chat.call("get_loan", LOANS["loans"][0], loan_id="L11").say("Your e-mail, or name and postcode?")
    chat.user("I have no mail. My name is Ada Ng, postcode 19122.")
    assert chat.note(build()) == "Suggested next tool: verify_reader_by_name, before anything else."


def test_a_conversation_that_the_agent_enters_later_gets_each_note_once_a_turn() -> None:
    ask = "Suggested next tool: respond, to ask for email and pin."
    opened = Chat().user("Hello?").say("Hi! How can I help?").user("Renew loan L11.").state()
    state = replace(opened, turn=0)  # what an environment opens with is no decision of the agent
    assert asyncio.run(build().note(state, HelperContext())).text == ask
    given = (0, Note(helper="Verifier", text=ask, tokens=0))
    called = Chat().user("Hello?").say("Hi! How can I help?").user("Renew loan L11.").call("get_hours", {"to": 17})
    state = replace(called.state(), turn=1, noted=(given,))
    assert given_before_user(state, "Verifier", ask) == 0
    state = replace(called.say("We close at five.").user("And my loan?").state(), turn=2, noted=(given,))
    assert given_before_user(state, "Verifier", ask) == 1


def test_before_the_users_first_words_nothing_was_given_before_them() -> None:
    state = replace(Chat().say("Hi! How can I help?").state(), noted=((0, Note(helper="TSA", text="x", tokens=0)),))
    assert given_before_user(state, "TSA", "x") == 0
