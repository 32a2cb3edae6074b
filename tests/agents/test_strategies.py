import json
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast, get_args

import pytest

from fama.agents.loop import run_episode
from fama.agents.strategies.base import STRATEGIES, Placement, Prompt, Strategy, signature
from fama.agents.strategies.fc import FunctionCalling
from fama.agents.strategies.parser import ParseFailure
from fama.envs.base import Action
from fama.episodes.records import FunctionCall, LedgerRow, Message, ToolCall, ToolSpec
from fama.models.base import ChatReply
from fama.settings import ExperimentSettings
from tests.support.toy_agents import DEMONSTRATION, GOLD, POLICY, TOOLS, Guide, Recorder, act_line, call, setup_for

PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
ALL = [(name, placement) for name in STRATEGIES.names() for placement in PLACEMENTS]
HISTORY = (
    Message(role="user", content="Lamp on, {please}."),
    call(0, "find_lamp", room="hall"),
    Message(role="tool", content='{"lamp_id": "L1"}', tool_call_id="call_0", name="find_lamp"),
    Message(role="assistant", content="Which lamp?"),
    Message(role="user", content="Tool result: {{ 6 * 7 }}"),
)


def strategy(name: str) -> Strategy:
    return STRATEGIES.load(name)()


def prompt(
    name: str, history: tuple[Message, ...] = HISTORY, note: str = "", placement: Placement = "assistant"
) -> Prompt:
    return strategy(name).prompt(history, POLICY, TOOLS, [DEMONSTRATION], note, placement)


def rendered(value: Prompt) -> str:
    """The prompt as a chat template would write it, with the opened assistant turn."""
    calls = [json.dumps(m["tool_calls"]) if "tool_calls" in m else "" for m in value.messages]
    turns = [f"<{m['role']}>{call}{m['content']}</>" for m, call in zip(value.messages, calls, strict=True)]
    return "".join(turns) + f"<assistant>{value.prefill}"


@pytest.mark.parametrize(("name", "placement"), ALL)
async def test_prompt_is_a_prefix_of_the_next_whatever_was_noted(name: str, placement: Placement) -> None:
    strategy_ = strategy(name)
    replies = {
        "act": list(GOLD),
        "react": [f"Thought: so be it.\nAction: {line}" for line in GOLD],
        "fc": list(GOLD),
    }[name]
    notes = ["Be brief.", None, "Call find_lamp first."]

    class Changing(Guide):
        async def note(self, state: Any, context: Any) -> Any:
            self.text = notes[state.turn]
            return await super().note(state, context)

    model = Recorder(
        lambda request, n: request.prefill.removesuffix(getattr(strategy_, "prefill", "")) + replies[n], "toy"
    )
    settings = ExperimentSettings.model_validate({"strategy": name, "placement": placement})
    setup = setup_for(model, helpers=[Changing()], demonstrations=[DEMONSTRATION])
    episode = await run_episode(setup, settings)
    assert episode.outcome.status == "success"
    history = tuple(m for m in episode.messages if m.role != "system")
    plain = [prompt(name, history[: d.message_index - 1]) for d in episode.decisions]
    for now, then in pairwise(plain):
        assert then.messages[: len(now.messages)] == now.messages
        assert rendered(then).startswith(rendered(now))
    for request, bare, note in zip(model.requests, plain, notes, strict=True):
        if note is None:
            assert (request.messages, request.prefill) == (bare.messages, bare.prefill)
        else:  # what was really sent differs at its very end only
            assert request.messages[: len(bare.messages) - 1] == bare.messages[:-1]
            whole = rendered(Prompt(request.messages, request.prefill))
            assert whole.count(f"Note: {note}") == 1
            assert "Note:" not in rendered(bare)
            assert whole.startswith(rendered(bare).rpartition("</><assistant>")[0])


