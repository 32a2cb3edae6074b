"""Results of tau2 in all layouts: one file, a folder, without tasks, voice, interrupted, agents of all kinds."""

import json
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.episodes.attach import read_tools
from fama.episodes.foreign.logged_messages import USER_TOOLS
from fama.episodes.records import total_tokens
from tests.support.foreign_logs import SAID, imported, write_json, write_lines

INFO: dict[str, Any] = {
    "git_commit": "abc",
    "max_steps": 30,
    "agent_info": {"implementation": "llm_agent", "llm": "m", "llm_args": {"temperature": 0.0, "api_key": "hidden"}},
    "user_info": {"implementation": "user_simulator", "llm": "u"},
    "environment_info": {"domain_name": "airline", "policy": "Shared.", "tool_defs": None},
}
TASKS: list[dict[str, Any]] = [
    {
        "id": "0",
        "user_scenario": {"instructions": "Go."},
        "evaluation_criteria": {"actions": [], "communicate_info": ["5"]},
    }
]


def simulation(name: str, task: str = "0", **more: Any) -> dict[str, Any]:
    row = {"id": name, "task_id": task, "termination_reason": "user_stop", "messages": SAID}
    return {**row, "reward_info": {"reward": 1.0, "reward_breakdown": {"DB": 1.0, "NL": None}}, **more}


def result(*rows: Any, **more: Any) -> dict[str, Any]:
    return {"info": INFO, "tasks": TASKS, "simulations": list(rows), **more}


def folder(path: Path, names: tuple[str, ...], listed: tuple[str, ...]) -> Path:
    index = [{"id": name, "task_id": "0"} for name in listed]
    write_json(path / "results.json", {"info": INFO, "tasks": TASKS, "simulation_index": index})
    for name in names:
        write_json(path / f"simulations/{name}.json", simulation(name, trial=names.index(name)))
    return path


@pytest.mark.parametrize("part", ["", "results.json", "simulations"])
def test_a_folder_of_simulations(tmp_path: Path, part: str) -> None:
    path = folder(tmp_path / "run", ("a", "b"), ("a", "b"))
    found = imported(path / part, tmp_path / "out")
    assert [(e.task_id, e.trial, e.outcome.status) for e in found] == [("0", 0, "success"), ("0", 1, "success")]
    assert {e.messages[0].content for e in found} == {"Shared."} and found[0].required_outputs == ("5",)


def test_a_simulation_that_is_listed_and_lost_or_torn_is_an_error(tmp_path: Path) -> None:
    path = folder(tmp_path / "run", ("a",), ("a", "lost"))
    write_json(path / "simulations/torn.json", '{"id": "torn", ')
    good, torn, lost = imported(path, tmp_path / "out")
    assert good.outcome.status == "success"
    assert "torn.json:1: not JSON" in torn.outcome.reason and "lost.json: is listed" in lost.outcome.reason


def test_words_beside_a_call_of_the_user_are_kept(tmp_path: Path) -> None:
    call = {"id": "u", "name": "toggle_data", "arguments": {}, "requestor": "user"}
    rows = [
        *SAID,
        {"role": "user", "content": "I do it now.", "tool_calls": [call]},
        {"role": "tool", "id": "u", "requestor": "user", "content": "on"},
        {"role": "assistant", "content": "Thanks."},
    ]
    (episode,) = imported(write_json(tmp_path / "x.json", result(simulation("a", messages=rows))), tmp_path / "out")
    assert [(m.role, m.content) for m in episode.messages[-2:]] == [("user", "I do it now."), ("assistant", "Thanks.")]
    assert episode.source.omitted == {USER_TOOLS: 1}


def test_lost_simulations_stand_in_the_order_of_the_index(tmp_path: Path) -> None:
    """Their places in the file, and so their ids, were others in each process."""
    path = folder(tmp_path / "run", ("a",), ("a", "z", "m", "b", "y", "z"))
    index = json.loads((path / "results.json").read_text())
    index["simulation_index"].append({"task_id": "0"})
    write_json(path / "results.json", index)
    _, *lost = imported(path, tmp_path / "out")
    assert [Path(e.outcome.reason.split(": ")[1]).stem for e in lost] == ["z", "m", "b", "y"]


