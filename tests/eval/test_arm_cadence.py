import asyncio
from pathlib import Path

import pytest

from eval.compare.comparison import run_comparison
from fama.cli import main
from fama.episodes.store import read_episodes
from fama.models.scripted import ScriptedModel
from fama.settings import CompareSettings, SelectorSettings

ARMS = "arms=[{name: random, label: once}, {name: random, label: each, cadence: turn}, {name: none}]"
WORDS = 'Action: {"tool": "respond", "arguments": {"text": "One moment."}}'
SAYS = ScriptedModel("scripted:says", lambda request: WORDS)


def test_arms_of_one_comparison_select_at_their_own_cadence(tmp_path: Path) -> None:
    arms = (
        SelectorSettings(name="random", label="once"),
        SelectorSettings(name="random", label="each", cadence="turn"),
        SelectorSettings(name="none"),
    )
    settings = CompareSettings(benchmark="helpdesk", tasks=1, arms=arms)
    asyncio.run(run_comparison(settings, tmp_path, model=SAYS))
    asked = {
        episode.selector: [decision.selection for decision in episode.decisions] for episode in read_episodes(tmp_path)
    }
    assert len(asked["each"]) > 1 and set(asked["each"]) == {"chosen"}
    assert asked["once"] == ["chosen", *["by_cadence"] * (len(asked["once"]) - 1)] != asked["each"]


def test_an_arm_that_selects_at_every_turn_cannot_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("compare", "value"):
        assert main([command, ARMS, "replay=x.parquet", "--out", str(tmp_path / "o")]) == 2
        assert "cadence: turn cannot be replayed" in capsys.readouterr().err
