"""Questions of helpers in llm form along a conversation, and the checks on answers that quote."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from fama.episodes.records import Message
from fama.helpers.base import HelperContext
from fama.helpers.llm_form import PrefixHelper
from fama.helpers.pool import build_pool
from fama.models.base import ChatRequest
from fama.models.prefix import AgentRequest, Question
from fama.models.scripted import ScriptedModel
from fama.settings import HelperSettings
from tests.support.note_states import LOANS, Chat

HELPERS = build_pool(HelperSettings(form="llm"))
DETAILS = "It is ada@mail.example, PIN 7741."
OFFER = "I will renew Moby Dick. Is that right?"

Step = Callable[[Chat], Chat]
#: A reader who wants one loan renewed: each step with the helpers that then ask, and what their questions name.
STORY: list[tuple[Step, dict[str, Mapping[str, object]]]] = [
    (lambda chat: chat.user("Please renew Moby Dick for me."), {}),
    (lambda chat: chat.say("Your e-mail and PIN?").user(DETAILS), {"TSA": {"choices": ["find_reader"]}}),
    (
        lambda chat: chat.call("find_reader", {"reader_id": "R100"}, email="ada@mail.example"),
        {"TSA": {"choices": ["verify_reader"]}},
    ),
    (
        lambda chat: chat.call("verify_reader", {"verified": True}, reader_id="R100", pin="7741"),
        {"TSA": {"choices": ["list_loans"]}},
    ),
    (
        lambda chat: chat.call("list_loans", LOANS, reader_id="R100"),
        {"DCE": {"changes": ["renew_loan"]}, "TSA": {"choices": ["get_loan"]}, "TOR": {}, "Memory": {}},
    ),
    (
        lambda chat: chat.call("get_loan", {"loan_id": "L11", "status": "active"}, loan_id="L11"),
        {"DCE": {"changes": ["renew_loan"]}, "Memory": {}},
    ),
    (lambda chat: chat.say(OFFER).user("Yes, please."), {}),
    (
        lambda chat: chat.call("renew_loan", {"error": "busy, try again"}, loan_id="L11"),
        {"TSA": {"choices": ["renew_loan"]}, "Verifier": {"tool": "renew_loan", "busy": True}, "Memory": {}},
    ),
    (
        lambda chat: chat.call("renew_loan", {"error": "no loan L12"}, loan_id="L12"),
        {"Verifier": {"tool": "renew_loan", "busy": False}, "Memory": {}},
    ),
    (
        lambda chat: chat.call("renew_loan", {"loan_id": "L11", "renewals": 1}, loan_id="L11"),
        {"Planner": {"done": ["renew_loan"]}},
    ),
    (lambda chat: chat.say("It is renewed.").user("Thanks."), {"Planner": {"done": ["renew_loan"]}}),
]


def test_a_helper_asks_where_its_subject_comes_up_and_names_what_the_state_shows() -> None:
    chat = Chat()
    for step, expected in STORY:
        state = step(chat).state()
        found: dict[str, object] = {}
        for name, helper in HELPERS.items():
            assert isinstance(helper, PrefixHelper)
            if (about := helper.about(state)) is not None:
                found[name] = about
                assert str(helper.question(about).opening)
        assert found == expected, chat.messages[-1]


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ('Moby Dick"', 'The customer said: "Moby Dick"'),
        ('Moby Dick" and so on', 'The customer said: "Moby Dick"'),
        ("Moby Dick", 'The customer said: "Moby Dick"'),
        ('The customer said: "please renew Moby Dick"', 'The customer said: "please renew Moby Dick"'),
        ('none"', None),
        ('"', None),
        ("", None),
    ],
)
def test_an_answer_within_a_quotation_ends_with_it(answer: str, note: str | None) -> None:
    reply = asked("Memory", answer)
    assert reply == (note, None)


@pytest.mark.parametrize("answer", ["renew Dracula for my sister", "cancel everything"])
def test_what_nobody_said_is_not_quoted(answer: str) -> None:
    assert asked("Memory", answer) == (None, "quotes what nobody said")


def test_one_word_in_five_may_be_spelled_otherwise() -> None:
    assert asked("Memory", "please renew Moby Dyck for") == ('The customer said: "please renew Moby Dyck for"', None)
    assert asked("Memory", "please renew Moby Dyck") == (None, "quotes what nobody said")


def test_an_opening_without_a_quotation_keeps_the_whole_answer() -> None:
    question = Question("Which?", "Rule:", 9)
    assert (question.quotes, question.note('Only "active" loans.')) == (False, 'Rule: Only "active" loans.')
    assert question.note(None) is None


def test_a_result_that_no_call_asked_for_is_no_subject() -> None:
    chat = Chat().user("Please renew Moby Dick for me.")
    chat.messages.append(Message(role="tool", content='{"loans": []}', tool_call_id="lost"))
    for helper in HELPERS.values():
        assert isinstance(helper, PrefixHelper)
        assert helper.about(chat.state()) is None


def asked(name: str, answer: str) -> tuple[str | None, str | None]:
    """The note of a helper in the middle of the story, and the fault."""
    chat = Chat()
    for step, _ in STORY[:5]:
        step(chat)

    def reply(request: ChatRequest) -> str:
        return answer

    own = AgentRequest(({"role": "user", "content": "Hello"},))
    context = HelperContext(ScriptedModel("scripted:writer", reply), request=own)
    said = asyncio.run(HELPERS[name].note(chat.state(), context))
    return said.text, said.fault
