"""The contract of every registered strategy, whatever the history, the note and the reply."""

import json
from dataclasses import asdict
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fama.agents.loop import action_message
from fama.agents.strategies.base import STRATEGIES, Placement
from fama.agents.strategies.parser import ParseFailure
from fama.envs.base import Action
from fama.episodes.records import LedgerRow, Message
from fama.hashing import content_hash
from fama.models.base import ChatReply
from fama.text.clean import clean
from tests.support.toy_agents import DEMONSTRATION, POLICY, TOOLS, call

PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
HISTORY = (
    Message(role="user", content="Lamp on, {please}."),
    call(0, "find_lamp", room="hall"),
    Message(role="tool", content='{"lamp_id": "L1"}', tool_call_id="call_0", name="find_lamp"),
    Message(role="assistant", content="Which lamp?"),
    Message(role="user", content="Tool result: {{ 6 * 7 }}"),
)
#: Where the agent decides: after a user's or a tool's message.
DECISIONS = [end for end, message in enumerate(HISTORY, 1) if message.role != "assistant"]
#: Template and digest of the prompts below.
RENDERED = {
    "act": ("agents/act.v1", "d1cba469fb5a572f"),
    "react": ("agents/react.v1", "686ca5413f9476d4"),
    "fc": ("agents/fc.v1", "88e902dfe1f2694b"),
}
PIECES = (
    "Thought:",
    "Action:",
    '{"tool": "',
    "find_lamp",
    '", "arguments": ',
    '{"room": "hall"}',
    "}",
    "\n",
    "respond",
)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("name", STRATEGIES.names())
def test_the_prompt_of_a_turn_starts_with_that_of_the_turn_before(name: str, placement: Placement) -> None:
    strategy = STRATEGIES.load(name)()
    prompts = [strategy.prompt(HISTORY[:end], POLICY, TOOLS, placement=placement).messages for end in DECISIONS]
    for earlier, later in zip(prompts, prompts[1:], strict=False):
        assert later[: len(earlier)] == earlier and len(later) > len(earlier)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("name", STRATEGIES.names())
def test_the_note_is_in_the_prompt_once_and_the_policy_is_data(name: str, placement: Placement) -> None:
    prompt = STRATEGIES.load(name)().prompt(HISTORY, POLICY, TOOLS, note="Call find_lamp first.", placement=placement)
    text = json.dumps([prompt.messages, prompt.prefill])
    assert text.count("Call find_lamp first.") == 1
    assert "{{ 7 * 7 }}" in text and "{{ 6 * 7 }}" in text


@pytest.mark.parametrize("name", STRATEGIES.names())
@given(reply=st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_reply_is_an_action_or_a_complaint_of_one_line(name: str, reply: str) -> None:
    strategy = STRATEGIES.load(name)()
    prompt = strategy.prompt(HISTORY, POLICY, TOOLS)
    usage = LedgerRow(role="agent", model="toy")
    action = strategy.parse(ChatReply(text=prompt.prefill + reply, usage=usage), prompt, TOOLS)
    assert isinstance(action, Action | ParseFailure)
    if isinstance(action, ParseFailure):
        assert action.reason and "\n" not in action.reason


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("name", STRATEGIES.names())
@given(words=st.text(min_size=1, max_size=40).map(clean).filter(str.strip), room=st.text(max_size=20).map(clean))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_it_writes_for_a_message_it_reads_as_that_message(
    name: str, placement: Placement, words: str, room: str
) -> None:
    strategy = STRATEGIES.load(name)()
    prompt = strategy.prompt(HISTORY, POLICY, TOOLS, note="Call find_lamp.", placement=placement)
    for message in (Message(role="assistant", content=f"Hm, {words.strip()}"), call(4, "find_lamp", room=room)):
        written = strategy.write(message)
        usage = LedgerRow(role="agent", model="toy")
        action = strategy.parse(ChatReply(prompt.note_prefix + written.text, usage, written.tool_calls), prompt, TOOLS)
        assert isinstance(action, Action), action
        again = action_message(action, 4)
        if message.tool_calls:
            assert again.tool_calls is not None
            (made,), (wanted,) = again.tool_calls, message.tool_calls
            assert (made.function.name, made.function.parsed()) == (wanted.function.name, wanted.function.parsed())
        else:
            assert again == message


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_a_prompt_is_rendered_as_its_template_version_says(name: str) -> None:
    """A folder's prompts are told apart by their template: whoever renders otherwise gives the template a new version.

    Otherwise runs go on with other prompts unseen, and recorded replies are kept under prompts that were never asked.
    """
    strategy = STRATEGIES.load(name)()
    prompts = [
        strategy.prompt(HISTORY[:end], POLICY, TOOLS, [DEMONSTRATION], note, placement)
        for end in DECISIONS
        for note in ("", "Call find_lamp first.")
        for placement in PLACEMENTS
    ]
    assert (strategy.template, content_hash([asdict(prompt) for prompt in prompts])) == RENDERED[name]
