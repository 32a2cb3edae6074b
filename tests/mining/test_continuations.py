"""Mining at a temperature above 0: each branch is drawn several times, and its outcome is a share."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fama.episodes.state import state_at
from fama.episodes.store import read_episodes
from fama.mining.mined_folder import read_repairs
from fama.mining.note_effects import note_effects
from fama.mining.records import Repair
from fama.mining.runner import mine_folder
from fama.mining.settings import MineSettings
from fama.models.base import ChatRequest
from fama.randomness import generator
from fama.selection.router.turn import featurise_turn
from tests.support.mining_worlds import POOL, Backbone, Puzzles, plain_run, puzzle, puzzles
from training.data.repairs import repair_examples

TASKS = {"t": puzzle("A", None, None, ways=[[0]])}
DRAWS = 40


class Wavering(Backbone):
    """Acts well with so much probability when the notes are there, and without them; draws by the request's seed."""

    def __init__(self, noted: float, plain: float) -> None:
        super().__init__()
        self._chances = {True: noted, False: plain}

    def _reply(self, request: ChatRequest) -> str:
        self.asked += 1
        turn = sum(message["role"] == "assistant" for message in request.messages)
        need = Puzzles.tasks["t"].needs[turn]
        chance = self._chances[need is not None and all(f"{name} speaks" in request.prefill for name in need)]
        well = generator(request.seed, "wavering").random() < chance
        return (
            request.prefill
            + json.dumps({"tool": "act", "arguments": {"well": well, "turn": turn}})[len('{"tool": "') :]
        )


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with puzzles(TASKS):
        yield


async def mine(tmp_path: Path, model: Wavering, **changes: object) -> Repair:
    folder = await plain_run(tmp_path / "plain", model={"temperature": 0.7})
    tree = {"continuations": DRAWS, "budget": {"calls": None}, **changes}
    found = await mine_folder(folder, MineSettings.model_validate(tree), tmp_path / "out", model=model)
    (record,) = found.records
    return record


async def test_the_outcome_is_the_share_of_successful_continuations(tmp_path: Path) -> None:
    record = await mine(tmp_path, Wavering(noted=0.75, plain=0.0))
    assert record.verdict == "repaired"
    assert record.members == ("Alpha",)
    assert record.share is not None
    assert 0.55 < record.share < 0.95
    assert (record.share * DRAWS) % 1 == 0
    assert record.base_share == 0.0
    assert record.proven is None
    shares = {one.members: one.share for one in record.interventions if one.decision == 0 and one.share is not None}
    assert shares == {("Alpha",): record.share}


async def test_rows_for_training_weigh_by_the_share(tmp_path: Path) -> None:
    record = await mine(tmp_path, Wavering(noted=0.75, plain=0.25))
    episodes = {e.id: e for folder in ("plain", "out") for e in read_episodes(tmp_path / folder)}
    rows = repair_examples([record], episodes, POOL).examples
    start = featurise_turn(state_at(episodes[record.episode_id], 0), POOL)
    weights = {(row.subset, row.success): row.weight for row in rows if row.features == start}
    assert record.share is not None and record.base_share is not None
    assert weights == {
        ((True, False), True): pytest.approx(record.share),
        ((True, False), False): pytest.approx(1 - record.share),
        ((False, False), True): pytest.approx(record.base_share),
        ((False, False), False): pytest.approx(1 - record.base_share),
        # Beta's note changes nothing: as without it
        ((False, True), True): pytest.approx(record.base_share),
        ((False, True), False): pytest.approx(1 - record.base_share),
    }


async def test_a_share_below_the_wanted_one_is_no_repair(tmp_path: Path) -> None:
    record = await mine(tmp_path, Wavering(noted=0.3, plain=0.0))
    assert record.verdict == "not repaired by this pool"
    assert any(one.share is not None and 0.1 < one.share < 0.5 for one in record.interventions)


async def test_what_the_plain_agent_solves_as_often_is_no_repair(tmp_path: Path) -> None:
    record = await mine(tmp_path, Wavering(noted=1.0, plain=1.0))
    assert (record.base_share, record.verdict) == (1.0, "not repaired by this pool")


@pytest.mark.parametrize(
    ("harms", "share", "outcome", "broken"), [(False, 1.0, "success", 0), (True, 0.0, "failure", 1)]
)
async def test_a_note_breaks_a_solved_episode_only_where_it_is_solved_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harms: bool, share: float, outcome: str, broken: int
) -> None:
    """Without notes every continuation succeeds; Alpha's note at decision 1 changes an action that may matter."""
    monkeypatch.setattr(Puzzles, "tasks", {"t": puzzle("", "-A", None, ways=[[0, 1] if harms else [0]])})
    folder = await plain_run(tmp_path / "plain", model={"temperature": 0.7})
    await mine_folder(folder, MineSettings(continuations=4), tmp_path / "out", model=Backbone())
    effects = note_effects([read_repairs(tmp_path / "out")])
    (record,) = read_repairs(tmp_path / "out").records
    assert (record.kind, record.base_share) == ("solved", 1.0)
    (told,) = (one for one in record.interventions if one.decision == 1 and one.members == ("Alpha",))
    assert (told.share, told.outcome) == (share, outcome)
    (alpha,) = (one for one in effects if one.group.helper == "Alpha")
    assert (alpha.flipped, alpha.changed) == (broken, 1 - broken)


async def test_the_whole_log_before_the_note_is_replayed_in_every_continuation(tmp_path: Path) -> None:
    model = Wavering(noted=0.75, plain=0.0)
    record = await mine(tmp_path, model, search="elimination", tasks=["t"])
    # per continuation three plain decisions for the base share; probes of 2 notes, and of both, at 3 decisions; the
    # two decisions after the one note that changes an action, both with an action of their own
    assert record.calls == model.asked
    assert record.calls <= DRAWS * (3 + 9 + 4)
