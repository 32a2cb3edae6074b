"""Branches that did not end by themselves prove nothing, and neither does a single draw."""

import json
from pathlib import Path

import pytest

from fama.envs.base import Action, Observation
from fama.episodes.records import Episode
from fama.episodes.state import state_at
from fama.episodes.store import read_episodes
from fama.errors import UserFault
from fama.mining.records import Repair
from fama.mining.runner import mine_folder
from fama.mining.settings import MineSettings
from fama.models.base import ChatRequest
from fama.models.scripted import ScriptedModel
from fama.randomness import generator
from fama.selection.router.turn import featurise_turn
from tests.support.mining_worlds import (
    POOL,
    Backbone,
    PuzzleEnvironment,
    plain_run,
    puzzle,
    puzzles,
)
from training.data.repairs import repair_examples

NOTED = {"t": puzzle("A", None, None, ways=[[0]])}


async def mine(folder: Path, out: Path, model: ScriptedModel, **changes: object) -> Repair:
    settings = MineSettings.model_validate({"budget": {"calls": None}, **changes})
    (record,) = (await mine_folder(folder, settings, out, model=model)).records
    return record


def stored(*folders: Path) -> dict[str, Episode]:
    files = [folder / "episodes.jsonl" for folder in folders]
    return {one.id: one for path in files if path.exists() for one in read_episodes(path)}


class Coin(Backbone):
    """Acts well at decision 1 with so much probability, whatever the notes say."""

    def __init__(self, chance: float) -> None:
        super().__init__()
        self._chance = chance

    def _reply(self, request: ChatRequest) -> str:
        turn = sum(message["role"] == "assistant" for message in request.messages)
        drawn = generator(request.seed, request.prefill, str(request.messages)).random()
        body = {"tool": "act", "arguments": {"well": turn == 1 and drawn < self._chance, "turn": turn}}
        return request.prefill + json.dumps(body).removeprefix('{"tool": "')


@pytest.mark.parametrize("chance", [1.0, 0.0])
async def test_one_draw_at_a_temperature_proves_nothing(
    tmp_path: Path, chance: float, caplog: pytest.LogCaptureFixture
) -> None:
    with puzzles({"t": puzzle(None, "A", None, ways=[[1]])}):
        folder = await plain_run(tmp_path / "plain", model={"temperature": 0.7})
        record = await mine(folder, tmp_path / "out", Coin(chance))
        episodes = stored(folder, tmp_path / "out")
    assert record.verdict == ("repaired" if chance else "not repaired by this pool")
    assert record.proven is None
    warned = [line for line in caplog.messages if "continuations: 1 at temperature 0.7" in line]
    assert len(warned) == 1
    if chance:  # so that the repair fails without its notes is not known
        rows = repair_examples([record], episodes, POOL, balance=None).examples
        after = featurise_turn(state_at(episodes[record.repaired_episode or ""], 2), POOL)
        assert not [row for row in rows if row.features == after and not row.success]


class FailingUser(PuzzleEnvironment):
    """Its user breaks off after a first good step, all but every ``keeps``-th time."""

    keeps = 1
    steps = 0

    async def step(self, action: Action) -> Observation:
        """Break."""
        if self._done == 1 and self._well:
            FailingUser.steps += 1
            if FailingUser.steps % self.keeps:
                raise UserFault("the user broke")
        return await super().step(action)


class Always(Backbone):
    """Acts well at the start exactly after Alpha's note; another text per seed."""

    def _reply(self, request: ChatRequest) -> str:
        turn = sum(message["role"] == "assistant" for message in request.messages)
        body = {"tool": "act", "arguments": {"well": turn == 0 and "Alpha speaks" in request.prefill, "turn": turn}}
        return request.prefill + json.dumps(body).removeprefix('{"tool": "')


@pytest.mark.parametrize(
    ("keeps", "outcome", "share", "verdict"),
    [(1, "success", 1.0, "repaired"), (2, "success", 1.0, "repaired"), (4, "error", 0.0, "not repaired by this pool")],
)
async def test_continuations_that_broke_off_are_no_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: int, outcome: str, share: float, verdict: str
) -> None:
    """Of eight draws all, four or two are finished, and every finished one succeeds."""
    with puzzles(NOTED):
        folder = await plain_run(tmp_path / "plain", model={"temperature": 0.7})
        monkeypatch.setattr(FailingUser, "keeps", keeps)
        monkeypatch.setattr(FailingUser, "steps", 0)
        monkeypatch.setattr("tests.support.mining_worlds.PuzzleEnvironment", FailingUser)
        record = await mine(folder, tmp_path / "out", Always(), continuations=8)
        episodes = stored(folder, tmp_path / "out")
    (first,) = (one for one in record.interventions if one.decision == 0 and one.members == ("Alpha",))
    assert (first.outcome, first.share, record.verdict) == (outcome, share, verdict)
    assert first.reason == ("the user broke" if outcome == "error" else "closed")
    rows = repair_examples([record], episodes, POOL, balance=None).examples
    start = featurise_turn(state_at(episodes[record.episode_id], 0), POOL)
    with_alpha = {(row.success, row.weight) for row in rows if row.features == start and row.subset == (True, False)}
    assert with_alpha == ({(True, 1.0)} if outcome == "success" else set())


async def test_what_the_clock_ended_is_unknown(tmp_path: Path) -> None:
    """On a fast server Alpha's note at the start repairs; a slow one shows no failure of it."""
    with puzzles({"t": puzzle("A", "", "", ways=[[0, 1, 2]])}):
        folder = await plain_run(tmp_path / "plain", limits={"seconds": 0.25})
        slow = await mine(folder, tmp_path / "slow", Backbone(seconds=0.3))
        fast = await mine(folder, tmp_path / "fast", Backbone())
    (first,) = (one for one in slow.interventions if one.decision == 0 and one.members == ("Alpha",))
    assert (first.outcome, first.reason) == ("error", "wall_time")
    assert (slow.verdict, slow.proven) == ("not repaired by this pool", False)
    assert (fast.verdict, fast.proven) == ("repaired", True)
