"""``fama show`` with labels: the diagnosis below the first line and at its step."""

from pathlib import Path

import pytest

from fama.cli import main
from fama.episodes.records import Evidence, Failure
from fama.episodes.store import EpisodeStore, write_failures
from tests.support.failed_episodes import failed


def label(episode: str) -> Failure:
    return Failure(
        episode_id=episode,
        task_id="t0",
        categories=("CM", "DCV"),
        primary=("CM",),
        step=2,
        blame="user",
        evidence=(Evidence(source="loops", category="CM", step=2, quote="[again]"),),
        rationale="It misread.",
        labeller="detectors",
        taxonomy_version="fama-4/1",
    )


def test_labels_beside_the_episodes_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    EpisodeStore(tmp_path).append(failed(0))
    assert main(["show", str(tmp_path)]) == 0
    assert "diagnosis" not in capsys.readouterr().out
    write_failures(tmp_path / "failures.jsonl", [label("e0")])
    assert main(["show", str(tmp_path)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[1:] == [
        "diagnosis CM (also DCV) · blame: user · step: message 2 (by detectors)",
        "because It misread.",
        "finding [2] loops: [again]",
        "user Hello 0 <b>bold</b>",
        "diagnosis step named by detectors: CM (also DCV)",
        "agent Goodbye.",
    ]


def test_labels_of_other_episodes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    EpisodeStore(tmp_path / "run").append(failed(0))
    write_failures(tmp_path / "labels.jsonl", [label("other")])
    show = ["show", str(tmp_path / "run"), "--failures"]
    assert main([*show, str(tmp_path / "labels.jsonl")]) == 0
    assert "No label in" in capsys.readouterr().out
    assert main([*show, str(tmp_path / "none.jsonl")]) == 2
