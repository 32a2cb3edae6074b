"""Mining the embedded benchmark: a backbone that gives up on busy tools needs one note, the Verifier's, there."""

import asyncio
from pathlib import Path

from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.envs.helpdesk.engine import BUSY
from fama.episodes.store import read_episodes
from fama.mining.runner import mine_folder
from fama.mining.settings import MineSettings
from fama.settings import RunSettings, SelectorSettings
from tests.support.scripted_backbone import quitter

TASKS = 30


def test_the_verifier_after_a_busy_tool_is_the_repair(tmp_path: Path) -> None:
    model = quitter("quitter", "shop", {"train": TASKS})
    settings = RunSettings.model_validate({"split": "train", "tasks": TASKS})
    plan = [Planned(f"shop-train-{number:04d}", 0, SelectorSettings()) for number in range(TASKS)]
    asyncio.run(run_planned(settings, plan, tmp_path / "plain", model=model, progress=False))
    logs = {episode.id: episode for episode in read_episodes(tmp_path / "plain")}
    failed = {id_ for id_, episode in logs.items() if episode.outcome.status == "failure"}
    assert failed
    mine = MineSettings.model_validate({"solved": 2, "exact": 0, "budget": {"calls": None}})
    found = asyncio.run(mine_folder(tmp_path / "plain", mine, tmp_path / "out", model=model))
    assert found.refused == ()
    repairs = {record.episode_id: record for record in found.records if record.kind == "failed"}
    assert repairs.keys() == failed
    for id_, record in repairs.items():
        busy = next(i for i, m in enumerate(logs[id_].messages) if m.role == "tool" and BUSY in (m.content or ""))
        assert (record.verdict, record.members, record.proven) == ("repaired", ("Verifier",), True)
        assert record.step == busy + 1
        assert record.split == "train"
    assert [record.kind for record in found.records].count("solved") == 2
