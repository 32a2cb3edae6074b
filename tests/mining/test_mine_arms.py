"""Mining the episodes of arms with helpers: what is added, what is left out, and what then decides."""

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.episodes.records import LedgerRow
from fama.episodes.state import VisibleState
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.mining.mined_folder import read_repairs
from fama.mining.note_effects import note_effects
from fama.mining.schedule import SchedulePoint, ScheduleSelector
from fama.models.base import ChatRequest
from fama.selection.base import SELECTORS, Allowance, Selection
from fama.settings import RunSettings
from tests.support.mining_worlds import NAMED, POOL, Backbone, Puzzles, by_task, mined, puzzle, puzzles, repair_of
from training.data.repairs import repair_examples


async def arm_run(
    out: Path,
    subset: list[str],
    cadence: str = "turn",
    selector: dict[str, object] | None = None,
    budget: dict[str, int] | None = None,
) -> Path:
    """Run the puzzles with some helpers at every turn, or with another selector."""
    tree = {"benchmark": "puzzles", "domain": "d", "split": "train", "tasks": list(Puzzles.tasks), "demonstrations": 0}
    arm = selector or {"name": "fixed", "options": {"subset": subset}}
    settings = RunSettings.model_validate(
        tree | {"helpers": {"pool": POOL}, "cadence": cadence, "selector": arm, "budget": budget or {}}
    )
    plan = [Planned(task, 0, settings.selector) for task in Puzzles.tasks]
    await run_planned(settings, plan, out, model=Backbone(), progress=False)
    return out


async def test_an_arm_is_mined_by_adding_helpers_and_by_leaving_them_out(tmp_path: Path) -> None:
    tasks = {
        "leaves out": puzzle("-A", "", "", ways=[[0, 1]]),
        "adds": puzzle(None, "AB", None, ways=[[1]]),
        "both": puzzle("-A", "B", "", ways=[[0, 1]]),
        "neither": puzzle(None, "", "", ways=[[0]]),
    }
    with puzzles(tasks):
        folder = await arm_run(tmp_path / "arm", ["Alpha"])
        found = by_task(await mined(folder, tmp_path / "out", base="selector"))
        stored = {episode.id: episode for episode in read_episodes(tmp_path / "out")}
    assert {task: one.arm for task, one in found.items()} == dict.fromkeys(tasks, "fixed")
    shown = {
        task: (sorted(repair_of(one)), [(p.decision, p.members) for p in one.withdrawn or ()], one.members)
        for task, one in found.items()
        if one.repair is not None
    }
    assert shown == {
        "adds": ([(1, "Beta")], [], ("Beta",)),
        "leaves out": ([], [(0, ("Alpha",))], ("Alpha",)),
        "both": ([(1, "Beta")], [(0, ("Alpha",))], POOL),
    }
    told = {task: one.in_a_line().partition(",")[0].partition(": ")[2] for task, one in found.items()}
    assert told == {
        "adds": "repaired by 1 note of Beta",
        "leaves out": "repaired without Alpha",
        "both": "repaired by 1 note of Beta",
        "neither": "not repaired by this pool",
    }
    assert found["both"].means == "Beta, without Alpha" and found["neither"].means is None
    assert found["neither"].verdict == "not repaired by this pool" and found["neither"].proven
    both = stored[found["both"].repaired_episode or ""]
    assert [decision.subset for decision in both.decisions] == [(), POOL, ("Alpha",)]
    tried = {(one.decision, one.members): one for one in found["leaves out"].interventions}
    assert tried[0, ("Alpha",)].subset == () and tried[0, ("Alpha",)].outcome == "success"
    assert tried[1, ("Beta",)].subset == POOL and tried[1, ("Beta",)].outcome == "failure"  # run on
    rows = repair_examples([found["leaves out"]], stored | {e.id: e for e in read_episodes(folder)}, POOL)
    first = [(row.subset, row.success) for row in rows.examples if row.features.evidence[0] == 0.0]
    assert sorted(first, key=str) == [((False, False), True), ((True, False), False), ((True, True), False)]