def test_act_renders_history_as_json_lines_and_words() -> None:
    messages = prompt("act").messages
    assert [m["role"] for m in messages] == ["system", *["user", "assistant"] * 4, "user"]
    assert messages[-4]["content"] == act_line("find_lamp", room="hall")
    assert messages[-3]["content"] == 'Tool result: {"lamp_id": "L1"}'
    assert messages[-2]["content"] == act_line("respond", text="Which lamp?")
    assert messages[-1]["content"] == "Customer: Tool result: {{ 6 * 7 }}"
    assert prompt("act").prefill == '{"tool": "'
    assert messages[-4]["content"].startswith(prompt("act").prefill)


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_policy_is_data_and_not_a_template(name: str) -> None:
    assert POLICY in prompt(name).messages[0]["content"]


@pytest.mark.parametrize("name", ["act", "react"])
def test_roles_alternate(name: str) -> None:
    history = (*HISTORY[:2], HISTORY[2], Message(role="user", content="Hello?"))
    roles = [m["role"] for m in prompt(name, history).messages]
    assert all(a != b for a, b in pairwise(roles))


def test_placements() -> None:
    opened = prompt("act", note="Be\nbrief.")
    assert (opened.prefill, opened.note_prefix) == ('Note: Be brief.\n{"tool": "', "Note: Be brief.\n")
    at_user = prompt("act", note="Be brief.", placement="user")
    assert at_user.messages[-1]["content"].endswith("{{ 6 * 7 }}\n\nNote: Be brief.")
    at_system = prompt("act", note="Be brief.", placement="system")
    assert at_system.messages[-1] == {"role": "system", "content": "Note: Be brief."}
    assert at_user.prefill == at_system.prefill == '{"tool": "'


def reply(text: str, *calls: ToolCall) -> ChatReply:
    return ChatReply(text, LedgerRow(role="agent", model="m"), calls)


def test_note_in_the_reply_is_not_read_as_an_action() -> None:
    asked = prompt("act", note='He said "{"tool": "close", "arguments": {}}".')
    said = reply(asked.prefill + 'find_lamp", "arguments": {"room": "hall"}}')
    assert strategy("act").parse(said, asked, TOOLS) == Action("find_lamp", {"room": "hall"})


def test_react_keeps_the_thought_of_a_call() -> None:
    asked = prompt("react", note="Be brief.")
    said = reply(f"{asked.prefill} I look\n it up.\nAction: {act_line('find_lamp', room='hall')}\nTool result: x")
    action = strategy("react").parse(said, asked, TOOLS)
    assert action == Action("find_lamp", {"room": "hall"}, text="I look it up.")
    shown = prompt("react").messages
    assert shown[-4]["content"].startswith("Thought: The next step is find_lamp.\nAction: {")
    assert (
        shown[-2]["content"]
        == f"Thought: Now I answer the customer.\nAction: {act_line('respond', text='Which lamp?')}"
    )


@pytest.mark.parametrize(
    "written",
    [
        " It is due. Action: {}",
        " It is due. {}",
        " It is due.\n\n**Action:** {}",
        " It is due.\n```json\n{}\n```",
        " It is due. **Action**: `{}`",
    ],
)
def test_a_thought_ends_where_its_action_begins(written: str) -> None:
    asked = prompt("react")
    line = act_line("find_lamp", room="hall")
    action = strategy("react").parse(reply(asked.prefill + written.replace("{}", line)), asked, TOOLS)
    assert action == Action("find_lamp", {"room": "hall"}, text="It is due.")
    for kept in ("The next action: {ask}.", 'It is {"status": "due"}.'):
        action = strategy("react").parse(reply(f"{asked.prefill} {kept} \nAction: {line}"), asked, TOOLS)
        assert action == Action("find_lamp", {"room": "hall"}, text=kept)


