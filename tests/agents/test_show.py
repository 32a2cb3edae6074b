from pathlib import Path

import pytest

from fama import cli
from fama.agents.loop import run_episode
from fama.episodes.records import Message
from fama.episodes.store import EpisodeStore
from fama.settings import ExperimentSettings
from tests.support.toy_agents import GOLD, Guide, LampWorld, lines, setup_for


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """One success with notes and one failure, whose last turn tries to steer the terminal."""
    good = await run_episode(setup_for(lines(*GOLD), LampWorld(), helpers=[Guide()]), ExperimentSettings())
    odd = Message(role="user", content="\x1b[2Jgone\x07 \u202eback")
    bad = (await run_episode(setup_for(lines(GOLD[2]), LampWorld()), ExperimentSettings())).model_copy(
        update={"id": "e1", "messages": (*good.messages, odd), "selector": "none", "decisions": ()}
    )
    store = EpisodeStore(tmp_path)
    for episode in (good, bad):
        store.append(episode)
    return tmp_path


async def test_prints_turns_calls_results_and_the_notes_before_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["show", str(folder), "--status", "success"]) == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert shown[0].endswith("arm all · success · closed")
    note = shown.index("note Guide Call find_lamp first.")
    assert shown[note + 1] == 'agent find_lamp {"room": "t0"}' and shown[note + 2].startswith("result")
    assert not any("arm none" in line for line in shown)


async def test_untrusted_text_cannot_steer_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", str(folder), "--arm", "none"]) == 0
    shown = capsys.readouterr().out
    assert "gone" in shown and not {"\x1b", "\x07", "\u202e"} & set(shown)


async def test_what_fits_nothing_is_said_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", str(folder), "--task", "nowhere"]) == 2
    assert "holds no episode like that" in capsys.readouterr().err
    assert cli.main(["show", str(folder), "--limit", "0"]) == 2
    assert cli.main(["show", str(folder / "missing")]) == 2
