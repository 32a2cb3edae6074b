"""Importers: native calls, act and react text, crashes, damaged files, and the published logs where present."""

import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.episodes.importers.base import IMPORTERS
from fama.episodes.importers.openai_chat import read as read_openai
from fama.episodes.importers.tau_bench import read as read_tau
from fama.episodes.records import Episode
from fama.episodes.store import read_episodes
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
    assert episode.messages[1].content == "Hello"
    assert episode.messages[2].tool_calls is not None and episode.messages[2].tool_calls[0].id == "c1"
    assert episode.gold_actions is not None and episode.gold_actions[0].arguments == '{"id": "1"}'
    assert episode.reward_detail == {"r_actions": 0.0}


def test_thoughts_can_be_kept(tmp_path: Path) -> None:
    (episode,) = read_tau(write(tmp_path / "x.json", [record(FC)]), thoughts="keep")
    assert "I want it all" in str(episode.messages[1].content)


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
        ("x.json", '[{"task_id": 1, "reward": "?", "info": {}, "traj": []}]', "not a record"),
        ("x.json", "nonsense", "not JSON"),
    ],
)
def test_damaged_files_are_one_line(tmp_path: Path, name: str, text: str, part: str) -> None:
    with pytest.raises(BadInput, match=part) as error:
        list(read_tau(write(tmp_path / name, text)))
    assert "\n" not in str(error.value) and name in str(error.value)


def test_broken_gzip(tmp_path: Path) -> None:
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b"[]" * 100)[:-20])
    with pytest.raises(BadInput, match="broken gzip"):
        list(read_tau(path))


def test_the_command_adds_only_what_is_new_and_numbers_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    write(logs / "m_fc_retail_run1.json", [record(FC)])
    write(logs / "m_fc_retail_run2.json.gz", [record(FC, 1.0)])
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
        (["morse", "x.json"], "unknown importer 'morse'; known: openai, tau-bench"),
        (["openai", "absent.jsonl"], "absent.jsonl"),
    ],
)
def test_bad_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str) -> None:
    assert main(["import", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_when_one_file_is_bad(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "a.json", [record(FC)]), write(tmp_path / "b.json", "[1]")
    assert main(["import", "tau-bench", str(good), str(bad), "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_every_importer_loads() -> None:
    assert all(callable(IMPORTERS.load(name)) for name in IMPORTERS.names())


LOGS = Path(os.environ.get("FAMA_LOGS") or Path(__file__).parents[2].parent / "shared" / "data")
#: successes and episodes as the logs' own description lists them
EXPECTED = {
    "qwen3-4b-instruct_fc_retail_run1": (46, 115),
    "qwen3-4b-instruct_fc_retail_run2": (53, 115),
    "qwen3-4b-instruct_fc_retail_run3": (58, 115),
    "qwen3-4b-instruct_fc_airline_run1": (15, 50),
    "qwen3-4b-instruct_fc_airline_run2": (19, 50),
    "qwen3-4b-instruct_fc_airline_run3": (16, 50),
    "qwen3-4b_act_airline_run1": (19, 50),
    "qwen3-4b_act_airline_run2": (14, 50),
    "qwen3-4b_act_airline_run3": (15, 50),
    "qwen3-4b_react_airline_run1": (10, 50),
    "qwen3-4b_react_airline_run2": (12, 50),
    "qwen3-4b_fc_airline_4trials": (52, 121),
    "llama-3.1-8b_fc_airline_4trials": (67, 200),
    "gpt-4o_fc_airline_4trials": (84, 200),
}


def published(pattern: str) -> list[Path]:
    found = sorted((LOGS / "failure_logs").glob(pattern))
    if not found:
        pytest.skip("no published logs here; set FAMA_LOGS to their folder")
    return found


def test_published_tau_bench_logs() -> None:
    counted: dict[str, tuple[int, int]] = {}
    for path in published("tau_bench/*.json.gz"):
        episodes = list(read_tau(path))
        name = path.name.removesuffix(".json.gz")
        counted[name] = (sum(e.outcome.status == "success" for e in episodes), len(episodes))
        assert {f"{e.backbone}_{e.strategy}_{e.domain}" for e in episodes} == {re.sub(r"_(run\d|4trials)$", "", name)}
        assert len({e.id for e in episodes}) == len(episodes)
        assert all(_well_formed(e) for e in episodes if e.outcome.status != "error")
    assert {name: counted.get(name) for name in EXPECTED} == EXPECTED


def test_published_tau_trait_logs() -> None:
    for path in published("tau_trait/*.json.gz"):
        episodes = list(read_tau(path))
        domain = "telecom" if "telecom" in path.name else "telehealth"
        assert len(episodes) == {"telecom": 18, "telehealth": 20}[domain]
        assert {(e.benchmark, e.domain, e.backbone, e.strategy) for e in episodes} == {
            ("tau-trait", domain, "gpt-5", "fc")
        }
        assert all(_well_formed(e) for e in episodes)


def _well_formed(episode: Episode) -> bool:
    called = {call.id for message in episode.messages for call in message.tool_calls or ()}
    answered = {message.tool_call_id for message in episode.messages if message.role == "tool"}
    return episode.messages[0].role == "system" and answered <= called
