"""The replay of a logged episode, and the user who says what the log says."""

from dataclasses import replace

import pytest

from fama.agents.decision import Decided
from fama.envs.base import Action
from fama.episodes.records import Decision, Episode, FunctionCall, LedgerRow, Message, Outcome, ToolCall
from fama.episodes.state import state_at
from fama.errors import UserFault
from fama.mining.records import split_of
from fama.mining.replay import Differs, RecordedUser, Replay, logged_action, said_alike
from fama.models.base import ChatReply, ChatRequest
from fama.models.scripted import ScriptedModel


def call(number: int, name: str, arguments: str = "{}", thought: str | None = None) -> Message:
    function = FunctionCall(name=name, arguments=arguments)
    return Message(role="assistant", content=thought, tool_calls=(ToolCall(id=f"call_{number}", function=function),))


LOG = Episode(
    id="e",
    benchmark="b",
    domain="d",
    task_id="t",
    messages=(
        Message(role="system", content="Rules."),
        Message(role="user", content="Hello."),
        Message(role="assistant", content="What is it?"),
        Message(role="user", content="My order."),
        call(1, "find", '{"id": 7}', "Let me see."),
        Message(role="tool", content="found", tool_call_id="call_1", name="find"),
        Message(role="assistant", content="no action in here"),
    ),
    decisions=tuple(Decision(turn=turn, message_index=index) for turn, index in enumerate((2, 4, 6))),
    outcome=Outcome(status="failure", reason="unparseable"),
)


def decided(action: Action | None, text: str = "") -> Decided:
    return Decided(action, text, LOG.decisions[0])


def test_logged_actions_are_words_calls_and_what_could_not_be_read() -> None:
    assert logged_action(LOG, 0).action == Action(None, text="What is it?")
    assert logged_action(LOG, 1).action == Action("find", {"id": 7}, "Let me see.")
    assert logged_action(LOG, 2).action is None
    assert logged_action(LOG, 2).reply_text == "no action in here"


def test_a_flag_that_an_older_log_lacks_is_no_difference() -> None:
    state = state_at(LOG, 2)
    flagged = tuple(m.model_copy(update={"failed": True}) if m.role == "tool" else m for m in state.messages)
    assert flagged != state.messages
    Replay(LOG).check(replace(state, messages=flagged))
    assert said_alike(flagged[-1], state.messages[-1])
    assert not said_alike(flagged[-1], flagged[-1].model_copy(update={"content": "lost"}))


@pytest.mark.parametrize(
    ("action", "stays"),
    [
        (Action("find", {"id": 7}, "Let me see."), True),
        (Action("find", {"id": 8}, "Let me see."), False),
        (Action("find", {"id": 7}, "Another thought."), False),
        (Action("look", {"id": 7}, "Let me see."), False),
        (None, False),
    ],
)
def test_a_run_leaves_the_log_with_its_first_other_message(action: Action | None, stays: bool) -> None:
    replay = Replay(LOG)
    replay.took(decided(action), 1)
    assert replay.on is stays
    assert (replay.logged(2) is not None) is stays
    drawn = Replay(LOG, sampled=True)
    drawn.took(decided(action), 1)
    assert not drawn.on


def test_every_difference_has_its_place() -> None:
    state = state_at(LOG, 1)
    Replay(LOG).check(state)
    other = (*state.messages[:-1], Message(role="user", content="My invoice."))
    replay = Replay(LOG)
    with pytest.raises(Differs, match="message 3: user 'My invoice.' now, user 'My order.' in the log"):
        replay.check(replace(state, messages=other))
    assert replay.difference
    with pytest.raises(Differs, match="message 0"):
        Replay(LOG).check(replace(state, policy="Other rules."))
    with pytest.raises(Differs, match="decision 3: the log has ended before it"):
        Replay(LOG).check(replace(state_at(LOG, 2), turn=3))
    off = Replay(LOG, on=False)
    off.check(replace(state, messages=other))


async def test_a_recorded_user_answers_what_is_in_the_log_only() -> None:
    replay = Replay(LOG)
    user = RecordedUser(replay, None)
    greeting, own = {"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello."}
    request = ChatRequest(messages=(greeting,), role="user")
    assert (await user.complete(request)).text == "Hello."
    second = ChatRequest(messages=(greeting, own, greeting), role="user")
    assert [(await user.complete(second)).text for _ in range(2)] == ["My order."] * 2  # read from the request alone
    with pytest.raises(UserFault, match="a recorded user cannot answer"):
        await user.complete(ChatRequest(messages=(greeting, own, greeting, own, greeting), role="user"))
    with pytest.raises(UserFault, match="calls of its own tools"):
        await user.complete(ChatRequest(messages=(), role="user", tools=({"type": "function"},)))
    replay.on = False
    with pytest.raises(UserFault, match="a recorded user cannot answer"):
        await user.complete(request)
    live = ScriptedModel("live", lambda _: ChatReply("Yes.", LedgerRow(role="user", model="live")))
    assert (await RecordedUser(replay, live).complete(request)).text == "Yes."


def test_the_split_of_a_task() -> None:
    splits = [("train", ("a", "b")), ("test", ("b", "c"))]
    assert [split_of(task, splits) for task in ("a", "b", "c", "d")] == ["train", "test", "test", None]
