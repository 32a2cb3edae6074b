from fama.episodes.records import Note
from fama.helpers.tor import build
from tests.support.note_states import LOANS, Chat


def test_digests_the_row_the_user_described_with_quoted_values() -> None:
    chat = Chat().verified("I want to renew the loan of Dracula.").call("list_loans", LOANS, reader_id="R100")
    assert chat.note(build()) == 'Matching row: loan_id "L22", title "Dracula", status "active".'


def test_is_silent_on_a_tie_without_a_match_and_on_a_known_id() -> None:
    twice = {"loans": [*LOANS["loans"], {"loan_id": "L44", "title": "Dracula", "status": "active"}]}
    chat = Chat().verified("I want to renew Dracula.").call("list_loans", twice, reader_id="R100")
    assert chat.note(build()) is None
    chat = Chat().verified("I want to renew a loan.").call("list_loans", LOANS, reader_id="R100")
    assert chat.note(build()) is None
    chat = Chat().verified("I want to renew loan L22, Dracula.").call("list_loans", LOANS, reader_id="R100")
    assert chat.note(build()) is None


def test_is_silent_when_two_things_were_described() -> None:
    chat = Chat().verified("Renew Dracula, and renew Emma.").call("list_loans", LOANS, reader_id="R100")
    assert chat.note(build()) is None


def test_a_correction_replaces_the_description() -> None:
    chat = Chat().user("I want to renew Emma.").say("Your e-mail and PIN, please?")
    chat.user("It is ada@mail.example, PIN 7741. Sorry, I meant Dracula.")
    chat.call("list_loans", LOANS, reader_id="R100")
    assert chat.note(build()) == 'Matching row: loan_id "L22", title "Dracula", status "active".'


def test_finds_nested_rows_with_the_ids_around_them() -> None:
    shelf = {
        "shelves": [
            {"shelf_id": "S1", "books": [{"book_id": "B1", "name": {"text": "blue atlas"}}, {"book_id": "B2", "x": 1}]},
            {"shelf_id": "S2", "books": [{"book_id": "B3", "name": {"text": "red atlas"}}, {"book_id": "B4", "x": 1}]},
        ]
    }
    chat = Chat().verified("Where is the red atlas?").call("list_loans", shelf, reader_id="R100")
    assert chat.note(build()) == 'Matching row: shelf_id "S2", book_id "B3", text "red atlas".'


def test_is_silent_after_a_change() -> None:
    chat = Chat().verified("Renew Dracula.").call("renew_loan", LOANS, loan_id="L22")
    assert chat.note(build()) is None


def test_says_what_to_tell_after_a_change() -> None:
    chat = Chat().verified("Please renew loan L11.")
    chat.call("renew_loan", {"status": "renewed", "due": "2025-07-01", "loan_id": "L11"}, loan_id="L11")
    assert chat.note(build()) == 'Suggested next tool: respond, to tell status "renewed", due "2025-07-01".'
    assert chat.note(build()) is None
    failed = Chat().verified("Please renew loan L11.").call("renew_loan", {"error": "no loan L11"}, loan_id="L11")
    assert failed.note(build()) is None


def test_says_what_to_tell_when_only_information_was_asked_for() -> None:
    record = {"loan_id": "L11", "status": "active", "due": "2025-07-01", "shelf": {"floor": 2}}
    chat = Chat().verified("When is loan L11 due?").call("get_loan", record, loan_id="L11")
    assert chat.note(build()) == 'Suggested next tool: respond, to tell status "active", due "2025-07-01", floor "2".'
    change = Chat().verified("Please renew loan L11.").call("get_loan", record, loan_id="L11")
    assert change.note(build()) is None  # there the change comes first


def test_follows_no_other_lead() -> None:
    chat = Chat().verified("When is loan L11 due?").call("get_loan", {"status": "active"}, loan_id="L11")
    turn = chat.state().turn
    chat.noted.append((turn, Note(helper="TSA", text="Suggested next tool: list_loans.", tokens=0)))
    assert chat.note(build()) is None
