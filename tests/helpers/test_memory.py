import pytest

from fama.errors import BadInput
from fama.helpers.memory import build
from tests.support.note_states import LOANS, Chat


def test_brings_a_correction_back_when_a_record_is_there() -> None:
    chat = Chat().user("Renew Emma.").say("Your e-mail and PIN, please?")
    chat.user("It is ada@mail.example, PIN 7741. Sorry, I meant Dracula.")
    chat.call("find_reader", {"reader_id": "R100"}, email="ada@mail.example")
    assert chat.note(build()) is None
    chat.call("verify_reader", {"verified": True}, reader_id="R100", pin="7741")
    chat.call("list_loans", LOANS, reader_id="R100")
    assert chat.note(build()) == 'The user now says: "Sorry, I meant Dracula".'
    assert chat.note(build()) is None


def test_recalls_facts_far_away_that_no_call_used() -> None:
    chat = Chat().user("Renew loan L11, it is for card K-4410.").say("Your e-mail and PIN, please?")
    chat.user("It is ada@mail.example, PIN 7741.")
    chat.call("find_reader", {"reader_id": "R100"}, email="ada@mail.example")
    chat.call("verify_reader", {"verified": True}, reader_id="R100", pin="7741")
    chat.call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build(k=2)) == 'The user said: "K-4410".'


def test_k_is_the_number_of_turns_it_reaches_back() -> None:
    chat = Chat().user("Renew loan L11, it is for card K-4410.").say("Your e-mail?").user("ada@mail.example")
    chat.say("Your PIN?").user("7741")
    chat.call("find_reader", {"reader_id": "R100"}, email="ada@mail.example")
    chat.call("verify_reader", {"verified": True}, reader_id="R100", pin="7741")
    chat.call("get_loan", LOANS["loans"][0], loan_id="L11")
    assert chat.note(build(k=2)) is None
    assert chat.note(build(k=3)) == 'The user said: "K-4410".'


@pytest.mark.parametrize("k", [0, -1, "2", True])
def test_refuses_a_wrong_k(k: int | str) -> None:
    with pytest.raises(BadInput, match="give 1 or more"):
        build(k=k)