@pytest.mark.parametrize(
    ("ending", "reward", "status", "reason"),
    [
        ("TerminationReason.USER_STOP", 1.0, "success", "user_stop"),
        ("AGENT_STOP", 1.0, "success", "agent_stop"),
        ("TerminationReason.AGENT_ERROR", 0.0, "error", "agent_error"),
        ("max_steps", 1.0, "failure", "max_steps"),
        ("timeout", 0.0, "failure", "timeout"),
        ("a_new_end", 0.0, "failure", "a_new_end"),
        ("a_new_end", 1.0, "error", "unknown ending a_new_end, with a reward"),
    ],
)
def test_endings_in_any_spelling(tmp_path: Path, ending: str, reward: float, status: str, reason: str) -> None:
    row = simulation("a", termination_reason=ending, reward_info={"reward": reward})
    (episode,) = imported(write_json(tmp_path / "x.json", result(row)), tmp_path / "out")
    assert (episode.outcome.status, episode.outcome.reason) == (status, reason)


def test_simulations_a_line(tmp_path: Path) -> None:
    rows = [simulation("a"), simulation("b", "1")]
    found = imported(write_lines(tmp_path / "x.jsonl", rows), tmp_path / "out")
    assert [(e.task_id, e.source.importer, e.outcome.status) for e in found] == [
        ("0", "tau2", "success"),
        ("1", "tau2", "success"),
    ]


@pytest.mark.parametrize(
    ("duration", "seconds"), [(12.5, 12.5), ("1:20", None), (-3, None), ("1e400", None), ([], None)]
)
def test_an_absurd_duration_or_price_loses_no_episode(tmp_path: Path, duration: object, seconds: float | None) -> None:
    usage = {"prompt_tokens": -5, "completion_tokens": 10**20}
    said = [{"role": "assistant", "content": "Hi", "usage": usage, "cost": "free"}, *SAID]
    row = simulation("a", duration=duration, messages=said, reward_info={"reward": 1, "reward_breakdown": {"DB": "?"}})
    (episode,) = imported(write_json(tmp_path / "x.json", result(row)), tmp_path / "out")
    assert (episode.outcome.status, episode.seconds, episode.reward_detail) == ("success", seconds, {})
    bill = episode.ledger[0]
    assert (bill.input_tokens, bill.output_tokens, bill.price) == (None, None, None)


USED = {"prompt_tokens": 100, "completion_tokens": 10}