async def test_what_cannot_be_mined_as_an_arm_is_refused(tmp_path: Path) -> None:
    with puzzles({"single": NAMED["single"]}):
        once = await arm_run(tmp_path / "once", ["Beta"], cadence="episode")
        with pytest.raises(BadInput, match="base selector needs the folder of a `fama run` with cadence=turn"):
            await mined(once, tmp_path / "out", base="selector")
        with pytest.raises(BadInput, match="no finished episode of the plain agent"):
            await mined(once, tmp_path / "out")


class Follows:
    """Asks Beta once Alpha has noted, else nobody: what it does depends on what was noted."""

    name, track = "follows", "prospective"

    async def select(self, state: VisibleState, allowance: Allowance, rng: object) -> Selection:
        """Beta after a note of Alpha; a selection costs 100 tokens."""
        row = LedgerRow(role="selector", model="m", input_tokens=90, output_tokens=10)
        subset = ("Beta",) if any(note.helper == "Alpha" for _, note in state.noted) else ()
        return Selection(subset, {}, ledger=(row,))


@pytest.fixture
def follows() -> Iterator[None]:
    SELECTORS.add("follows", lambda context, **options: Follows())
    yield
    SELECTORS.remove("follows")


@pytest.mark.usefixtures("follows")
async def test_after_a_note_the_arms_own_selector_decides_also_where_the_action_was_the_same(tmp_path: Path) -> None:
    with puzzles({"path": puzzle("", "B", "B", ways=[[1, 2]])}):
        folder = await arm_run(tmp_path / "arm", [], selector={"name": "follows"})
        found = by_task(await mined(folder, tmp_path / "out", base="selector"))["path"]
        (log,) = read_episodes(folder)
        (repaired,) = read_episodes(tmp_path / "out")
    assert sorted(repair_of(found)) == [(0, "Alpha")] and found.proven
    assert [decision.subset for decision in repaired.decisions] == [("Alpha",), ("Beta",), ("Beta",)]
    # asking costs in a branch what it costs in the log
    first = next(one for one in found.interventions if one.decision == 0 and one.members == ("Alpha",))
    charged = [row.total_tokens or 0 for row in log.ledger]
    assert sum(row.total_tokens or 0 for row in repaired.ledger if row.role == "selector") == 300
    assert first.rest is not None and first.rest.tokens is not None and first.rest.tokens > sum(charged)


@pytest.mark.parametrize(
    ("budget", "repaired"),
    [({}, True), ({"episode": 120}, True), ({"episode": 60}, False), ({"decision": 60}, True), ({"run": 60}, True)],
)
async def test_an_arms_limits_hold_in_every_branch(tmp_path: Path, budget: dict[str, int], repaired: bool) -> None:
    """A note is refused below 20 tokens and then takes 44: two of them do not fit into 60 of an episode."""
    with puzzles({"two": puzzle(None, "B", "B", ways=[[1, 2]])}):
        folder = await arm_run(tmp_path / "arm", [], budget=budget)
        found = by_task(await mined(folder, tmp_path / "out", base="selector"))["two"]
    assert (found.repair is not None) is repaired
    if repaired:
        assert sorted(repair_of(found)) == [(1, "Beta"), (2, "Beta")]
    else:
        assert found.verdict == "not repaired by this pool"


async def test_what_the_arm_spent_before_a_branch_is_counted(tmp_path: Path) -> None:
    """Alpha takes 44 of 60 tokens at the first decision, so nobody can be asked at the second."""
    with puzzles({"late": puzzle("A", "B", "", ways=[[0, 1]])}):
        folder = await arm_run(tmp_path / "arm", ["Alpha"], budget={"episode": 60})
        (log,) = read_episodes(folder)
        found = by_task(await mined(folder, tmp_path / "out", base="selector"))["late"]
    assert [decision.subset for decision in log.decisions] == [("Alpha",), (), ()]
    assert found.repair is None
    tried = [one for one in found.interventions if one.decision == 1 and "Beta" in one.members and not one.given]
    assert tried and {one.outcome for one in tried} == {"no note"}


@pytest.mark.usefixtures("follows")
async def test_a_selector_that_cannot_be_paid_for_asks_nobody_in_a_branch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Follows, "cost_cap", 100, raising=False)
    with puzzles({"path": puzzle("", "B", "B", ways=[[1, 2]])}):
        folder = await arm_run(tmp_path / "arm", [], selector={"name": "follows"}, budget={"episode": 350})
        found = by_task(await mined(folder, tmp_path / "out", base="selector"))["path"]
    # each question takes 100 and each note 44: after two of both nothing is left for the third question
    assert found.repair is not None and len(repair_of(found)) == 2
    assert (2, "Beta") in repair_of(found)


