"""Openings of replies: asked for, found at the start of what comes, and no reason to end it."""

from typing import Any

import pytest

from fama.agents.strategies.base import STRATEGIES
from fama.episodes.records import Message, ToolSpec
from fama.models.base import ChatRequest, Sampling
from fama.models.client import Flavour
from fama.models.prefill import with_prefill
from tests.support.fake_endpoint import Answer, Endpoint, chat_client, chat_request, said

TOOL = ToolSpec(name="list_orders", description="Lists orders.", parameters="{}")
CALL = '{"tool": "list_orders", "arguments": {}}'


def test_with_prefill_understands_trimmed_white_space() -> None:
    assert with_prefill("Thought: a", "Thought: ") == "Thought: a"
    assert with_prefill("Thought:  a", "\nThought: ") == "\nThought: a"
    assert with_prefill("anything", "") == "anything"


def _strict(reply: str) -> Any:
    """Return a server that ends a reply at the stop words that it is told, as real ones do."""

    def answer(body: dict[str, Any]) -> Answer:
        ends = [place for word in body.get("stop", ()) if (place := reply.find(word)) >= 0]
        return said(reply[: min(ends)] if ends else reply)

    return answer


@pytest.mark.parametrize("note", ["", "List the orders."])
@pytest.mark.parametrize("lead", ["", "\n", "```json\n", "<think>\nWhat now?\n</think>\n\n", "<think>\n\n</think>\n\n"])
@pytest.mark.parametrize("repeats", ["all", "other white space", "its own line only"])
@pytest.mark.parametrize("strategy", ["act", "react"])
async def test_an_opening_asked_for_in_words_ends_no_reply(
    strategy: str, repeats: str, lead: str, note: str, endpoint: Endpoint
) -> None:
    plan = STRATEGIES.load(strategy)()
    prompt = plan.prompt((Message(role="user", content="Which orders do I have?"),), "Help.", (TOOL,), (), note)
    own = CALL if strategy == "act" else f" They are to be listed.\nAction: {CALL}\nObservation: none"
    said_note = {"all": prompt.note_prefix, "other white space": f"{prompt.note_prefix}\n"}.get(repeats, "")
    opening = "" if strategy == "act" else "Thought:"
    endpoint.answer = _strict(f"{lead}{said_note}{opening}{own}\n{opening}And then I wait.")
    request = ChatRequest(
        messages=prompt.messages, role="agent", prefill=prompt.prefill, sampling=Sampling(stop=prompt.stop)
    )
    async with chat_client(endpoint, "openai") as model:
        reply = await model.complete(request)
    action = plan.parse(reply, prompt, (TOOL,))
    assert getattr(action, "tool", action) == "list_orders"
    assert "And then I wait" not in reply.text


async def test_a_reply_of_a_server_without_stop_words_ends_behind_its_first_line(endpoint: Endpoint) -> None:
    told = {"error": {"message": "Unsupported parameter: 'stop' is not supported with this model."}}
    answer = said("\nlist_orders\n\nThe customer wants to see them.")
    endpoint.answer = lambda body: (400, told) if "stop" in body else answer
    async with chat_client(endpoint, "openai", retries=0) as model:
        reply = await model.complete(chat_request(sampling=Sampling(stop=("\n",))))
    assert reply.text == "\nlist_orders"


async def test_a_reply_that_leaves_the_opening_away_is_not_cut_at_words_of_it(endpoint: Endpoint) -> None:
    endpoint.answer = _strict(f"Thought: list them.\nAction: {CALL}\nObservation: none")
    request = chat_request(prefill='{"tool": "', sampling=Sampling(stop=("\n", "\nObservation:")))
    async with chat_client(endpoint, "openai") as model:
        assert (await model.complete(request)).text == f"Thought: list them.\nAction: {CALL}"


async def test_a_thought_that_has_no_end_is_not_cut(endpoint: Endpoint) -> None:
    endpoint.answer = _strict("<think>\nWhat\nnow")
    request = chat_request(prefill='{"tool": "', sampling=Sampling(stop=("\n",)))
    async with chat_client(endpoint, "openai") as model:
        assert (await model.complete(request)).text == "<think>\nWhat\nnow"


async def test_stop_words_that_cannot_stand_in_an_opening_are_sent(endpoint: Endpoint) -> None:
    stop = ("\nObservation:", "\nThought:", "\n")
    endpoint.answers = [said("yes")]
    request = chat_request(prefill="Note: a\nThought:", sampling=Sampling(stop=stop))
    told: dict[Flavour, list[str]] = {"openai": ["\nObservation:"], "llama.cpp": list(stop), "vllm": list(stop)}
    for flavour, sent in told.items():
        async with chat_client(endpoint, flavour) as model:
            await model.complete(request)
        assert endpoint.asked[-1]["stop"] == sent
