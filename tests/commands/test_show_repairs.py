"""``fama show --repairs``: the decision that a mined repair changes, and what changes there."""

from pathlib import Path
from typing import Any

from fama.cli import main
from fama.mining.runner import mine_folder
from fama.mining.settings import MineSettings
from tests.support.mining_worlds import NAMED, Backbone, plain_run, puzzles


async def test_repaired_decisions_are_marked(tmp_path: Path, capsys: Any) -> None:
    tasks = {name: NAMED[name] for name in ("single", "impossible", "two decisions")}
    with puzzles(tasks):
        await plain_run(tmp_path / "plain")
        await mine_folder(tmp_path / "plain", MineSettings(exact=0), tmp_path / "out", model=Backbone())
    show = ["show", str(tmp_path / "plain"), "--repairs", str(tmp_path / "out"), "--task"]

    def shown(*words: str) -> list[str]:
        assert main([*show, *words]) == 0
        return str(capsys.readouterr().out).splitlines()

    lines = shown("single")
    marks = [place for place, line in enumerate(lines) if line.strip().startswith("repair ")]
    assert [" ".join(lines[place].split()) for place in marks] == [
        "repair repaired by Alpha: single ends in success with this",
        "repair note Alpha: Alpha speaks.",
        'repair action with it: act {"well": true, "turn": 1}; without: as below',
    ]
    assert '"well": false, "turn": 1' in lines[marks[-1] + 1]  # decision 1, of 0 to 2
    assert any("repaired by Alpha+Beta" in line and "and 1 more change" in line for line in shown("two decisions"))
    unmarked = " ".join(" ".join(shown("impossible")).split())
    assert "repaired by" not in unmarked
    assert unmarked.count("No repair in") == 1 and "repaired or repairing episodes are others" in unmarked
    assert main(["show", str(tmp_path / "out"), "--repairs", str(tmp_path / "out"), "--task", "single"]) == 0
    said = capsys.readouterr().out
    assert "Alpha's note here is part of the repair" in said and "note Alpha  Alpha speaks." in said


def test_a_folder_without_repairs_is_named(tmp_path: Path, capsys: Any) -> None:
    assert main(["show", str(tmp_path), "--repairs", str(tmp_path)]) == 2
    assert "holds no repairs.jsonl" in capsys.readouterr().err