async def test_an_arm_is_tried_with_the_whole_pool(tmp_path: Path) -> None:
    tasks = {"all": puzzle("AB", "AB", "AB", ways=[[0, 1, 2]])}
    with puzzles(tasks):
        folder = await arm_run(tmp_path / "arm", ["Alpha"])
        found = by_task(await mined(folder, tmp_path / "out", base="selector", exact=0))["all"]
    assert sorted(repair_of(found)) == [(0, "Beta"), (1, "Beta"), (2, "Beta")] and found.withdrawn == ()


async def test_arms_that_draw_at_random_are_refused(tmp_path: Path) -> None:
    with puzzles({"single": NAMED["single"]}):
        folder = await arm_run(tmp_path / "arm", [], selector={"name": "random", "options": {"size": 1}})
        found = await mined(folder, tmp_path / "out", base="selector")
    assert "draws at random" in found.refused[0] and not found.records


async def test_effects_count_notes_and_not_their_absence(tmp_path: Path) -> None:
    with puzzles({"leaves out": puzzle("-A", "", "", ways=[[0, 1]])}):
        await mined(await arm_run(tmp_path / "arm", ["Alpha"]), tmp_path / "out", base="selector")
        effects = note_effects([read_repairs(tmp_path / "out")])
    assert [(one.group.helper, one.asked) for one in effects] == [("Beta", 3)]


async def test_a_note_beside_an_arms_own_that_changes_no_action_counts_as_the_same_action(tmp_path: Path) -> None:
    """A branch of an arm is run on in any case; all of them counted as changed actions."""
    with puzzles({"adds": puzzle(None, "AB", "AB", ways=[[0, 1], [2]])}):
        await mined(await arm_run(tmp_path / "arm", ["Alpha"]), tmp_path / "out", base="selector")
        (beta,) = note_effects([read_repairs(tmp_path / "out")])
    assert (beta.group.arm, beta.notes, beta.flipped, beta.changed, beta.same) == ("fixed", 3, 1, 1, 1)


def test_a_form_of_an_arms_helper_takes_the_others_place() -> None:
    pool = ("TSA", "TSA:template", "Alpha")

    async def arm(state: VisibleState, allowance: Allowance, rng: object) -> Selection:
        return Selection(("TSA", "Alpha"), {})

    for toggled, asked in (("TSA:template", ("TSA:template", "Alpha")), ("TSA", ("Alpha",)), ("Alpha", ("TSA",))):
        for names in (pool, ("TSA:template", "TSA", "Alpha")):
            selector = ScheduleSelector(frozenset({SchedulePoint(0, toggled)}), names, arm)
            state = VisibleState(policy="", tools=(), messages=(), turn=0)
            chosen = asyncio.run(selector.select(state, Allowance(None), random.Random(0)))
            assert set(chosen.subset) == set(asked), (toggled, names)


class Chooses(Backbone):
    """Answers a prompted selector, too: Beta after the first step, else nobody."""

    def _reply(self, request: ChatRequest) -> str:
        if request.role == "selector":
            self.asked += 1
            return json.dumps({"helpers": ["Beta"] if "step 1" in str(request.messages) else []})
        return super()._reply(request)


@pytest.mark.parametrize("calls", [None, 5])
async def test_the_calls_of_an_arms_own_selector_are_metered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int | None
) -> None:
    monkeypatch.setattr("tests.mining.test_mine_arms.Backbone", Chooses)
    with puzzles({"x": puzzle("A", "A", "A", ways=[[0, 1, 2]])}):
        prompted: dict[str, object] = {"name": "prompted", "options": {"form": "one_call"}}
        folder = await arm_run(tmp_path / "arm", [], selector=prompted)
        model = Chooses()
        (found,) = (await mined(folder, tmp_path / "out", model, base="selector", budget={"calls": calls})).records
    assert found.calls == model.asked
    assert found.verdict == ("repaired" if calls is None else "budget ran out")
    assert calls is None or found.calls == calls
