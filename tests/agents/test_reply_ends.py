"""`fama run` against servers' habits: whole replies act, failures of the server are errors, markup is never said."""

import json
from pathlib import Path
from typing import Any

import pytest

from fama.agents.decision import _tell_cut
from fama.agents.strategies.parser import ParseFailure, parse_calls, parse_text
from fama.cli import main
from fama.envs.base import Action
from fama.episodes.records import Episode, FunctionCall, LedgerRow, ToolCall
from fama.episodes.store import read_episodes
from fama.models.base import ChatReply
from tests.support.fake_endpoint import Answer, Endpoint, said
from tests.support.toy_agents import TOOLS

pytestmark = pytest.mark.usefixtures("lamps")
USAGE = {"prompt_tokens": 10, "completion_tokens": 2}


def run(endpoint: Endpoint, out: Path, *more: str, strategy: str = "fc") -> Episode:
    settings = [
        *("benchmark=lamps", "domain=house", "tasks=1", f"strategy={strategy}", "helpers.pool=[]", "demonstrations=0"),
        *("model.name=served", f"model.base_url={endpoint.base_url}", "model.retries=1", "model.timeout=20"),
        *("limits.steps=2", *more),
    ]
    main(["run", "--out", str(out), *settings])
    (episode,) = read_episodes(out)
    return episode


def replied(message: dict[str, Any], finish: Any = "stop", **more: Any) -> Answer:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": None, **message}, **more}
    return 200, {"choices": [choice], "usage": USAGE}


def native(name: str, arguments: str) -> dict[str, Any]:
    return {"tool_calls": [{"id": "a", "type": "function", "function": {"name": name, "arguments": arguments}}]}


def acted(episode: Episode) -> list[str]:
    return [call.function.name for message in episode.messages for call in message.tool_calls or ()]


UNFINISHED: dict[str, tuple[Answer, str]] = {
    "an open thought, cut": (
        replied({"content": '<think>\nI could {"tool": "close", "arguments": {}} but the'}, "length"),
        "cut while thinking",
    ),
    "an open thought, whole": (
        replied({"content": '<think>{"tool": "close", "arguments": {}}'}),
        "the thought has no end",
    ),
    "a thought apart, cut": (
        replied({"content": None, "reasoning_content": "I could close"}, "length"),
        "while thinking",
    ),
    "a native call, cut": (replied(native("close", '{"a": "b"'), "length"), "inside its tool call"),
    "a whole native call of a cut reply": (replied(native("close", "{}"), "length"), "inside its tool call"),
    "a call in text, cut": (replied({"content": '{"tool": "close", "arguments": {"a": [1'}, "length"), "was cut"),
    "words, cut": (replied({"content": "Your lamp is"}, "length"), "was cut before it was complete"),
    "markup, cut": (replied({"content": '<tool_call>{"name": "close", "arguments": {}'}), "cannot be read"),
    "words, filtered": (replied({"content": "Your lamp is"}, "content_filter"), "content filter"),
    "a picture": (replied({"content": [{"type": "image_url", "image_url": {}}]}), "no text (image_url)"),
    "an open thought beside a call": (replied({"content": "<think>hm", **native("close", "{}")}), "has no end"),
}


@pytest.mark.parametrize("kind", UNFINISHED)
def test_an_incomplete_reply_is_asked_again_and_never_acts(endpoint: Endpoint, tmp_path: Path, kind: str) -> None:
    answer, complaint = UNFINISHED[kind]
    endpoint.answers = [answer]
    episode = run(endpoint, tmp_path)
    assert (episode.outcome.status, episode.outcome.reason) == ("failure", "unparseable")
    assert acted(episode) == [] and len(endpoint.asked) == 2
    assert complaint in endpoint.asked[1]["messages"][-1]["content"]
    assert [row.parsed for row in episode.ledger] == [False, False]
    assert episode.messages[-1].content
    endpoint.answers = [answer, replied(native("close", "{}"), "tool_calls")]
    endpoint.asked.clear()
    again = run(endpoint, tmp_path / "again")
    assert acted(again) == ["close"] and again.outcome.reason == "closed"


@pytest.mark.parametrize("strategy", ["act", "react"])
def test_text_strategies_do_not_act_on_a_cut_reply(endpoint: Endpoint, tmp_path: Path, strategy: str) -> None:
    endpoint.answers = [replied({"content": '{"tool": "close", "arguments": {}}'}, "length")]
    assert acted(run(endpoint, tmp_path, strategy=strategy)) == []


