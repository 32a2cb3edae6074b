"""Notes that a chat model writes: separate prompts, questions at the end of the agent's request, reading of answers."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from fama.agents.injection import collect_notes
from fama.episodes.records import LedgerRow, Note
from fama.helpers.base import HELPERS, HelperContext, HelperReply
from fama.helpers.llm_form import REPLY_TOKENS, TEMPLATE_TOKENS, PrefixHelper, clean_reply
from fama.models.base import ChatModel, ChatReply, ChatRequest
from fama.models.client import ContextOverflow
from fama.models.prefix import AgentRequest, Question
from fama.models.scripted import ScriptedModel
from fama.settings import Form
from fama.subsets import POOL
from fama.text.tokens import estimate_tokens
from tests.support.note_states import LOANS, POLICY, Chat


@dataclass
class Echo:
    """Answers every request with the same text and keeps the requests."""

    text: str
    name: str = "echo"
    seen: list[ChatRequest] = field(default_factory=list)

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.seen.append(request)
        row = LedgerRow(role=request.role, model=self.name, input_tokens=9, output_tokens=3)
        return ChatReply(text=self.text, usage=row)


def long_chat(lines: int = 0, policy: str = POLICY) -> Chat:
    chat = Chat(policy).verified("Renew loan L11.").call("list_loans", {**LOANS, "pad": "x " * 400}, reader_id="R100")
    for number in range(lines):
        chat.say(f"Question {number}? " + "long words " * 60).user(f"Answer {number}. " + "more words " * 60)
    return chat.call("list_loans", {**LOANS, "pad": "x " * 400}, reader_id="R100")


@pytest.mark.parametrize("name", POOL)
@pytest.mark.parametrize("policy", [POLICY, "Be kind to readers. " * 3000])
@pytest.mark.parametrize("lines", [0, 40])
async def test_a_prompt_stays_within_the_declared_cost(name: str, policy: str, lines: int) -> None:
    helper = HELPERS.load(name)("separate")
    model = Echo("Note: Suggested next tool: get_loan.")
    reply = await helper.note(long_chat(lines, policy).state(), HelperContext(model=model, seed=5))
    assert reply.text == "Suggested next tool: get_loan."
    assert [row.role for row in reply.ledger] == [f"helper:{name}"]
    (request,) = model.seen
    assert request.sampling.max_tokens == REPLY_TOKENS
    assert request.seed == 5
    prompt = request.messages[0]["content"]
    assert estimate_tokens(prompt) + REPLY_TOKENS + TEMPLATE_TOKENS <= helper.cost_cap
    assert "R100" in prompt


async def test_silence_is_billed_and_repeats_are_dropped() -> None:
    helper = HELPERS.load("TSA")("separate")
    chat = long_chat()
    silent = await helper.note(chat.state(), HelperContext(model=Echo("NONE")))
    assert (silent.text, len(silent.ledger)) == (None, 1)
    model = Echo("Suggested next tool: get_loan.")
    assert (await helper.note(chat.state(), HelperContext(model=model))).text is not None
    chat.noted.append((1, Note(helper="TSA", text="Suggested next tool: get_loan.", tokens=7)))
    again = await helper.note(chat.state(), HelperContext(model=model))
    assert (again.text, len(again.ledger)) == (None, 1)
    assert "Already said: Suggested next tool: get_loan." in model.seen[-1].messages[0]["content"]


async def test_a_closed_gate_or_no_model_costs_nothing() -> None:
    model = Echo("Something.")
    assert await HELPERS.load("TOR")("separate").note(
        Chat().user("Hello.").state(), HelperContext(model=model)
    ) == HelperReply(None)
    assert await HELPERS.load("TSA")("separate").note(long_chat().state(), HelperContext()) == HelperReply(None)
    assert model.seen == []


async def test_requests_carry_the_trial_so_that_cached_replies_are_kept_apart() -> None:
    model, pool = Echo("Look it up."), {"TSA": HELPERS.load("TSA")("separate")}
    for trial in (0, 2):
        await collect_notes(long_chat().state(), ("TSA",), pool, model, 0, [], trial)
    assert [request.trial for request in model.seen] == [0, 2]


def test_state_text_is_data_not_template() -> None:
    helper = HELPERS.load("TSA")("separate")
    model = Echo("Look it up.")
    chat = Chat().user("{{ 7 * 7 }} {% raw %} {{ policy.__class__ }}")
    asyncio.run(helper.note(chat.state(), HelperContext(model=model)))
    assert "{{ 7 * 7 }} {% raw %} {{ policy.__class__ }}" in model.seen[0].messages[0]["content"]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("NONE", None),
        ("none.", None),
        ("", None),
        ("\n \n", None),
        ('"Nothing"', None),
        ("Note: Call it again.", "Call it again."),
        ('"Call it again."', "Call it again."),
        ("Call it again.\nBecause I say so.", "Call it again."),
        ('Use "a" and "b"', 'Use "a" and "b"'),
        ("```\nCall it.\n```", "Call it."),
    ],
)
def test_replies_are_cleaned(text: str, note: str | None) -> None:
    assert clean_reply(text) == note


OWN = AgentRequest(({"role": "system", "content": "Serve."}, {"role": "user", "content": "Customer: hello"}))


def asked_of(name: str, model: ChatModel, chat: Chat, request: AgentRequest | None = OWN) -> HelperReply:
    return asyncio.run(HELPERS.load(name)("llm").note(chat.state(), HelperContext(model, 5, 2, request)))


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ("Suggested next tool: get_loan", "Suggested next tool: get_loan"),
        ("get_loan", "Suggested next tool: get_loan"),
        ("suggested next tool: Suggested next tool: get_loan", "Suggested next tool: get_loan"),
        ("Suggested next tool: none.", None),
        ("Suggested next tool:", None),
        ("<think>which?</think>get_loan", "Suggested next tool: get_loan"),
    ],
)
def test_the_opening_leads_the_note_exactly_once(answer: str, note: str | None) -> None:
    model = Echo(answer)
    reply = asked_of("TSA", model, long_chat())
    assert (reply.text, len(reply.ledger)) == (note, 1)
    (request,) = model.seen
    assert request.messages[:-1] == OWN.messages and request.prefill == "Suggested next tool:"
    assert (request.seed, request.trial, request.role) == (5, 2, "helper:TSA")


def test_an_own_earlier_note_is_not_shown_and_not_given_again() -> None:
    chat, model = long_chat(), Echo("get_loan")
    asked_of("TSA", model, chat)
    chat.noted.append((0, Note(helper="TSA", text="Suggested next tool: get_loan", tokens=7)))
    assert asked_of("TSA", model, chat).text is None
    before, after = model.seen
    assert before.messages == after.messages


def test_a_question_over_its_cap_is_not_asked() -> None:
    chat, model, helper = long_chat(), Echo("get_loan"), HELPERS.load("TSA")("llm")
    assert isinstance(helper, PrefixHelper) and (about := helper.about(chat.state())) is not None
    helper.cost_cap = helper.question(about).most_tokens()
    context = HelperContext(model, request=OWN)
    assert asyncio.run(helper.note(chat.state(), context)).text == "Suggested next tool: get_loan"
    helper.cost_cap -= 1
    reply = asyncio.run(helper.note(chat.state(), context))
    assert (reply.text, reply.ledger, len(model.seen)) == (None, (), 1)
    assert reply.fault == "the question passes its cost cap"


@pytest.mark.parametrize(
    ("form", "answer", "more", "fault"),
    [
        *(
            (form, *case)
            for form in ("llm", "separate")
            for case in (
                ("I cannot help with that.", {"refused": True}, "the model refused to answer"),
                ("get_lo", {"finish_reason": "content_filter"}, "the answer was cut"),
                ("get_lo", {"finish_reason": "length"}, "the answer was cut"),
                ("<think>Which one", {"finish_reason": "length"}, "the answer was cut"),
                ("get_loan\nAnd th", {"finish_reason": "length"}, None),
                ("get_loan", {"finish_reason": "tool_calls"}, None),
            )
        ),
    ],
)
def test_a_refusal_and_a_cut_answer_are_no_note(
    form: Form, answer: str, more: dict[str, Any], fault: str | None
) -> None:
    row = LedgerRow(role="helper:TSA", model="m", input_tokens=9, output_tokens=3)
    model = ScriptedModel("m", lambda request: ChatReply(text=answer, usage=row, **more))
    reply = asyncio.run(HELPERS.load("TSA")(form).note(long_chat().state(), HelperContext(model, 5, 2, OWN)))
    opening = "Suggested next tool: " if form == "llm" else ""
    assert reply == HelperReply(None if fault else f"{opening}get_loan", (row,), fault)


def test_a_quotation_that_is_whole_counts_though_the_reply_was_cut() -> None:
    question = Question("What?", 'The customer said: "', 20)
    row = LedgerRow(role="helper:Memory", model="m")
    for text, fault in (('loan L11" and th', None), ("loan L", "the answer was cut")):
        reply = ChatReply(text=text, usage=row, finish_reason="length")
        assert question.fault(reply) == fault


def test_a_model_without_the_agents_request_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="TSA: form llm asks at the end of the agent's request"):
        asked_of("TSA", Echo("x"), long_chat(), request=None)


def test_a_question_that_does_not_fit_the_context_is_a_fault_of_the_note_not_of_the_episode() -> None:
    def full(request: ChatRequest) -> str:
        raise ContextOverflow("m: too long", (LedgerRow(role="helper:TSA", model="m", input_tokens=4),))

    separate = asyncio.run(
        HELPERS.load("TSA")("separate").note(long_chat().state(), HelperContext(ScriptedModel("m", full)))
    )
    reply = asked_of("TSA", ScriptedModel("m", full), long_chat())
    assert separate == reply
    assert reply.text is None and [row.input_tokens for row in reply.ledger] == [4]
    pool = {"TSA": HELPERS.load("TSA")("llm")}
    notes = asyncio.run(collect_notes(long_chat().state(), ("TSA",), pool, ScriptedModel("m", full), 0, [], 0, OWN))
    assert [(note.helper, note.text) for note in notes.rejected] == [("TSA", "")]
    assert notes.rejected[0].reason == "the question does not fit the model's context"