@pytest.mark.parametrize("usage", [None, {}, "null", [], 7, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_a_message_without_usage_leaves_no_partial_sum(tmp_path: Path, usage: Any) -> None:
    said = [
        {"role": "assistant", "content": "Hi! How can I help?", "usage": None},
        {"role": "user", "content": "Hello", "usage": USED},
        {"role": "assistant", "content": "One", "usage": USED},
        {"role": "assistant", "content": "Two", "usage": usage},
        {"role": "user", "content": None, "usage": usage, "tool_calls": [{"id": "u", "name": "look", "arguments": {}}]},
    ]
    (episode,) = imported(write_json(tmp_path / "x.json", result(simulation("a", messages=said))), tmp_path / "out")
    assert [(row.role, row.total_tokens) for row in episode.ledger] == [
        *(("user", 110), ("agent", 110), ("agent", None), ("user", None)),
    ]
    assert total_tokens(episode.ledger) is None and total_tokens(episode.ledger, "user") is None


def test_a_greeting_and_a_user_without_a_model_cost_nothing(tmp_path: Path) -> None:
    said = [
        {"role": "assistant", "content": "Hi! How can I help?", "usage": None},
        {"role": "user", "content": "Hello", "usage": None},
        {"role": "assistant", "content": "One", "usage": json.dumps(USED)},
    ]
    tree = {**result(simulation("a", messages=said)), "info": {**INFO, "user_info": {"implementation": "dummy_user"}}}
    (episode,) = imported(write_json(tmp_path / "x.json", tree), tmp_path / "out")
    assert [(row.role, row.total_tokens) for row in episode.ledger] == [("agent", 110)]


def test_a_file_without_tasks_has_no_reference(tmp_path: Path) -> None:
    value = result(simulation("a"), simulation("b", "1", reward_info=None))
    del value["tasks"]
    one, two = imported(write_json(tmp_path / "x.json", value), tmp_path / "out")
    assert (one.gold_actions, one.instruction, one.required_outputs) == (None, None, None)
    assert (two.outcome.status, two.outcome.reason) == ("error", "user_stop, without a reward")


def test_a_simulations_own_policy_wins(tmp_path: Path) -> None:
    rows = [simulation("a", policy="Own."), simulation("b", "1", policy=None)]
    one, two = imported(write_json(tmp_path / "x.json", result(*rows)), tmp_path / "out")
    assert (one.messages[0].content, two.messages[0].content) == ("Own.", "Shared.")


@pytest.mark.parametrize(
    ("change", "boundary"),
    [
        ({"termination_reason": None}, "harness"),
        ({"termination_reason": "context_window_exceeded"}, "model"),
        ({"termination_reason": "infrastructure_error"}, "environment"),
        ({"skipped": True}, "harness"),
        ({"reward_info": {"reward": None}}, "harness"),
    ],
)
def test_interrupted_simulations_are_errors(tmp_path: Path, change: dict[str, Any], boundary: str) -> None:
    path = write_json(tmp_path / "x.json", result(simulation("a", **change), simulation("b", "1")))
    broken, good = imported(path, tmp_path / "out")
    assert (broken.outcome.boundary, broken.reward, good.reward_detail) == (boundary, None, {"DB": 1.0})


def test_ticks_of_a_voice_run_become_turns(tmp_path: Path) -> None:
    ticks: list[dict[str, Any]] = [
        {"agent_chunk": {"content": "Hel"}},
        {"agent_chunk": {"content": "lo"}, "user_chunk": {"content": "I wa"}},
        {"agent_chunk": {"content": ""}, "user_chunk": {"content": "nt X"}},
        {
            "agent_tool_calls": [{"id": "c", "name": "get", "arguments": {"a": 1}}],
            "agent_tool_results": [{"id": "c", "content": "got", "requestor": "assistant"}],
        },
        {"user_tool_calls": [{"id": "u", "name": "look", "arguments": {}}], "user_tool_results": [{"id": "u"}]},
        {"agent_chunk": {"content": "Done"}},
    ]
    row = simulation("a", messages=None, ticks=ticks)
    (episode,) = imported(write_json(tmp_path / "x.json", result(row)), tmp_path / "out")
    assert [(m.role, m.content) for m in episode.messages[1:]] == [
        ("assistant", "Hello"), ("user", "I want X"), ("assistant", None), ("tool", "got"), ("assistant", "Done"),
    ]  # fmt: skip


def test_a_result_that_the_log_calls_an_error_is_one(tmp_path: Path) -> None:
    calls = [{"id": name, "name": "get", "arguments": {}} for name in "ab"]
    answers = [{"role": "tool", "id": name, "content": "Full.", "error": name == "a"} for name in "ab"]
    row = simulation("x", messages=[{"role": "assistant", "tool_calls": calls}, *answers])
    (episode,) = imported(write_json(tmp_path / "x.json", result(row)), tmp_path / "out")
    assert [message.failed for message in episode.messages if message.role == "tool"] == [True, None]


def test_several_results_of_one_message(tmp_path: Path) -> None:
    calls = [{"id": name, "name": "get", "arguments": {}} for name in "ab"]
    answers = {"role": "tool", "tool_messages": [{"id": name, "content": name} for name in "ba"]}
    row = simulation("a", messages=[{"role": "assistant", "tool_calls": calls}, answers])
    (episode,) = imported(write_json(tmp_path / "x.json", result(row)), tmp_path / "out")
    assert [(m.content, m.tool_call_id) for m in episode.messages[2:]] == [("b", "b"), ("a", "a")]


def test_implementations_users_and_settings_are_arms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("llm_agent", "llm_agent_gt", "llm_agent_solo", "retry_agent"):
        info = {**INFO, "agent_info": {**INFO["agent_info"], "implementation": name}}
        write_json(tmp_path / f"runs/{name}.json", {**result(simulation(name)), "info": info})
    for name, key, value in (
        ("user", "user_info", {"llm": "v"}),
        ("warm", "agent_info", {**INFO["agent_info"], "llm_args": {"temperature": 1.0}}),
        ("short", "max_steps", 5),
        ("other", "git_commit", "def"),
    ):
        write_json(tmp_path / f"runs/{name}.json", {**result(simulation(name)), "info": {**INFO, key: value}})
    found = imported(tmp_path / "runs", tmp_path / "out")
    assert {e.trial for e in found} == {0} and len({(e.key, e.benchmark_version) for e in found}) == 8
    assert {e.strategy for e in found} == {"fc", "llm_agent_gt", "llm_agent_solo", "retry_agent"}
    assert not any("hidden" in e.variant for e in found)
    capsys.readouterr()
    assert main(["score", str(tmp_path / "out"), "--bootstrap", "100"]) == 0
    assert "pass^2" not in capsys.readouterr().out


def test_what_a_log_leaves_out_is_attached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info = {**INFO, "environment_info": {"domain_name": "airline"}}
    path = write_json(tmp_path / "x.json", {**result(simulation("a")), "info": info})
    tools = write_json(tmp_path / "given/tools.json", {"tools": [{"name": "get", "parameters": {}}]})
    policy = write_json(tmp_path / "given/policy.md", "Given.")
    (episode,) = imported(path, tmp_path / "out", "--tools", str(tools), "--policy", str(policy))
    assert [tool.name for tool in episode.tools] == ["get"] and episode.messages[0].content == "Given."
    assert "attached: tools to 1 episodes, a policy to 1" in capsys.readouterr().out
    full = {**info, "environment_info": {**INFO["environment_info"], "tool_defs": [{"name": "own"}]}}
    path = write_json(tmp_path / "y.json", {**result(simulation("a")), "info": full})
    (episode,) = imported(path, tmp_path / "full", "--tools", str(tools), "--policy", str(policy))
    assert [tool.name for tool in episode.tools] == ["own"] and episode.messages[0].content == "Shared."


def test_the_benchmarks_own_tools_and_policy(tmp_path: Path) -> None:
    pytest.importorskip("tau2", reason="tau2 is not installed: pip install -e '.[tau2]'")
    info = {**INFO, "environment_info": {"domain_name": "airline"}}
    path = write_json(tmp_path / "x.json", {**result(simulation("a")), "info": info})
    (episode,) = imported(path, tmp_path / "out", "--tools", "benchmark", "--policy", "benchmark")
    assert "cancel_reservation" in {tool.name for tool in episode.tools}
    assert "airline" in (episode.messages[0].content or "").lower()


@pytest.mark.parametrize(("text", "part"), [("", "is empty"), ("words", "not a list"), ("[]", "holds no tools")])
def test_tools_that_cannot_be_read(tmp_path: Path, text: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    tools = write_json(tmp_path / "tools.json", text)
    log = write_json(tmp_path / "logs/x.json", result(simulation("a")))
    imported(log, tmp_path / "out", "--tools", str(tools), code=2)
    assert f"{tools}: " in (error := capsys.readouterr().err) and part in error
    assert read_tools(write_json(tmp_path / "good.json", [{"name": "get"}]))[0].name == "get"
