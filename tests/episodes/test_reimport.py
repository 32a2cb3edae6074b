"""Logs that are imported again: nothing that they say otherwise is lost or counted twice unseen."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.dialogue.roles import roles_of
from fama.episodes.store import read_episodes

TOOLS = [{"name": "cancel_order", "description": "Cancel.", "parameters": {"type": "object", "properties": {}}}]


def record(number: int, **fields: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": f"Cancel order {number}."}, {"role": "assistant", "content": "No."}]
    return {"messages": said, "task_id": f"t{number}", **fields}


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in records), encoding="utf-8")
    return path


def stored(path: Path) -> list[tuple[str, int, str]]:
    return [(e.task_id, e.trial, e.outcome.status) for e in read_episodes(path)]


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / "out")


def test_options_that_would_change_stored_episodes_are_refused(
    tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "a.jsonl", record(0, success=False), record(1, success=True))
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps(TOOLS), encoding="utf-8")
    assert main(["import", "auto", str(log), "--out", out]) == 0
    before = (tmp_path / "out" / "episodes.jsonl").read_bytes()
    assert main(["import", "auto", str(log), "--out", out]) == 0
    assert "0 new" in capsys.readouterr().out
    for flags, fields in (
        (["--backbone", "m", "--domain", "shop"], "domain, backbone"),
        (["--tools", str(tools)], "tools"),
    ):
        assert main(["import", "auto", str(log), "--out", out, *flags]) == 2
        told = capsys.readouterr().err
        assert f"a.jsonl: task t0 is stored in {out}/episodes.jsonl already, with other {fields};" in told
        assert "import into another --out" in told
    assert (tmp_path / "out" / "episodes.jsonl").read_bytes() == before


def test_a_corrected_verdict_is_no_further_trial(tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "a.jsonl", record(0, success=False), record(1, success=False))
    assert main(["import", "auto", str(log), "--out", out]) == 0
    write(log, record(0, success=True), record(1, success=False))
    assert main(["import", "auto", str(log), "--out", out]) == 2
    told = capsys.readouterr().err
    assert "a.jsonl: no longer holds 1 episodes that are stored from it" in told and "such as task t0" in told
    assert stored(Path(out)) == [("t0", 0, "failure"), ("t1", 0, "failure")]
    write(log, record(0, success=False), record(1, success=False), record(0, success=True))
    assert main(["import", "auto", str(log), "--out", out]) == 0
    assert stored(Path(out))[-1] == ("t0", 1, "success")


def test_verdicts_that_come_later_are_refused_not_lost(
    tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "result_all" / "result_en" / "m"
    scores = tmp_path / "score_all" / "score_en" / "m"
    results.mkdir(parents=True)
    log = write(results / "data_normal_atom_bool_result.json", {"id": "normal_atom_bool_1", "result": "[f(a=1)]"})
    assert main(["import", "acebench", str(log), "--out", out]) == 0
    told = capsys.readouterr().out
    assert "1 of the errors: no outcome in the log" in told and "1 episodes have no outcome" in told
    scores.mkdir(parents=True)
    write(scores / "data_normal_atom_bool_score.json", {"accuracy": 1.0, "correct_count": 1, "total_count": 1})
    assert main(["import", "acebench", str(log), "--out", out]) == 2
    assert "with other outcome; import into another --out" in capsys.readouterr().err


def test_rewards_above_one_and_errors_are_told(tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [record(0, reward=5), record(1, reward=1.0), record(2, reward=-1), record(3, error="the server went away")]
    log = write(tmp_path / "a.jsonl", *rows)
    assert main(["import", "auto", str(log), "--out", out]) == 0
    told = capsys.readouterr().out
    assert "1 errors; 1 of the errors: the server went away" in told and "no outcome" not in told
    assert "1 rewards are above 1, and every reward from 1 on counts as a success" in told


def test_a_log_without_failures_says_why_nothing_is_labelled(
    tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "a.jsonl", record(0))
    assert main(["import", "auto", str(log), "--out", out]) == 0
    assert main(["diagnose", out, "--out", str(tmp_path / "labels")]) == 0
    told = capsys.readouterr().out
    assert "nothing to label: no episode failed; why episodes are errors: fama show DIR --status error" in told


def test_roles_of_ones_own_tools(tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = {**TOOLS[0], "name": "update_view", "x-fama-role": "other"}
    log = write(tmp_path / "a.jsonl", record(0, success=False, tools=[*TOOLS, said]))
    roles = tmp_path / "roles.yaml"
    roles.write_text("cancel_order: read\nupdate_view: write\nno_tool: close\n", encoding="utf-8")
    assert main(["import", "auto", str(log), "--out", out, "--roles", str(roles)]) == 0
    assert "no tool without a stated role is called no_tool, update_view" in capsys.readouterr().out
    (episode,) = read_episodes(Path(out))
    found = roles_of(episode.tools, episode.benchmark, episode.domain)
    assert (found.role("cancel_order"), found.role("update_view")) == ("read", "other")
    for text, wrong in (
        ("cancel_order: reed\n", 'cancel_order: "reed" is no role; use one of read'),
        ("- a\n", "list"),
    ):
        roles.write_text(text, encoding="utf-8")
        assert main(["import", "auto", str(log), "--out", out, "--roles", str(roles)]) == 2
        assert wrong in capsys.readouterr().err


def test_a_folder_that_holds_the_output_and_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = write(folder / "a.jsonl", record(0, success=False), record(1, success=True))
    (folder / "b.jsonl").symlink_to(log)
    once = [("t0", 0, "failure"), ("t1", 0, "success")]
    for _ in range(2):
        assert main(["import", "auto", str(folder), "--out", str(folder)]) == 0
        assert stored(folder) == once
    capsys.readouterr()
    assert main(["import", "auto", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "episodes.jsonl: holds episodes already; give the file or its folder" in capsys.readouterr().err
    assert stored(tmp_path / "out") == once


def test_two_imports_at_once_number_their_trials_one_after_the_other(tmp_path: Path, out: str) -> None:
    logs = [write(tmp_path / f"run{n}.jsonl", *(record(i, success=bool(n)) for i in range(40))) for n in range(2)]
    arm = ["--backbone", "m", "--domain", "shop"]
    command = [sys.executable, "-m", "fama.cli", "import", "openai"]
    running = [subprocess.Popen([*command, str(log), "--out", out, *arm], stdout=subprocess.DEVNULL) for log in logs]
    assert [one.wait(120) for one in running] == [0, 0]
    assert sorted(trial for _, trial, _ in stored(Path(out))) == [0] * 40 + [1] * 40