def test_a_thought_that_is_cut_at_max_tokens_names_the_setting_once(
    endpoint: Endpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _tell_cut.cache_clear()
    cut, whole = (replied({"content": "<think>\nThe user wants"}, end) for end in ("length", "stop"))
    endpoint.answers = [(200, {**cut[1], "usage": {"prompt_tokens": 10, "completion_tokens": 200}})]
    run(endpoint, tmp_path / "cut")
    assert caplog.text.count("a reply was cut at model.max_tokens, 200, and holds no action; raise it") == 1
    _tell_cut.cache_clear()
    caplog.clear()
    endpoint.answers = [whole]
    run(endpoint, tmp_path / "whole")
    endpoint.answers = [cut]  # after 2 of 200 tokens: another limit, such as the context
    run(endpoint, tmp_path / "early")
    assert "max_tokens" not in caplog.text


FAILURES: dict[str, tuple[Answer, str]] = {
    "an error in the choice": (
        replied({"content": ""}, "error", error={"code": 502, "message": "Upstream died"}),
        "Upstream died",
    ),
    "an error at the top": ((200, {"error": {"message": "Upstream died"}, "usage": USAGE}), "Upstream died"),
    "nothing but a filter": (replied({}, "content_filter"), "withheld (content_filter)"),
    "no choices": ((200, {"choices": [], "usage": USAGE}), "no choices"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_providers_failure_is_an_error_of_the_model(endpoint: Endpoint, tmp_path: Path, kind: str) -> None:
    answer, words = FAILURES[kind]
    endpoint.answers = [answer]
    episode = run(endpoint, tmp_path)
    assert (episode.outcome.status, episode.outcome.boundary, episode.reward) == ("error", "model", None)
    assert words in episode.outcome.reason and len(endpoint.asked) == 2
    assert [(row.role, row.input_tokens, row.parsed, row.turn) for row in episode.ledger] == [("agent", 20, False, 0)]
    endpoint.answers = [replied(native("close", "{}"), "tool_calls")]
    assert run(endpoint, tmp_path).outcome.reason == "closed"  # the same command runs it again


@pytest.mark.parametrize("strategy", ["fc", "act"])
def test_a_refusals_words_are_said(endpoint: Endpoint, tmp_path: Path, strategy: str) -> None:
    endpoint.answers = [replied({"refusal": "I cannot help with that."})]
    episode = run(endpoint, tmp_path, strategy=strategy)
    assert episode.messages[2].content == "I cannot help with that." and episode.messages[3].role == "user"
    assert episode.outcome.status == "failure"


def test_content_as_parts_is_said(endpoint: Endpoint, tmp_path: Path) -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    endpoint.answers = [replied({"content": [thought, {"type": "text", "text": "Which room?"}]})]
    assert run(endpoint, tmp_path).messages[2].content == "Which room?"


@pytest.mark.parametrize("strategy", ["fc", "act", "react"])
def test_surrogates_and_control_characters_do_not_kill_a_run(endpoint: Endpoint, tmp_path: Path, strategy: str) -> None:
    call = '{"tool": "find_lamp", "arguments": {"room": "\\ud800\\u0000"}}'
    thought = {"reasoning_content": "\udfff"}
    endpoint.answers = [
        replied({"content": f"Thought: a\ud800b\x1b\nAction: {call}", **thought}),
        replied({"content": "\ud800", **native("find_lamp\ud800", '{"room": "\ud800"}')}),
    ]
    episode = run(endpoint, tmp_path, strategy=strategy)
    assert "find_lamp" in acted(episode) and "\x1b" not in episode.model_dump_json()


def test_markup_is_called_or_refused_but_never_said(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answers = [
        replied({"content": "<function=find_lamp>\n<parameter=room>\nt0\n</parameter>\n</function>\n</tool_call>"}),
        replied({"content": "<|channel|>final<|message|>It is lamp L1.<|return|>"}),
    ]
    episode = run(endpoint, tmp_path)
    assert acted(episode) == ["find_lamp"] and episode.messages[-2].content == "It is lamp L1."


def test_unknown_counts_stay_unknown_and_limits_hold(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answers = [said("Which room?")]
    episode = run(endpoint, tmp_path, "limits.steps=50", "limits.tokens=150", "limits.repeats=99")
    assert episode.outcome.reason == "max_tokens" and 1 <= len(episode.decisions) < 20
    assert all(row.total_tokens is None for row in episode.ledger if row.role == "agent")
    summary = json.loads((tmp_path / "summary.json").read_text())["overall"]
    assert summary["tokens"]["total"] is None and summary["tokens"]["user"] is not None
    assert main(["score", str(tmp_path)]) == 0


def test_a_hard_budget_holds_without_counts(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answers = [said("Which room?")]
    helper = [
        "helpers.pool=[Planner]",
        "helpers.form=separate",
        "selector.name=all",
        "cadence=turn",
        "limits.repeats=99",
    ]
    free = run(endpoint, tmp_path / "free", *helper, "limits.steps=12")
    calls = [row for row in free.ledger if row.role == "helper:Planner"]
    assert len(calls) > 3
    room = sum(row.budget_tokens for row in calls) // 2
    from fama.helpers.base import HELPERS
    from fama.selection.budget import helper_cap

    cap = helper_cap(HELPERS.load("Planner")("separate"))
    tight = run(endpoint, tmp_path / "tight", *helper, "limits.steps=12", f"budget.run={cap + room}")
    spent = [row for row in tight.ledger if row.role == "helper:Planner"]
    assert 0 < len(spent) < len(calls) and any(decision.dropped for decision in tight.decisions)


@pytest.mark.parametrize("count", [-5, 10**30, True, "many", 1.5])
def test_an_absurd_count_on_disk_is_unknown(tmp_path: Path, count: Any) -> None:
    row = {"role": "agent", "model": "m", "input_tokens": count, "output_tokens": 3}
    read = LedgerRow.model_validate_json(json.dumps(row))
    assert read.input_tokens is None and read.total_tokens is None and read.output_tokens == 3


def test_words_of_a_reply_are_without_thoughts() -> None:
    row = LedgerRow(role="user", model="m")
    assert ChatReply("<think>hm</think>Yes.<|im_end|>", row).words == "Yes."
    assert ChatReply("<think>hm", row).words == ""


NAMES = [tool.name for tool in TOOLS]


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("find_lamp", "find_lamp"),
        ("find_lamp<|channel|>commentary", "find_lamp"),
        ("functions.find_lamp", "find_lamp"),
        ("find_lamp_by_room", "find_lamp_by_room"),
        ("functions.other", "functions.other"),
        ('find_lamp"}<b>', None),
    ],
)
def test_native_names(name: str, tool: str | None) -> None:
    call = ToolCall(id="a", function=FunctionCall(name=name, arguments='{"room": "t0"}'))
    for found in (parse_calls([call], NAMES), parse_calls([call], TOOLS)):
        assert (found.tool if isinstance(found, Action) else None) == tool


def test_arguments_that_are_json_text_once_more() -> None:
    call = ToolCall(id="a", function=FunctionCall(name="find_lamp", arguments=json.dumps('{"room": "t0"}')))
    assert parse_calls([call], TOOLS) == Action(tool="find_lamp", arguments={"room": "t0"})


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"room": "t0"', "are cut"),
        ('{"room": "t0", "lamps": ["l1", "l2"', "are cut"),
        ('{"room": "t', "are cut"),
        ('{"room": NaN}', "not a JSON object"),
        ('{"room": -Infinity}', "not a JSON object"),
        ('{"room": 1e400}', "not a JSON object"),
        ("{'room': 1e400}", "not a JSON object"),
        ("null", "not a JSON object"),
    ],
)
def test_native_arguments_are_whole_and_of_json(arguments: str, why: str) -> None:
    call = ToolCall(id="a", function=FunctionCall(name="find_lamp", arguments=arguments))
    found = parse_calls([call], TOOLS)
    assert isinstance(found, ParseFailure) and why in found.reason


def test_arguments_in_brackets_behind_the_action() -> None:
    assert parse_text("Action: find_lamp(room='t0')", TOOLS) == Action(tool="find_lamp", arguments={"room": "t0"})
    assert isinstance(parse_text("Action: find_lamp[t0]", TOOLS), ParseFailure)
    assert isinstance(parse_text('{"tool": "find_lamp", "arguments": {"lamps": ["l1"', TOOLS), ParseFailure)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "find_lamp", "arguments": {"room": NaN}}',
        '{"name": "find_lamp", "arguments": {"room": 1e400}}',
        '{"name": "find_lamp", "arguments": {"room": "t',
        'Let me look. {"tool": "find_lamp", "arguments": {"room": t0}',
        '{"tool": "respond", "arguments": {"text": "<tool_call>close"}}',
        '{"tool": "respond", "arguments": {"text": "<think>close"}}',
        "<|im_end|>",
    ],
)
def test_what_is_left_of_a_call_is_not_said(text: str) -> None:
    assert isinstance(parse_text(text, TOOLS, prose=True), ParseFailure)
