"""Importers: native calls, act and react text, crashes, damaged files, and the published logs where present."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.diagnosis.crosswalk import load_crosswalk
from fama.episodes.foreign.logged_content import THOUGHTS
from fama.episodes.importers.base import IMPORTERS, detect_format
from fama.episodes.importers.openai_chat import read as read_openai
from fama.episodes.importers.tau_bench import read as read_tau
from fama.episodes.store import read_episodes, read_failures
from fama.errors import BadInput

TOOLS = [{"type": "function", "function": {"name": "get_user", "description": "d", "parameters": {"type": "object"}}}]
ACT_SYSTEM = f"# Airline Agent Policy\nBe kind.\n#Available tools\n{json.dumps(TOOLS)}\n# Instruction\nAct."


def record(traj: list[dict[str, Any]], reward: float = 0.0, **info: Any) -> dict[str, Any]:
    task = {"user_id": "u", "actions": [{"name": "cancel", "kwargs": {"id": "1"}}], "instruction": "i", "outputs": []}
    verdict = {"reward": reward, "info": {"r_actions": reward, "gt_data_hash": "x"}, "actions": []}
    return {
        "task_id": 3,
        "trial": 1,
        "reward": reward,
        "traj": traj,
        "info": {"task": task, "reward_info": verdict, **info},
    }


def write(path: Path, value: Any) -> Path:
    text = value if isinstance(value, str) else json.dumps(value)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


FC: list[dict[str, Any]] = [
    {"role": "system", "content": "# Retail agent policy\nBe kind."},
    {"role": "user", "content": "<think>I want it all</think>\n\nHello"},
    {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_user", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "name": "get_user", "content": "Error: user not found"},
    {"role": "assistant", "content": "Sorry"},
    {"role": "user", "content": "###STOP###"},
]


@pytest.mark.parametrize("name", ["qwen3-4b_fc_retail.json", "qwen3-4b_fc_retail.json.gz", "qwen3-4b_fc_retail.jsonl"])
def test_native_calls(tmp_path: Path, name: str) -> None:
    (episode,) = read_tau(write(tmp_path / name, [record(FC)] if "jsonl" not in name else json.dumps(record(FC))))
    assert (episode.benchmark, episode.domain, episode.strategy, episode.backbone) == (
        "tau-bench",
        "retail",
        "fc",
        "qwen3-4b",
    )
    assert (episode.task_id, episode.trial, episode.outcome.status, episode.reward) == ("3", 1, "failure", 0.0)
    assert [m.role for m in episode.messages] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert episode.messages[1].content == "<think>I want it all</think>\n\nHello"
    assert episode.messages[2].tool_calls is not None and episode.messages[2].tool_calls[0].id == "c1"
    assert episode.gold_actions is not None and episode.gold_actions[0].arguments == '{"id": "1"}'
    assert episode.reward_detail == {"r_actions": 0.0}


def test_thoughts_are_cut_on_request_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "x.json", [record(FC)])
    assert main(["import", "tau-bench", str(path), "--out", str(tmp_path / "cut"), "--strip-user-thinking"]) == 0
    assert "thoughts cut from 1 user turns" in capsys.readouterr().out
    (episode,) = read_episodes(tmp_path / "cut")
    assert [m.content for m in episode.messages if m.role == "user"] == ["Hello", "###STOP###"]
    assert main(["import", "tau-bench", str(path), "--out", str(tmp_path / "kept")]) == 0
    kept = capsys.readouterr().out
    assert "thoughts cut" not in kept and "1 user turns hold </think>" in kept and "--strip-user-thinking" in kept


@pytest.mark.parametrize(("thought", "strategy"), [("Thought:\nhm\n", "react"), ("", "act")])
def test_text_form(tmp_path: Path, thought: str, strategy: str) -> None:
    def said(name: str, **arguments: str) -> dict[str, Any]:
        body = json.dumps({"name": name, "arguments": arguments})
        return {"role": "assistant", "content": f"{thought}Action:\n{body}", "tool_calls": None}

    traj = [
        {"role": "system", "content": ACT_SYSTEM},
        {"role": "user", "content": "Hi"},
        said("get_user", id="a"),
        {"role": "user", "content": "API output: Error: user not found"},
        said("respond", content="Who are you?"),
        {"role": "user", "content": "API output: is what I saw"},
        {"role": "assistant", "content": f"{thought}Action:\n{{broken"},
        {"role": "user", "content": "###STOP###"},
    ]
    (episode,) = read_tau(write(tmp_path / "x.json", [record(traj)]))
    assert episode.strategy == strategy and episode.domain == "airline"
    assert [m.role for m in episode.messages] == [
        "system", "user", "assistant", "tool", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    assert episode.messages[0].content == "# Airline Agent Policy\nBe kind."
    assert [tool.name for tool in episode.tools] == ["get_user"]
    call, result = episode.messages[2], episode.messages[3]
    assert call.tool_calls is not None and call.tool_calls[0].function.parsed() == {"id": "a"}
    assert call.content == (thought.strip() or None)
    assert result.content == "Error: user not found" and result.tool_call_id == call.tool_calls[0].id
    assert episode.messages[4].content == "Who are you?" and episode.messages[6].content == "{broken"
    assert episode.source.omitted == ({THOUGHTS: 2} if thought else {})


def _acted(text: str, form: str = "Action:\n{}") -> dict[str, Any]:
    body = json.dumps({"name": "respond", "arguments": {"content": text}})
    return {"role": "assistant", "content": form.format(body)}


def _arm(tmp_path: Path, name: str, **options: str) -> list[tuple[str | None, str | None]]:
    """The strategy and the last words of four episodes: two well formed, one without actions, one with a thought."""
    user = {"role": "user", "content": "Hi"}
    plain = {"role": "assistant", "content": "I cannot."}
    trajs = ([user, _acted("a")], [user, plain, plain, _acted("b")], [user, _acted("c", "Thought: t\nAction:\n{}")])
    found = read_tau(write(tmp_path / name, [record(traj) for traj in (*trajs, [user, _acted("d")])]), **options)
    return [(episode.strategy, episode.messages[-1].content) for episode in found]


@pytest.mark.parametrize(
    ("name", "options", "strategy"),
    [
        ("act-gpt-4o-0.0_range_0--1_user-gpt-4o-llm_0101.json", {}, "act"),
        ("m_react_retail.json", {}, "react"),
        ("x.json", {}, "act"),
        ("m_fc_retail.json", {"strategy": "react"}, "react"),
        ("m_act_retail.json", {"strategy": "mine"}, "mine"),
    ],
)
def test_all_episodes_of_a_file_are_of_one_strategy(
    tmp_path: Path, name: str, options: dict[str, str], strategy: str
) -> None:
    """Episodes that broke their form left the arm, and with them most failures."""
    assert _arm(tmp_path, name, **options) == [(strategy, text) for text in "abcd"]


@pytest.mark.parametrize(("name", "options"), [("m_fc_retail.json", {}), ("m_act_retail.json", {"strategy": "fc"})])
def test_a_file_in_native_form_is_read_as_it_is(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    found = _arm(tmp_path, name, **options)
    assert [strategy for strategy, _ in found] == ["fc"] * 4 and found[0][1] == _acted("a")["content"]


def test_native_calls_in_a_file_of_the_text_form_are_kept(tmp_path: Path) -> None:
    (episode,) = read_tau(write(tmp_path / "m_act_retail.json", [record(FC)]))
    assert episode.strategy == "act" and episode.messages[2].tool_calls is not None


def test_crashes_are_errors_and_cut_conversations_failures(tmp_path: Path) -> None:
    crash = {
        "task_id": 1,
        "trial": 0,
        "reward": 0.0,
        "traj": [],
        "info": {"error": "litellm.Timeout", "traceback": "x"},
    }
    cut = record(FC)
    cut["info"]["reward_info"] = None
    first, second, third = read_tau(write(tmp_path / "x.json", [crash, cut, record(FC, 1.0)]))
    assert (first.outcome.status, first.outcome.boundary, first.reward) == ("error", "model", None)
    assert (second.outcome.status, second.outcome.reason) == ("failure", "max_steps")
    assert third.outcome.status == "success"


def test_the_file_names_of_the_harness_itself(tmp_path: Path) -> None:
    name = "tool-calling-Qwen3-8B-0.0_range_0--1_user-Qwen3-32B-llm_0129163955.json"
    (episode,) = read_tau(write(tmp_path / name, [record(FC)]))
    assert (episode.backbone, episode.strategy) == ("Qwen3-8B", "fc")
    (episode,) = read_tau(tmp_path / name, backbone="other", domain="moon")
    assert (episode.backbone, episode.domain) == ("other", "moon")


def test_openai_chats(tmp_path: Path) -> None:
    rows = [
        {"messages": FC, "success": True, "task_id": "a", "model": "m", "tools": TOOLS},
        {"messages": FC, "reward": 0.2, "gold_actions": [{"name": "x", "arguments": {"a": 1}}]},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "hi"}]}]},
    ]
    one, two, three = read_openai(write(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows))), domain="d")
    assert (one.outcome.status, one.task_id, one.backbone, one.domain) == ("success", "a", "m", "d")
    assert [tool.name for tool in one.tools] == ["get_user"]
    assert two.outcome.status == "failure" and two.gold_actions is not None
    assert three.outcome.status == "error" and three.messages[0].content == "hi"


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("x.json", "[1]", "not an object"),
        ("x.json", '[{"task_id": 1}]', "field 'info' is missing"),
        ("x.jsonl", '{"a": 1}\n{', "x.jsonl:2: not JSON|field 'info'"),
        (
            "x.json",
            '[{"task_id": 1, "reward": "?", "info": {}, "traj": []}]',
            "field 'reward' is \"\\?\", not a number",
        ),
        ("x.json", "nonsense", "not JSON"),
        ("x.json", "", "is empty"),
        ("x.jsonl", " \n", "is empty"),
        ("x.json", json.dumps([record([])])[:-9], r"x.json\[0\]: cut off in this record"),
        ("x.json", "[1, nonsense", "not an object"),
        ("x.json", '{"task_id": 1,\n"traj"', "x.json:1: not JSON"),
    ],
)
def test_damaged_files_are_one_line(tmp_path: Path, name: str, text: str, part: str) -> None:
    with pytest.raises(BadInput, match=part) as error:
        list(read_tau(write(tmp_path / name, text)))
    assert "\n" not in str(error.value) and name in str(error.value)


def test_broken_gzip(tmp_path: Path) -> None:
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b"[]" * 100)[:-20])
    with pytest.raises(BadInput, match="damaged or cut off"):
        list(read_tau(path))


def test_the_command_adds_only_what_is_new_and_numbers_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    write(logs / "m_fc_retail_run1.json", [record(FC)])
    write(logs / "m_fc_retail_run2.json.gz", [record(FC, 1.0)]).rename(logs / "m_fc_retail_run2.gz")
    (logs / "table.csv.gz").write_bytes(gzip.compress(b"a,b\n"))
    out = tmp_path / "out"
    assert main(["import", "tau-bench", str(logs), "--out", str(out)]) == 0
    assert main(["import", "tau-bench", str(logs), "--out", str(out)]) == 0
    assert "0 new" in capsys.readouterr().out
    found = list(read_episodes(out))
    assert [(e.trial, e.outcome.status) for e in found] == [(1, "failure"), (2, "success")]
    assert len({e.id for e in found}) == 2


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (
            ["morse", "x.json"],
            "unknown importer 'morse'; known: acebench, ck496, inspect, langfuse, langsmith, openai, opentelemetry",
        ),
        (["openai", "absent.jsonl"], "absent.jsonl"),
    ],
)
def test_bad_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str) -> None:
    assert main(["import", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_bad_file_is_named_and_the_good_ones_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    write(logs / "a.json", [record(FC)])
    write(logs / "b.json", json.dumps([record(FC), record(FC, 1.0)])[:-40])  # its first record is whole
    write(logs / "c.json", "")
    out = tmp_path / "out"
    assert main(["import", "auto", str(logs), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "b.json[1]: cut off" in error and "c.json" in error and "the other 1 of 3 files are imported" in error
    assert [episode.source.file for episode in read_episodes(out)] == ["a.json"]
    assert main(["import", "auto", str(logs / "c.json"), "--out", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("files", [1, 3])
def test_a_log_of_requests_is_told_from_one_of_conversations(
    files: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each request brings the messages of those before it: a conversation would count as often as it asked."""
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    requests = [{"messages": said[:1], "response": "b"}, {"messages": said, "response": "d"}]
    requests.append({"messages": [*said, {"role": "assistant", "content": "d"}, said[0]], "response": "e"})
    rows = [requests, [{"messages": said[:1], "response": "f"}]] if files == 1 else [[row] for row in requests]
    (tmp_path / "logs").mkdir()
    for number, lines in enumerate(rows):
        write(tmp_path / "logs" / f"{number}.jsonl", lines)
    assert main(["import", "openai", str(tmp_path / "logs"), "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "2 episodes begin with all messages of another one and go on: is it a log of requests?" in told
    write(tmp_path / "last.jsonl", requests[-1:])
    assert main(["import", "openai", str(tmp_path / "last.jsonl"), "--out", str(tmp_path / "out2")]) == 0
    assert "a log of requests" not in capsys.readouterr().out


def test_equal_dialogues_of_several_files_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write(tmp_path / "a.json", [record(FC)]), write(tmp_path / "b.json", [record(FC, 1.0), record([])])
    out = tmp_path / "out"
    assert main(["import", "tau-bench", str(first), "--out", str(out)]) == 0
    assert "same messages" not in capsys.readouterr().out
    assert main(["import", "tau-bench", str(second), "--out", str(out)]) == 0
    assert "1 with the same messages as another episode, the first as task 3 of a.json" in capsys.readouterr().out
    assert len(list(read_episodes(out))) == 3


TAU2 = {
    "timestamp": "t",
    "info": {
        "git_commit": "abc",
        "agent_info": {"implementation": "llm_agent", "llm": "m"},
        "user_info": {"llm": "u"},
        "environment_info": {"domain_name": "telecom", "policy": "Be kind.", "tool_defs": TOOLS},
    },
    "tasks": [{"id": "7", "evaluation_criteria": {"actions": [{"name": "cancel", "arguments": {"id": "1"}}]}}],
    "simulations": [
        {
            "id": "s",
            "task_id": "7",
            "trial": 1,
            "seed": 5,
            "duration": 2.5,
            "termination_reason": "user_stop",
            "reward_info": {"reward": 1.0, "reward_breakdown": {"DB": 1.0}},
            "messages": [
                {
                    "role": "assistant",
                    "content": "Hi",
                    "usage": {"prompt_tokens": 9, "completion_tokens": 2},
                    "cost": 0.0,
                },
                {
                    "role": "user",
                    "content": "Hello",
                    "usage": {"prompt_tokens": 5, "completion_tokens": 1},
                    "cost": 0.1,
                },
                {"role": "user", "content": None, "tool_calls": [{"id": "u1", "name": "reboot", "arguments": {}}]},
                {"role": "tool", "id": "u1", "content": "rebooted", "requestor": "user"},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": "c", "name": "get_user", "arguments": {"a": 1}}],
                },
                {"role": "tool", "id": "c", "content": "{}", "requestor": "assistant"},
            ],
        },
        {
            "id": "t",
            "task_id": "8",
            "termination_reason": "agent_error",
            "reward_info": {"reward": 0.0},
            "messages": [],
        },
        {"id": "v", "task_id": "8", "termination_reason": "max_steps", "reward_info": {"reward": 0.0}, "messages": []},
    ],
}


def test_tau2_results(tmp_path: Path) -> None:
    one, broken, cut = IMPORTERS.load("tau2")(write(tmp_path / "x.json.gz", TAU2))
    assert (one.benchmark, one.benchmark_version, one.domain, one.task_id, one.trial) == (
        "tau2",
        "abc",
        "telecom",
        "7",
        1,
    )
    assert (one.backbone, one.strategy, one.outcome.status, one.reward) == ("m", "fc", "success", 1.0)
    assert [m.role for m in one.messages] == ["system", "assistant", "user", "assistant", "tool"]
    assert one.messages[3].tool_calls is not None and one.messages[3].tool_calls[0].function.parsed() == {"a": 1}
    assert one.messages[4].tool_call_id == "c" and one.messages[0].content == "Be kind."
    assert [tool.name for tool in one.tools] == ["get_user"]
    assert [(r.role, r.model, r.total_tokens, r.price) for r in one.ledger] == [
        ("agent", "m", 11, None),
        ("user", "u", 6, 0.1),
        ("user", "u", None, None),  # its tool call, which the log gives no usage of
        ("agent", "m", None, None),
    ]
    assert one.gold_actions is not None and one.gold_actions[0].name == "cancel" and one.seeds == {"simulation": 5}
    assert (broken.outcome.status, broken.outcome.boundary, broken.reward) == ("error", "model", None)
    assert (cut.outcome.status, cut.outcome.reason, cut.gold_actions) == ("failure", "max_steps", None)


def test_tau2_needs_its_head(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="field 'info' is missing"):
        list(IMPORTERS.load("tau2")(write(tmp_path / "x.json", {"simulations": []})))
    for info, said in (
        ({"environment_info": True}, "field 'environment_info' is true"),
        ({"environment_info": {"tool_defs": [{"type": "function"}]}}, "a tool is {.*, without a name"),
    ):
        with pytest.raises(BadInput, match=rf"x\.json: {said}"):
            list(IMPORTERS.load("tau2")(write(tmp_path / "x.json", {"info": info, "tasks": [], "simulations": []})))


def ace(folder: Path, name: str, rows: list[Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return write(folder / name, "\n".join(map(json.dumps, rows)))


def test_acebench_results_and_their_scores(tmp_path: Path) -> None:
    process = ["[login(user='a', tries=2), send(to=Bob)]", "what is 1 +"]
    rows = [{"id": f"agent_multi_turn_{i}", "result": [], "process": process} for i in range(2)]
    path = ace(tmp_path / "result_all/result_en/m-1", "data_agent_multi_turn_result.json", rows)
    read = IMPORTERS.load("acebench")
    assert {e.outcome.status for e in read(path)} == {"error"}  # no score file: unknown
    score = [{"end_to_end_accuracy": 0.5, "correct_count": 1, "total_count": 2}, {"id": 1, "valid": False}]
    ace(tmp_path / "score_all/score_en/m-1", "data_agent_multi_turn_score.json", score)
    one, two = read(path)
    assert (one.benchmark, one.domain, one.backbone) == ("acebench-en", "agent_multi_turn", "m-1")
    assert (one.outcome.status, two.outcome.status) == ("success", "failure")
    calls = one.messages[0].tool_calls
    assert calls is not None and [(c.function.name, c.function.parsed()) for c in calls] == [
        ("login", {"user": "a", "tries": 2}),
        ("send", {"to": "Bob"}),
    ]
    assert one.messages[1].content == "what is 1 +" and one.messages[1].tool_calls is None


def test_acebench_scores_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    path = ace(tmp_path, "data_special_incomplete_result.json", [{"id": "special_incomplete_0", "result": "no"}])
    ace(
        tmp_path,
        "data_special_incomplete_score.json",
        [{"total_count": 1, "correct_count": 1}, {"id": "a", "valid": False}],
    )
    with pytest.raises(BadInput, match="counts 0 failures but lists 1"):
        list(IMPORTERS.load("acebench")(path))


@pytest.mark.parametrize("packed", ["data_special_x_result.json", "data_special_x_score.json"])
def test_a_folder_of_acebench_results_and_scores(tmp_path: Path, packed: str) -> None:
    """A packed score file was taken out of the folder's logs, and not read either."""
    rows = [{"id": "a", "result": "[f(x=1)]"}, {"id": None, "result": None}, {"id": "c", "result": [{"f": {}}]}]
    ace(tmp_path / "logs", "data_special_x_result.json", rows)
    score = [{"total_count": "3", "correct_count": 2}, {"id": "a", "valid": False}]
    ace(tmp_path / "logs", "data_special_x_score.json", score)
    (tmp_path / f"logs/{packed}.gz").write_bytes(gzip.compress((tmp_path / "logs" / packed).read_bytes()))
    (tmp_path / "logs" / packed).unlink()
    assert main(["import", "auto", str(tmp_path / "logs"), "--out", str(tmp_path / "out")]) == 0
    found = list(read_episodes(tmp_path / "out"))
    assert [(e.task_id, e.outcome.status) for e in found] == [
        ("a", "failure"),
        ("data_special_x_result:1", "success"),
        ("c", "success"),
    ]
    assert found[1].messages == () and found[2].messages[0].content == '[{"f": {}}]'


def test_a_log_that_is_called_a_score_is_imported(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    write(tmp_path / "logs/my_score.json", [{"messages": [], "success": True}])
    write(tmp_path / "logs/other.json", [{"messages": [], "success": False}])
    assert main(["import", "auto", str(tmp_path / "logs"), "--out", str(tmp_path / "out")]) == 0
    assert {e.outcome.status for e in read_episodes(tmp_path / "out")} == {"success", "failure"}


def test_a_label_without_a_task_is_known_by_its_place(tmp_path: Path) -> None:
    rows = [{**CK496["classifications"][0], "task_id": None}, CK496["classifications"][0]]
    path = write(tmp_path / "8b_FC_airline.json", {"classifications": rows})
    assert main(["import", "ck496", str(path), "--out", str(tmp_path / "out")]) == 0
    found = list(read_episodes(tmp_path / "out"))
    labels = {label.episode_id: label.task_id for label in read_failures(tmp_path / "out" / "labels.jsonl")}
    assert [e.task_id for e in found] == ["8b_FC_airline:0", "3"] and labels == {e.id: e.task_id for e in found}


CK496: dict[str, Any] = {
    "config": "8b_FC_airline",
    "stats": {"total_tasks": 2},
    "classifications": [
        {
            "task_id": 3,
            "trial": 1,
            "instruction": "Your user id is mia_li_3668.",
            "ground_truth_actions": [{"name": "cancel_reservation", "kwargs": {"reservation_id": "A1"}}],
            "agent_actions": [{"name": "get_user_details", "arguments": {"user_id": "mia_li_3668"}}],
            "classification": {
                "primary_category": "incomplete_execution",
                "sub_category": "never called",
                "explanation": "The reservation was never cancelled.",
            },
        }
    ],
}


def test_published_labels_become_episodes_of_calls_and_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "8b_FC_airline.json", CK496)
    out = tmp_path / "out"
    for _ in range(2):  # the second time adds nothing
        assert main(["import", "ck496", str(path), "--out", str(out)]) == 0
    (episode,) = read_episodes(out)
    (label,) = read_failures(out / "labels.jsonl")
    assert "(1 labels)" in capsys.readouterr().out
    assert (episode.domain, episode.backbone, episode.strategy) == ("airline", "qwen3-8b", "fc")
    assert [m.tool_calls[0].function.name for m in episode.messages if m.tool_calls] == ["get_user_details"]
    assert episode.instruction == "Your user id is mia_li_3668." and episode.outcome.status == "failure"
    assert (label.episode_id, label.primary, label.labeller) == (episode.id, ("incomplete_execution",), "ck496")
    assert load_crosswalk().translate(label).primary == ("IFU",)


@pytest.mark.parametrize(
    ("name", "change", "part"),
    [
        ("labels.json", {}, "does not say the domain"),
        ("8b_FC_airline.json", {"classifications": []}, "missing or empty"),
        ("8b_FC_airline.json", {"classifications": [{"task_id": 1}]}, r"\[0\]: field 'classification' is missing"),
    ],
)
def test_labels_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, change: dict[str, Any], part: str
) -> None:
    path = write(tmp_path / name, {**CK496, **change})
    assert main(["import", "ck496", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert re.search(part, error) and error.count("\n") == 1
    assert not (tmp_path / "out" / "labels.jsonl").exists()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ([record(FC)], "tau-bench"),
        (TAU2, "tau2"),
        ([{"messages": []}], "openai"),
        ([{"id": "a", "result": "x"}], "acebench"),
        (CK496, "ck496"),
        ({"version": 2, "status": "success", "eval": {}, "plan": {}}, "inspect"),
        # fields of other formats beside a conversation
        ([{"id": "a", "result": "pass", "success": True, "messages": []}], "openai"),
        ([{"id": "a", "result": "pass", "conversations": []}], "sharegpt"),
        ([{"id": "a", "result": "pass", "traj": [], "reward": 1}], "tau-bench"),
        ([{"query": "q", "answers": [], "tools": [], "messages": []}], "openai"),
        ([{"eval": "good", "plan": "ask", "messages": []}], "openai"),
        ([{"classifications": ["a"], "info": {}, "tasks": [], "conversations": []}], "sharegpt"),
        ([{"termination_reason": "user_stop", "info": {}, "tasks": [], "messages": []}], "tau2"),
        ([{"query": "q", "answers": [], "tools": []}], "sharegpt"),
        ([{"id": "r1", "run_type": "llm", "inputs": {"messages": []}, "outputs": None}], "langsmith"),
        ({"resourceSpans": []}, "opentelemetry"),
        ({"trace": {"id": "t"}, "observations": []}, "langfuse"),
        ([{"id": "o", "traceId": "t", "startTime": "", "type": "GENERATION", "input": []}], "langfuse"),
        ([{"name": "chat", "context": {"trace_id": "0x1"}, "parent_id": None, "attributes": {}}], "opentelemetry"),
        ([{"context.trace_id": "1", "attributes.llm.model_name": "m", "parent_id": None}], "opentelemetry"),
    ],
)
def test_formats_are_detected(tmp_path: Path, value: Any, name: str) -> None:
    assert detect_format(write(tmp_path / "x.json", value)) == name
    assert detect_format(write(tmp_path / "y.json.gz", value)) == name
    rows = value if isinstance(value, list) else [value]
    assert detect_format(write(tmp_path / "z.jsonl", "\n".join(map(json.dumps, rows)))) == name


def test_a_verdict_under_another_formats_name_does_not_hide_the_conversation(tmp_path: Path) -> None:
    rows = [{"id": "t1", "result": "pass", "success": True, "messages": FC[1:]}]
    assert main(["import", "auto", str(write(tmp_path / "x.json", rows)), "--out", str(tmp_path / "out")]) == 0
    (episode,) = read_episodes(tmp_path / "out")
    assert len(episode.messages) == len(FC) - 1 and episode.outcome.status == "success"


def test_an_unknown_format_says_what_it_saw(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has the fields colour, size; name the format \(acebench"):
        detect_format(write(tmp_path / "x.json", [{"size": 1, "colour": 2}]))
    with pytest.raises(BadInput, match="has the fields a b, x; name the format"):
        detect_format(write(tmp_path / "y.json", [{"a\n b": 1, "x": 2}]))


def test_every_importer_loads() -> None:
    assert all(callable(IMPORTERS.load(name)) for name in IMPORTERS.names())
