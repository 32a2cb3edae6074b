"""The public names of the package, and the functions for notebooks beside the commands that they share code with."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fama
from fama.cli import main
from fama.episodes.store import EpisodeStore, read_episodes, read_failures
from fama.errors import BadInput
from tests.support.foreign_logs import SAID, imported, write_json, write_lines

ROOT = Path(__file__).resolve().parents[2]
MOCK = ROOT / "results/tau2/mock/episodes.jsonl.gz"


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = (
        "import sys, fama; heavy = {'torch', 'openai', 'pydantic', 'numpy'} & set(sys.modules);"
        "assert not heavy, heavy; assert [name for name in sys.modules if name.startswith('fama')] == ['fama'];"
        "assert set(fama.__all__) <= set(dir(fama)); from fama import *; assert Advisor is fama.Advisor;"
        "assert 'torch' not in sys.modules and 'openai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)  # noqa: S603


def test_unknown_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Adviser'"):
        getattr(fama, "Adviser")  # noqa: B009


def test_logs_are_imported_as_by_the_command(tmp_path: Path) -> None:
    write_lines(tmp_path / "logs/a.jsonl", [{"messages": SAID, "success": True}, {"messages": SAID, "success": False}])
    write_json(tmp_path / "logs/more/b.json", [{"messages": [*SAID, *SAID], "reward": 0}])
    got = fama.import_logs(tmp_path / "logs", domain="shop")
    assert got == imported(tmp_path / "logs", tmp_path / "out", "--domain", "shop")
    assert [episode.outcome.status for episode in got] == ["success", "failure", "failure"]
    assert fama.import_logs([tmp_path / "logs/a.jsonl"], "openai")[0].domain == "unknown"
    write_json(tmp_path / "logs/c.json", "{")
    with pytest.raises(BadInput, match=r"c\.json.*the other 2 of 3 files are imported"):
        fama.import_logs(tmp_path / "logs")
    with pytest.raises(BadInput, match="unknown importer"):
        fama.import_logs(tmp_path / "nothing", "no_format")


def test_an_import_warns_where_the_command_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leaking = [{"role": "user", "content": "<think>I want all.</think>Hello"}, *SAID]
    solved = {"messages": leaking, "success": True}
    rows = [solved, solved, {"messages": [*SAID, *SAID]}]
    roles = write_json(tmp_path / "roles.yaml", "look: write")
    fama.import_logs(write_lines(tmp_path / "a.jsonl", [*rows, {"messages": 1}]), roles=roles)
    told = "\n".join(caplog.messages)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert "1 unreadable records, the first " in told and "1 with the same messages as another episode" in told
    assert "roles: no tool without a stated role is called look; a log without tools needs tools" in told
    assert "2 user turns hold </think>" in told and "give strip_user_thinking, and import again" in told
    assert "1 episodes have no outcome" in told and "--" not in told
    caplog.clear()
    fama.import_logs(write_lines(tmp_path / "b.jsonl", [{"messages": SAID, "success": True}]))
    assert not caplog.records


def test_tools_and_policy_are_attached_as_by_the_command(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"messages": SAID, "success": True}])
    policy = write_json(tmp_path / "policy.txt", "Be brief.")
    tools = write_json(tmp_path / "tools.json", json.dumps([{"name": "look", "description": "looks"}]))
    (got,) = fama.import_logs(tmp_path / "a.jsonl", tools=tools, policy=policy)
    assert got.messages[0].content == "Be brief." and [tool.name for tool in got.tools] == ["look"]
    flags = ("--tools", str(tools), "--policy", str(policy))
    assert [got] == imported(tmp_path / "a.jsonl", tmp_path / "out", *flags)
    roles = write_json(tmp_path / "roles.yaml", "look: write")
    (got,) = fama.import_logs(tmp_path / "a.jsonl", tools=tools, policy=policy, roles=roles)
    assert '"x-fama-role": "write"' in got.tools[0].parameters
    assert [got] == imported(tmp_path / "a.jsonl", tmp_path / "again", *flags, "--roles", str(roles))


def test_failures_are_diagnosed_as_by_the_command(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    episodes = fama.load_episodes(MOCK)
    assert episodes == list(read_episodes(MOCK)) and len(episodes) > 5
    few = [episode for episode in episodes if episode.outcome.status == "failure"][:3] + episodes[:1]
    few = list({episode.id: episode for episode in few}.values())
    EpisodeStore(tmp_path / "few").rewrite(few)
    assert main(["diagnose", str(tmp_path / "few"), "--out", str(tmp_path / "labels")]) == 0
    want = read_failures(tmp_path / "labels")
    assert fama.diagnose(few) == fama.diagnose(tmp_path / "few") == want and len(want) >= 3
    mine = write_json(
        tmp_path / "mine.yaml",
        "version: m1\ncategories:\n  - {code: ANY, name: any, definition: whatever went wrong, sources: ['*']}\n",
    )
    assert {code for label in fama.diagnose(few, taxonomy=mine) for code in label.causes} <= {"ANY", "unexplained"}
    assert main(["diagnose", str(tmp_path / "few"), "--out", str(tmp_path / "own"), "--taxonomy", str(mine)]) == 0
    assert fama.diagnose(few, taxonomy=mine) == read_failures(tmp_path / "own")

    assert not caplog.records
    unknown = [episode.model_copy(update={"gold_actions": None}) for episode in few]
    assert len(fama.diagnose(unknown)) == len(want)
    fama.diagnose(few, judge="scripted:echo")
    assert caplog.messages == [
        f"{len(want)} failures have no reference actions: give a judge; detectors alone find little there",
        "most answers cannot be read; a judge that thinks first needs more max_tokens",
    ]

    async def in_a_notebook() -> object:
        return fama.diagnose(few)

    assert asyncio.run(in_a_notebook()) == want
    odd: list[tuple[Any, str]] = [
        ("scripted:nobody", "scripted"),
        ({"name": "scripted:nobody"}, "scripted"),
        ({"nome": "m"}, "field 'nome' is unknown"),
        ("http://127.0.0.1:9/v1", "is an address; give"),
        (5, "a int; give a name"),
    ]
    for judge, words in odd:
        with pytest.raises(BadInput, match=words):
            fama.diagnose(few, judge=judge)
