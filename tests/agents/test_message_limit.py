"""The limit of one message: replies, arguments, tool outputs and unread replies of 10 MB are cut with a mark."""

import json
import logging
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama.agents.loop import run_episode
from fama.agents.runs.run_config import config_hash
from fama.envs.base import Action, Observation
from fama.episodes.cutting import cut_decision
from fama.episodes.records import Decision, FunctionCall, LedgerRow, RejectedNote, ToolCall
from fama.models.base import ChatReply
from fama.settings import ExperimentSettings, LimitSettings
from fama.text.cut import cut_arguments, cut_text
from tests.support.toy_agents import LampWorld, Recorder, setup_for

BIG, LONG = 10_000_000, 15_000
FC = ExperimentSettings(strategy="fc", limits=LimitSettings(message_chars=1000))
ROW = LedgerRow(role="agent", model="toy", input_tokens=1, output_tokens=1)


def calling(name: str, **arguments: str) -> ChatReply:
    call = ToolCall(id="x", function=FunctionCall(name=name, arguments=json.dumps(arguments)))
    return ChatReply("", ROW, tool_calls=(call,))


class LoudWorld(LampWorld):
    """The first lookup answers with 10 MB."""

    async def step(self, action: Action) -> Observation:
        seen = await super().step(action)
        return replace(seen, content="o" * BIG) if action.tool == "find_lamp" else seen


async def test_the_loop_goes_on_and_what_is_stored_says_what_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    world = LoudWorld()
    replies = [
        ChatReply("x" * BIG, ROW),  # too long to be read: asked for again
        ChatReply("w" * LONG, ROW),
        calling("find_lamp", room="r" * LONG),
        calling("switch_on", lamp_id="L1"),
        calling("close"),
    ]
    model = Recorder(lambda _, number: replies[number], "toy")
    with caplog.at_level(logging.WARNING):
        episode = await run_episode(setup_for(model, world), FC)
    assert (episode.outcome.status, episode.outcome.reason) == ("success", "closed")
    words, call, output = (episode.messages[index] for index in (2, 4, 5))
    assert words.content == "w" * 1000 + "… [14,000 characters cut]"
    assert call.tool_calls is not None
    assert call.tool_calls[0].function.parsed() == {"room": "r" * 1000 + "… [14,000 characters cut]"}
    assert output.content == "o" * 1000 + "… [9,999,000 characters cut]"
    assert [len(str(action.arguments.get("room", ""))) for action in world.actions] == [0, LONG, 0, 0]  # executed whole
    assert len(episode.model_dump_json()) < 20_000
    assert all(len(str(request.messages)) < 20_000 for request in model.requests)
    assert caplog.text.count("stored cut") == 3


async def test_thoughts_and_replies_that_cannot_be_read_are_cut() -> None:
    thought = ChatReply("", ROW, reasoning="t" * BIG, finish_reason="length")
    episode = await run_episode(setup_for(Recorder(lambda *_: thought, "toy")), FC)
    assert episode.outcome.reason == "unparseable"
    assert episode.messages[-1].content == "t" * 1000 + "… [9,999,000 characters cut]"


def test_rejected_notes_are_cut() -> None:
    long, short = (RejectedNote(helper="DCE", text="n" * size, reason="over its cap") for size in (3000, 1000))
    cut = cut_decision(Decision(turn=0, message_index=1, rejected=(long, short)), 1000)
    assert [note.text for note in cut.rejected] == ["n" * 1000 + "… [2,000 characters cut]", "n" * 1000]


def test_the_default_changes_no_hash_and_another_limit_does() -> None:
    plain = ExperimentSettings()
    assert "message_chars" not in plain.limits.model_dump()
    assert config_hash(plain) == config_hash(ExperimentSettings(limits=LimitSettings(message_chars=200_000)))
    assert config_hash(plain) != config_hash(ExperimentSettings(limits=LimitSettings(message_chars=300_000)))


@settings(max_examples=50)
@given(st.text(max_size=50), st.integers(min_value=0, max_value=60))
def test_a_cut_text_is_its_start_and_the_count_of_the_rest(text: str, limit: int) -> None:
    cut = cut_text(text, limit)
    start, mark, rest = cut.rpartition("… [")
    if len(text) <= limit:
        assert cut == text
    else:
        assert mark and start == text[:limit] and rest == f"{len(text) - limit:,} characters cut]"


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner, max_size=8),
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5) | VALUES, st.integers(min_value=10, max_value=100))
def test_cut_arguments_stay_an_object_within_bounds(value: object, limit: int) -> None:
    text = json.dumps(value, ensure_ascii=False)
    cut = cut_arguments(text, limit)
    if len(text) <= limit:
        assert cut == text
    else:
        assert isinstance(json.loads(cut), dict) and " characters cut]" in cut or len(cut) <= 2 * limit
        assert len(cut) <= 2 * limit + 60
