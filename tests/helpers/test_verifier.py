from note_states import LOANS, Chat

from fama.helpers.verifier import CONFIRM, build


def test_busy_tools_are_called_again_once_an_event() -> None:
    chat = Chat().verified("Renew loan L11.").call("get_loan", {"error": "busy, try again"}, loan_id="L11")
    assert chat.note(build()) == "Call get_loan again with the same arguments."
    assert chat.note(build()) is None
    chat.call("get_loan", {"error": "busy, try again"}, loan_id="L11")
    assert chat.note(build()) == "Call get_loan again with the same arguments."


def test_a_skipped_identity_check_is_named_once() -> None:
    chat = Chat().user("Renew loan L11.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build()) == "Verify the user's identity first with verify_reader."
    assert chat.note(build()) != "Verify the user's identity first with verify_reader."
    chat = Chat().user("Renew loan L11.").call("find_reader", {"reader_id": "R100"}, email="a@b.example")
    assert chat.note(build()) is None


def test_the_id_that_the_user_named_replaces_another_one() -> None:
    chat = Chat().verified("Renew loan L22.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build()) == 'Use loan_id "L22".'


def test_the_row_that_the_user_described_replaces_another_one() -> None:
    chat = Chat().verified("I want to renew Dracula.").call("list_loans", LOANS, reader_id="R100")
    chat.call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build()) == 'Use loan_id "L22".'
    chat.call("get_loan", LOANS["loans"][1], loan_id="L22")
    assert chat.note(build()) == CONFIRM


def test_asks_for_a_yes_before_an_allowed_change_only() -> None:
    chat = Chat().verified("Renew loan L11.").call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build()) == CONFIRM
    assert chat.note(build()) is None
    chat = Chat().verified("Renew loan L33.").call("get_loan", LOANS["loans"][2], loan_id="L33")
    assert chat.note(build()) is None


def test_is_silent_at_the_start() -> None:
    assert Chat().user("Renew loan L11.").note(build()) is None
