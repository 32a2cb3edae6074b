"""The command ``fama mine`` on puzzles, as a user types it."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fama import cli
from fama.mining.mined_folder import read_repairs
from fama.models.scripted import SCRIPTED
from tests.support.mining_worlds import NAMED, Backbone, PuzzleEnvironment, plain_run, puzzles


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Path]:
    with puzzles(NAMED):
        SCRIPTED.add("puzzles", Backbone())
        yield asyncio.run(plain_run(tmp_path / "plain", model={"name": "scripted:puzzles"}))
        SCRIPTED.remove("puzzles")


def test_prints_repairs_and_what_notes_did(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "repairs"
    assert cli.main(["mine", str(plain), "--out", str(out), "solved=0"]) == 0
    told = capsys.readouterr()
    assert "d/two decisions: repaired by 2 notes of Alpha+Beta, " in told.err
    assert "d/impossible: not repaired by this pool" in told.err
    lines = {line.split("  ")[0].strip(): line.split() for line in told.out.splitlines()}
    assert lines["d/single"][2:7] == ["repaired", "Alpha", "1", "1", "yes"]
    assert f"{out / 'repairs.jsonl'}: repaired 5, not repaired by this pool 1" in " ".join(told.out.split())
    # three decisions of six failed episodes; alone, Alpha fixes "single" and Beta "redundant"
    for helper in ("Alpha", "Beta"):
        assert lines[helper][1:9] == ["template", "d", "18", "18", "6", "1", "(6", "[1,"]
    assert cli.main(["effects", str(out)]) == 0
    assert capsys.readouterr().out in told.out
    assert (out / "cache").is_dir()


def test_the_written_config_mines_the_same_again(plain: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    words = ["solved=0", "tasks=[single]", "search=map", "helpers={pool: [Alpha]}", "model.timeout=7"]
    assert cli.main(["mine", str(plain), "--out", str(first), *words]) == 0
    assert cli.main(["mine", str(plain), "--out", str(second), "--config", str(first / "config.json")]) == 0
    one, two = (json.loads((folder / "config.json").read_text()) for folder in (first, second))
    assert one["settings"]["search"] == "map" and one["settings"]["model"]["timeout"] == 7
    assert two == one
    repaired = [[(one.verdict, one.members) for one in read_repairs(folder).records] for folder in (first, second)]
    assert repaired == [[("repaired", ("Alpha",))]] * 2


def test_the_executed_repairs_can_be_shown(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "repairs"
    assert cli.main(["mine", str(plain), "--out", str(out), "solved=0", "tasks=[single]"]) == 0
    capsys.readouterr()
    assert cli.main(["show", str(out)]) == 0
    assert "Alpha speaks." in capsys.readouterr().out


def test_refusals_are_one_line_each(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PuzzleEnvironment.drift = 1
    assert cli.main(["mine", str(plain), "--out", str(tmp_path / "out"), "tasks=[single]"]) == 1
    refused = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fama: d/single")]
    assert len(refused) == 1
    assert "not mined: message 5: tool 'step 2 drift 1' now" in refused[0]
    PuzzleEnvironment.drift = 0
    assert cli.main(["mine", str(plain), "--out", str(tmp_path / "out"), "tasks=[impossible]"]) == 0
    PuzzleEnvironment.drift = 1
    again = ["mine", str(plain), "--out", str(tmp_path / "out"), "tasks=[single]"]
    assert cli.main(again) == 1, "what was mined before does not hide it"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["PLAIN", "search=luck"], "unknown search 'luck'; known: elimination, map, tree"),
        (["PLAIN", "helpers.pool=[Alpha, Gamma]"], "unknown helper 'Gamma'"),
        (["PLAIN", "model.api_key_env=sk-abcdefghijk-123"], "model.api_key_env: String should match pattern"),
        (["PLAIN", "budget.call=3"], "unknown key 'budget.call'"),
        (["PLAIN", "tasks=[nobody]"], "no finished episode of the plain agent of these tasks"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], told: str, plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.replace("PLAIN", str(plain)) for word in words]
    assert cli.main(["mine", *words, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
