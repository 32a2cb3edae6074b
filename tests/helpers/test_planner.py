from fama.helpers.forms import ASK_YES
from fama.helpers.planner import build
from tests.support.note_states import LOANS, TOOLS, Chat, tool

HOLD = "Suggested next tool: respond. Ask for a yes to cancel_hold."


def test_leads_to_what_is_left_once_one_request_is_done() -> None:
    chat = Chat().verified("Please renew loan L11 and cancel my hold H5.")
    assert chat.note(build()) is None
    chat.call("renew_loan", {"status": "renewed"}, loan_id="L11")
    assert chat.note(build()) is None  # the agent has to tell what came of it first
    chat.say("Loan L11 is renewed.").user("Thanks.")
    assert chat.note(build()) == HOLD
    assert chat.note(build()) is None
    chat.call("cancel_hold", {"status": "cancelled"}, hold_id="H5").say("Done.").user("Thanks.")
    assert chat.note(build()) is None


def test_a_refused_request_counts_as_finished() -> None:
    chat = (
        Chat()
        .verified("Please renew loan L33 and cancel my hold H5.")
        .call("get_loan", LOANS["loans"][2], loan_id="L33")
    )
    chat.say("I am sorry, I cannot renew loan L33.").user("All right.")
    assert chat.note(build()) == HOLD


def test_is_silent_with_one_request() -> None:
    chat = Chat().verified("Please renew loan L11.").call("renew_loan", {"status": "renewed"}, loan_id="L11")
    assert chat.note(build()) is None


def test_a_question_beside_a_change_is_brought_back_once_the_change_is_done() -> None:
    chat = Chat().verified("Please renew loan L11. And I would like to know when my hold H5 arrives.")
    chat.call("renew_loan", {"status": "renewed"}, loan_id="L11")
    assert chat.note(build()) is None
    chat.say("Loan L11 is renewed.").user("Thanks.")
    assert chat.note(build()) == 'The user also asked: "I would like to know when my hold H5 arrives".'
    assert chat.note(build()) is None


def test_asks_for_the_value_of_what_is_left_where_nobody_said_it() -> None:
    tools = (*TOOLS, tool("change_rank", "Change the rank of a reader.", "reader_id", rank=["guest", "member"]))

    def note(wish: str) -> str | None:
        chat = Chat(tools=tools).verified(f"Please cancel hold H5. And {wish}")
        return (
            chat.call("cancel_hold", {"status": "cancelled"}, hold_id="H5").say("Done.").user("Thanks.").note(build())
        )

    assert (
        note("change the rank of a colleague.")
        == 'Suggested next tool: respond, to ask "Which reader and which rank?".'
    )
    assert note("change the rank of Ben to member.") == ASK_YES.format(tool="change_rank")