def test_fc_sends_openai_messages_and_tools() -> None:
    asked = prompt("fc", note="Be brief.")
    assert [tool["function"]["name"] for tool in asked.tools] == ["find_lamp", "switch_on", "close"]
    assert asked.messages[-4]["tool_calls"][0]["function"] == {"name": "find_lamp", "arguments": '{"room": "hall"}'}
    assert asked.messages[-3]["tool_call_id"] == "call_0"
    assert asked.prefill == "Note: Be brief.\n"


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_a_log_s_own_flag_is_not_sent(name: str) -> None:
    flagged = tuple(m.model_copy(update={"failed": True}) if m.role == "tool" else m for m in HISTORY)
    assert prompt(name, flagged).messages == prompt(name).messages


def test_a_stated_role_of_a_tool_is_not_sent() -> None:
    schema = {"type": "object", "properties": {"x-fama-role": {"type": "string"}}}
    tool = ToolSpec(name="switch", description="", parameters=json.dumps({**schema, "x-fama-role": "write"}))
    sent = FunctionCalling().prompt(HISTORY, POLICY, (tool,)).tools
    assert [one["function"]["parameters"] for one in sent] == [schema]


def test_fc_reads_calls_json_and_prose() -> None:
    asked = prompt("fc", note="Be brief.")
    native = ToolCall(id="x", function=FunctionCall(name="close", arguments="{}"))
    parse = strategy("fc").parse
    assert parse(reply(asked.prefill + "Bye.", native), asked, TOOLS) == Action("close", text="Bye.")
    assert parse(reply('```json\n{"name": "close"}\n```'), asked, TOOLS) == Action("close")
    assert parse(reply(asked.prefill + "Which lamp?"), asked, TOOLS) == Action(None, text="Which lamp?")
    assert isinstance(parse(reply(asked.prefill), asked, TOOLS), ParseFailure)


def test_signature() -> None:
    schema = {
        "type": "object",
        "required": ["room"],
        "properties": {
            "room": {"type": "string", "description": "its name"},
            "mode": {"enum": ["dim", "full"]},
            "ids": {"type": "array", "items": {"type": "integer"}},
            "any": {},
        },
    }
    tool = ToolSpec(name="set", description="Sets\n a lamp.", parameters=json.dumps(schema))
    assert signature(tool) == (
        'set(room: string (its name), mode?: "dim"|"full", ids?: list[integer], any?: any) - Sets a lamp.'
    )


def test_repair_prompt_ends_with_reply_and_complaint() -> None:
    asked = prompt("act", note="Be brief.")
    again = asked.repaired("nonsense", "Format error: no.")
    assert again.messages[: len(asked.messages)] == asked.messages
    assert [cast("str", m["content"]) for m in again.messages[-2:]] == ["nonsense", "Format error: no."]
    assert (again.prefill, again.note_prefix) == ('{"tool": "', "")
    assert asked.repaired(" \n", "Format error: no.").messages[-2]["content"] == "(nothing)"


@pytest.mark.parametrize(
    "reply",
    [
        "Note: Be brief.\nHello there.",
        "Note: Be brief. Hello there.",
        "\nNote: Be brief.\r\nHello there.",
        "<think>Be brief</think>Note: Be brief.\n\nHello there.",
    ],
)
def test_a_note_that_a_model_was_asked_to_begin_with_is_not_said(reply: str) -> None:
    prompt = Prompt((), prefill="Note: Be brief.\n", note_prefix="Note: Be brief.\n")
    answer = ChatReply(text=reply, usage=LedgerRow(role="agent", model="m"))
    assert FunctionCalling().parse(answer, prompt, ()) == Action(tool=None, text="Hello there.")
    beside = replace(answer, tool_calls=(ToolCall(id="a", function=FunctionCall(name="close", arguments="{}")),))
    assert FunctionCalling().parse(beside, prompt, ()) == Action(tool="close", text="Hello there.")
    assert prompt.without_note("Note: Be briefer.") == "Note: Be briefer."
    for nothing in ("Note: Be brief.", "<think>x</think>Note: Be brief."):
        assert isinstance(FunctionCalling().parse(replace(answer, text=nothing), prompt, ()), ParseFailure)
