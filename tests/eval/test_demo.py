"""The demo with a scripted backbone: every step runs, and an interrupted demo goes on."""

from pathlib import Path

import pytest

from eval.commands import demo
from fama import cli
from fama.config import load_settings
from fama.episodes.jsonl import RecordStore, existing_file
from fama.episodes.store import read_episodes
from fama.mining.records import REPAIRS, Repair
from fama.selection.router.checkpoint import read_manifest
from fama.settings import RunSettings


def test_demo_runs_the_loop_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    words = ["demo", "--size", "tiny", "--out", str(out), "model.name=scripted:echo"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    for step in demo.steps(out, "tiny", ()):
        assert step.title in said
    assert "live" in said and "made earlier" in said
    (record,) = RecordStore(out / "repairs" / REPAIRS, Repair).read()
    assert (record.task_id, record.split, record.kind) == (demo.TASK, "train", "failed")
    assert read_manifest(out / "router").cadence == "turn"
    episodes = list(read_episodes(out / "comparison"))
    assert sorted(str(episode.selector) for episode in episodes) == ["all", "learned", "none"]
    assert all(episode.task_id.startswith("shop-test-") for episode in episodes)
    assert (out / "comparison" / "report.html").is_file()
    assert cli.main(words) == 0
    assert list(read_episodes(out / "comparison")) == episodes


def test_demo_learns_from_training_tasks_other_than_its_own() -> None:
    records = list(RecordStore(existing_file(demo.MINED, REPAIRS), Repair).read())
    assert {record.split for record in records} == {"train"}
    assert demo.TASK not in {record.task_id for record in records}
    assert {record.verdict for record in records} >= {"repaired", "mapped"}


def test_settings_of_the_comparison_alone_do_not_reach_the_run(tmp_path: Path) -> None:
    given = ("model.name=scripted:echo", "strategy=fc", "bootstrap=200", "domain=saas", "options={phrases: third}")
    words = {step.words[0]: step.words for step in demo.steps(tmp_path, "tiny", given)}
    assert set(given) <= set(words["compare"])
    assert set(given) & set(words["run"]) == {"model.name=scripted:echo", "strategy=fc"}
    config, overrides = words["run"][2], [word for word in words["run"][3:-2]]
    assert load_settings(RunSettings, config, overrides).strategy == "fc"


def test_demo_names_missing_repairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "MINED", tmp_path / "none")
    assert cli.main(["demo", "--size", "tiny", "--out", str(tmp_path / "demo"), "model.name=scripted:echo"]) == 2
    assert not (tmp_path / "demo").exists()
