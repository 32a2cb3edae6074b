"""The demo with a scripted backbone: every step runs, and an interrupted demo goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from eval.commands import demo
from fama import cli
from fama.episodes.store import read_episodes


@pytest.fixture
def table(synthetic_table: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SYNTHETIC table in place of the committed one, so that this test does not depend on results."""
    path = synthetic_table(24)
    monkeypatch.setattr(demo, "TABLE", path)
    return path


def test_demo_runs_the_loop_and_resumes(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "--size", "tiny", "--out", str(tmp_path / "demo"), "model.name=scripted:echo"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    for step in demo.steps(tmp_path / "demo", "tiny", ()):
        assert step.title in said
    assert "live" in said and "committed outcome table" in said
    episodes = list(read_episodes(tmp_path / "demo" / "comparison"))
    assert sorted(str(episode.selector) for episode in episodes) == ["learned", "none", "prompted", "shipped"]
    assert (tmp_path / "demo" / "comparison" / "report.html").is_file()
    assert cli.main(words) == 0
    assert list(read_episodes(tmp_path / "demo" / "comparison")) == episodes


def test_demo_names_a_missing_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "TABLE", tmp_path / "none.parquet")
    assert cli.main(["demo", "--size", "tiny", "--out", str(tmp_path / "demo"), "model.name=scripted:echo"]) == 2
    assert not (tmp_path / "demo").exists()
