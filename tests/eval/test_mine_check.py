"""Mined repairs against grids of subsets, on scripted worlds whose right answers are known."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval.mine_check.check import GRIDS, CheckedFolder, _check_same, check_repairs
from eval.mine_check.grid import open_helpers, subsets_of
from eval.mine_check.records import CheckedFailure, Grid, GridRun
from eval.mine_check.settings import MineCheckSettings
from eval.mine_check.summary import checked_failure, summarise_checks
from fama.agents.runs.run_config import run_prompts
from fama.cli import main
from fama.episodes.jsonl import RecordStore
from fama.episodes.records import Note
from fama.errors import BadInput
from fama.mining.mined_folder import read_repairs
from fama.mining.records import Intervention, PlacedNote, Repair
from fama.mining.runner import mine_folder
from fama.mining.schedule import SchedulePoint
from fama.mining.settings import MineSettings
from fama.mining.source import MiningSource
from fama.models.scripted import SCRIPTED
from fama.settings import RunSettings
from tests.support.mining_worlds import (
    DECISIONS,
    NAMED,
    POOL,
    Backbone,
    PuzzleEnvironment,
    Puzzles,
    plain_run,
    puzzle,
    puzzles,
    random_puzzle,
)

#: One note repairs each, and its helper asked everywhere does not; in "other" the other helper asked everywhere does.
HARMED = {
    "only scheduled": puzzle("A", "A", None, ways=[[0]], exact=True),
    "other": puzzle("B", "B", "A", ways=[[0], [2]], exact=True),
}


@pytest.fixture
def world() -> Iterator[Backbone]:
    with puzzles({**NAMED, **HARMED}):
        backbone = Backbone()
        SCRIPTED.add("puzzles", backbone)
        yield backbone
        SCRIPTED.remove("puzzles")


async def mined(tmp_path: Path, **changes: Any) -> tuple[Path, Path]:
    plain = await plain_run(tmp_path / "plain", model={"name": "scripted:puzzles"})
    settings = {"exact": 0, "solved": 0, "budget": {"calls": None}, **changes}
    await mine_folder(plain, MineSettings.model_validate(settings), tmp_path / "repairs")
    return plain, tmp_path / "repairs"


async def checked(folders: tuple[Path, Path], out: Path, **settings: Any) -> CheckedFolder:
    plain, repairs = folders
    return await check_repairs(plain, read_repairs(repairs), out, MineCheckSettings.model_validate(settings))


def by_task(found: CheckedFolder) -> dict[str, CheckedFailure]:
    return {record.task_id: checked_failure(record, grid) for record, grid in found.checked}


async def test_every_subset_of_what_is_open_has_its_known_outcome(world: Backbone, tmp_path: Path) -> None:
    found = by_task(await checked(await mined(tmp_path), tmp_path / "out"))
    assert set(found) == {*NAMED, *HARMED} - {"solved"}
    assert found["single"].grid.open == ("Alpha",)
    assert found["two helpers"].grid.open == POOL  # neither changes an action alone
    for task, one in found.items():
        assert [run.subset for run in one.grid.runs] == list(subsets_of(one.grid.open))
        for run in one.grid.runs:
            everywhere = frozenset(SchedulePoint(turn, name) for turn in range(DECISIONS) for name in run.subset)
            assert (run.outcome == "success") is Puzzles.tasks[task].solved_by(everywhere), (task, run.subset)
            assert run.notes == DECISIONS * len(run.subset)


async def test_a_second_process_in_the_folder_is_refused(world: Backbone, tmp_path: Path) -> None:
    """Both ran the same grids, and each stood in the file twice."""
    folders, out = await mined(tmp_path), tmp_path / "out"
    with RecordStore(out / GRIDS, Grid).alone(0), pytest.raises(BadInput, match="another process is running in this"):
        await checked(folders, out)
    assert (await checked(folders, out)).checked


async def test_the_mined_subset_is_judged_by_the_grid(world: Backbone, tmp_path: Path) -> None:
    found = by_task(await checked(await mined(tmp_path), tmp_path / "out"))
    judged = {
        task: (one.members, one.least_size, one.smallest, one.cheapest, one.best, one.subset, one.schedule)
        for task, one in found.items()
    }
    assert judged == {
        "single": (("Alpha",), 1, True, True, True, True, True),
        "two decisions": (POOL, 2, True, True, True, True, True),
        "two helpers": (POOL, 2, True, True, True, True, True),
        "redundant": (("Beta",), 1, True, True, True, True, True),
        "everywhere": (POOL, 2, True, True, True, True, True),
        "impossible": (None, None, None, None, False, False, False),
        "only scheduled": (("Alpha",), None, None, None, False, False, True),
        "other": (("Beta",), 1, False, False, True, False, True),
    }
    assert (found["everywhere"].schedule_notes, found["single"].schedule_notes) == (5, 1)
    summary = summarise_checks(list(found.values()))
    assert (summary.failures, summary.tasks, summary.incomplete, summary.grid_errors) == (8, 8, 0, 0)
    assert (summary.grid_repairs, summary.mining_repairs, summary.repairable) == (6, 7, 7)
    assert summary.smallest.value == pytest.approx(5 / 6) and summary.smallest.n == 6
    assert summary.subset_success.value == pytest.approx(5 / 7)
    assert summary.schedule_success.value == 1.0
    assert summary.subset_regret.value == pytest.approx(1 / 7)
    assert summary.schedule_regret.value == pytest.approx(-1 / 7)
    assert summary.mined_calls.value == pytest.approx(sum(one.mined_calls for one in found.values()) / 8)


async def test_a_run_of_the_grid_that_the_clock_ended_is_unknown(tmp_path: Path) -> None:
    """The subset repairs on a fast server; on a slow one its run is an error, no failure."""
    with puzzles({"t": NAMED["single"]}):
        SCRIPTED.add("puzzles", Backbone())
        try:
            plain = await plain_run(tmp_path / "plain", model={"name": "scripted:puzzles"}, limits={"seconds": 0.25})
            await mine_folder(plain, MineSettings(exact=0, solved=0), tmp_path / "repairs")
            fast = await checked((plain, tmp_path / "repairs"), tmp_path / "fast")
            SCRIPTED.remove("puzzles")
            SCRIPTED.add("puzzles", Backbone(seconds=0.3))
            shutil.rmtree(tmp_path / "repairs" / "cache")
            slow = await checked((plain, tmp_path / "repairs"), tmp_path / "slow")
        finally:
            SCRIPTED.remove("puzzles")
    ends = {
        name: [(run.outcome, run.reason) for run in found.checked[0][1].runs]
        for name, found in (("fast", fast), ("slow", slow))
    }
    assert ends == {"fast": [("success", "closed")], "slow": [("error", "wall_time")]}
    assert summarise_checks([checked_failure(*slow.checked[0])]).grid_errors == 1


async def test_mining_is_right_about_random_puzzles_and_its_subsets_suffice(tmp_path: Path) -> None:
    tasks = {f"p{number}": random_puzzle(number) for number in range(40)}
    with puzzles(tasks):
        SCRIPTED.add("puzzles", Backbone())
        try:
            found = by_task(await checked(await mined(tmp_path, exact=10_000), tmp_path / "out"))
        finally:
            SCRIPTED.remove("puzzles")
    everywhere = [
        (name, frozenset(SchedulePoint(t, h) for t in range(DECISIONS) for h in name)) for name in all_subsets()
    ]
    sizes = set()
    for task, one in found.items():
        sizes.add(least := min((len(name) for name, every in everywhere if tasks[task].solved_by(every)), default=None))
        assert one.least_size == least
        assert one.schedule is one.best is one.subset  # more notes never break these
    assert len(found) == 40 and sizes == {None, 1, 2}
    assert summarise_checks(list(found.values())).subset_regret.value == 0.0


def all_subsets() -> list[tuple[str, ...]]:
    return [subset for size in (1, 2) for subset in combinations(POOL, size)]


async def test_calls_are_counted_as_mining_counts_them(world: Backbone, tmp_path: Path) -> None:
    folders = await mined(tmp_path, tasks=["single"])
    cold = Backbone()
    plain, repairs = folders
    found = await check_repairs(
        plain, read_repairs(repairs), tmp_path / "cold", MineCheckSettings(), model=cold, helper_model=cold
    )
    # Alpha before three decisions: the second request is with another history than in the log after the first changed
    grid = found.checked[0][1]
    assert grid.calls == 3
    # the map: both helpers before three decisions, together before the two at which neither has an effect, and one
    # decision after the change; the grid adds Alpha before the last one in the other history
    assert (grid.map_calls, grid.calls_with_map) == (6 + 2 + 1, 9 + 1)
    assert cold.asked == grid.calls_with_map + grid.map_calls
    before = world.asked
    (again,) = by_task(await checked(folders, tmp_path / "warm")).values()
    assert again.grid.calls == 3  # whoever answers
    assert world.asked - before < 3  # the cache of mining is used on


async def test_resumes_and_runs_again_what_is_open_otherwise(world: Backbone, tmp_path: Path) -> None:
    folders, out = await mined(tmp_path), tmp_path / "out"
    whole = await checked(folders, tmp_path / "whole")
    assert len((await checked(folders, out, failures=3)).checked) == 3
    first = (out / GRIDS).read_bytes()
    assert (await checked(folders, out)).checked == whole.checked
    assert (out / GRIDS).read_bytes().startswith(first)
    lines = (out / GRIDS).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8
    assert (await checked(folders, out)).checked == whole.checked
    assert (out / GRIDS).read_text(encoding="utf-8").splitlines() == lines
    stale = Grid.model_validate_json(lines[0])
    (out / GRIDS).write_text(stale.model_copy(update={"open": (), "runs": ()}).model_dump_json() + "\n")
    assert (await checked(folders, out)).checked == whole.checked


async def test_refusals_are_one_line_each(world: Backbone, tmp_path: Path) -> None:
    folders = await mined(tmp_path)
    found = await checked(folders, tmp_path / "few", largest=1)
    assert len(found.checked) + len(found.refused) == 8
    assert "2 helpers are left open, more than largest=1" in found.refused[0]
    PuzzleEnvironment.drift = 1
    found = await checked(folders, tmp_path / "drift", failures=1)
    assert found.checked == () and "not checked: message 5: tool 'step 2 drift 1' now" in found.refused[0]
    PuzzleEnvironment.drift = 0
    other = await plain_run(tmp_path / "other", model={"name": "scripted:puzzles"}, seed=7)
    with pytest.raises(BadInput, match="not the episodes that .*repairs was mined from"):
        await checked((other, folders[1]), tmp_path / "wrong")
    (folders[1] / "repairs.jsonl").write_text("")
    with pytest.raises(BadInput, match="no mined failure to check"):
        await checked(folders, tmp_path / "none")


async def test_a_budget_that_ran_out_leaves_untried_helpers_open(world: Backbone, tmp_path: Path) -> None:
    folders = await mined(tmp_path, tasks=["single"], budget={"calls": 2})
    (one,) = by_task(await checked(folders, tmp_path / "out")).values()
    assert (one.verdict, one.complete, one.grid.open) == ("budget ran out", False, POOL)
    assert (one.smallest, one.best, one.schedule) == (False, True, False)
    assert summarise_checks([one]).incomplete == 1


def test_the_command_writes_what_it_prints(world: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, repairs = asyncio.run(mined(tmp_path))
    out = tmp_path / "out"
    assert main(["mine-check", str(plain), str(repairs), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "d/two decisions: 3 subsets, 1 repair, " in told.err
    rows = {line.split("  ")[0].strip(): line.split() for line in told.out.splitlines()}
    cells = rows["puzzles/d/single"]
    assert cells[1:11] == ["0", "repaired", "Alpha", "Alpha", "1", "of", "1", "1", "yes", "yes"]
    assert cells[-1] == "3"
    assert "mined subset is the smallest, %" in told.out and "6 that the grid repairs" in told.out
    tree = json.loads((out / "mine-check.json").read_text(encoding="utf-8"))
    assert tree["summary"]["smallest"]["value"] == pytest.approx(5 / 6)
    assert tree["command"].startswith("fama") and tree["config"]["settings"]["search"] == "elimination"
    assert len(tree["failures"]) == 8 and "git_commit" in tree
    assert main(["mine-check", str(plain), str(tmp_path / "nowhere"), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "nowhere" in line


def test_grids_of_an_earlier_release_are_refused_in_one_line(
    world: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, repairs = asyncio.run(mined(tmp_path, tasks=["single"]))
    out = tmp_path / "out"
    command = ["mine-check", str(plain), str(repairs), "--out", str(out)]
    assert main(command) == 0
    tree = json.loads((out / GRIDS).read_text(encoding="utf-8")) | {"schema_version": 1}
    earlier = {key: value for key, value in tree.items() if key not in ("map_calls", "calls_with_map")}
    (out / GRIDS).write_text(json.dumps(earlier) + "\n", encoding="utf-8")
    capsys.readouterr()
    assert main(command) == 2
    fault, fix = "schema_version is not 2, which this release reads", "move the file away and make it anew"
    assert capsys.readouterr().err == f"fama: {out / GRIDS}:1: {fault}; {fix} with this release\n"
    assert json.loads((out / GRIDS).read_text(encoding="utf-8")) == earlier
    (out / GRIDS).rename(out / "earlier.jsonl")
    assert main(command) == 0


def test_two_forms_of_a_helper_are_never_in_one_subset() -> None:
    found = list(subsets_of(("TSA", "TSA:template", "DCE")))
    assert found == [("TSA",), ("TSA:template",), ("DCE",), ("TSA", "DCE"), ("TSA:template", "DCE")]


def record(**changes: Any) -> Repair:
    tree = {
        "episode_id": "e",
        "benchmark": "b",
        "domain": "d",
        "task_id": "t",
        "trial": 0,
        "split": "train",
        "backbone": "m",
        "strategy": "react",
        "pool": ("A", "B", "C"),
        "kind": "failed",
        "verdict": "repaired",
        "members": ("C",),
        "repair": (PlacedNote(decision=1, note=Note(helper="C", text="x", tokens=4)),),
        "complete": True,
        "calls": 6,
        "tokens": 1,
        "seconds": 0.0,
    }
    return Repair.model_validate({**tree, **changes})


def tried(helper: str, *outcomes: str) -> list[dict[str, Any]]:
    return [{"decision": turn, "members": (helper,), "outcome": one} for turn, one in enumerate(outcomes)]


def test_open_are_helpers_with_an_effect_those_of_the_repair_and_untried_ones() -> None:
    calm, changed = ("same action", "no note"), ("same action", "failure")
    rows = [*tried("A", *calm), *tried("B", *changed), *tried("C", *calm)]
    late = {"given": ({"decision": 0, "members": ("B",)},), "decision": 1, "members": ("A",), "outcome": "success"}
    assert open_helpers(record(interventions=[*rows, late]), 2) == ("B", "C")
    assert open_helpers(record(interventions=rows, members=None, repair=None), 2) == ("B",)
    assert open_helpers(record(interventions=rows, members=None, repair=None), 3) == ("A", "B", "C")
    joint = Intervention(decision=0, members=("A", "C"), outcome="not run")
    assert open_helpers(record(interventions=[*rows, joint], members=None, repair=None), 2) == ("A", "B", "C")


def grid(calls: int, **outcomes: tuple[str, int]) -> Grid:
    runs = [
        GridRun(subset=tuple(name), outcome=outcome, notes=1, note_tokens=tokens)
        for name, (outcome, tokens) in outcomes.items()
    ]
    counts = {"calls": calls, "map_calls": 5, "calls_with_map": calls + 4}
    return Grid(episode_id="e", open=("A", "B", "C"), runs=tuple(runs), tokens=None, seconds=0.0, **counts)


def test_smallest_and_cheapest_are_two_things() -> None:
    one = checked_failure(record(), grid(9, A=("failure", 1), C=("success", 30), AB=("success", 20)))
    assert (one.least_size, one.least_tokens, one.smallest, one.cheapest) == (1, 20, True, False)
    assert (one.schedule_notes, one.schedule_tokens) == (1, 4)
    two = checked_failure(record(members=("A", "B")), grid(9, C=("success", 30), AB=("success", 20)))
    assert (two.smallest, two.cheapest, two.subset) == (False, True, True)
    three = checked_failure(record(), grid(9, A=("success", 1), C=("error", 2)))
    assert (three.smallest, three.subset, three.best) == (False, False, True)
    assert summarise_checks([three]).grid_errors == 1


def test_calls_are_per_label_and_the_ratio_is_of_sums() -> None:
    rows = [checked_failure(record(task_id=str(n), calls=6 + n), grid(20 + 10 * n, C=("success", 1))) for n in range(4)]
    found = summarise_checks(rows)
    assert (found.mined_calls.value, found.grid_calls.value) == (7.5, 35.0)
    assert (found.map_calls.value, found.with_map_calls.value) == (5.0, 39.0)
    assert found.calls_ratio.value == pytest.approx(30 / 140)
    assert found.with_map_ratio.value == pytest.approx(30 / 156)
    assert found.calls_ratio.low is not None and found.calls_ratio.high is not None
    assert found.calls_ratio.low < 30 / 140 < found.calls_ratio.high
    assert (found.smallest.value, found.smallest.n, found.subset_regret.value) == (1.0, 4, 0.0)


def test_regrets_of_zero_on_few_tasks_are_not_certain() -> None:
    rows = [checked_failure(record(task_id=str(n)), grid(9, C=("success", 1))) for n in range(5)]
    found = summarise_checks(rows)
    assert found.subset_regret.low == 0.0 and found.subset_regret.high == pytest.approx(0.607, abs=1e-3)
    ends = found.schedule_regret
    assert ends.low is not None and ends.high is not None
    assert ends.value == 0.0 and ends.high == pytest.approx(-ends.low) and ends.high > 0.3


def test_repairs_of_before_whose_config_lacks_the_helper_files_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "tone.yaml"
    file.write_text("name: Tone\nprompt: Be kind.\n")
    settings = RunSettings.model_validate({"helpers": {"pool": [str(file)]}})
    source = MiningSource(tmp_path, settings, Puzzles(), "hash")
    told = run_prompts(settings)

    def repairs(prompts: dict[str, str]) -> Any:
        return SimpleNamespace(path=tmp_path, content={"config_hash": "hash", "prompts": prompts})

    _check_same(tmp_path, repairs({key: told[key] for key in told if key != "helpers/tone.yaml"}), source)
    with pytest.raises(BadInput, match="a prompt of the helpers has changed since"):
        _check_same(tmp_path, repairs({**told, "helpers/tone.yaml": "0" * 16}), source)
