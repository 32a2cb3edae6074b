"""Mining whole folders of puzzles whose minimal repairs are known."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fama.episodes.state import state_at
from fama.episodes.store import read_episodes
from fama.errors import BadInput, FamaError, ModelError
from fama.mining import runner
from fama.mining.bench import Bench, opened_bench
from fama.mining.records import Repair
from fama.mining.schedule import SchedulePoint
from fama.mining.settings import MineSettings
from fama.mining.source import choose_episodes, open_source
from fama.selection.router.turn import featurise_turn
from fama.settings import ModelSettings
from tests.support.mining_worlds import (
    NAMED,
    POOL,
    Backbone,
    PuzzleEnvironment,
    Puzzles,
    by_task,
    mined,
    plain_run,
    puzzle,
    puzzles,
    random_puzzle,
    repair_of,
)
from training.data.repairs import repair_examples


@pytest.fixture
def named() -> Iterator[None]:
    with puzzles(NAMED):
        yield


@pytest.mark.usefixtures("named")
async def test_finds_the_known_repair_of_every_kind(tmp_path: Path) -> None:
    found = by_task(await mined(await plain_run(tmp_path / "plain"), tmp_path / "out"))
    repairs = {task: sorted(repair_of(record)) for task, record in found.items()}
    assert repairs["single"] == [(1, "Alpha")]
    assert repairs["two decisions"] == [(0, "Alpha"), (2, "Beta")]
    assert repairs["two helpers"] == [(1, "Alpha"), (1, "Beta")]
    assert repairs["redundant"] == [(2, "Beta")]
    assert repairs["everywhere"] == [(0, "Alpha"), (0, "Beta"), (1, "Beta"), (2, "Alpha"), (2, "Beta")]
    assert found["impossible"].verdict == "not repaired by this pool"
    assert found["impossible"].repair is None
    assert {task: record.proven for task, record in found.items()} == {
        **dict.fromkeys(NAMED, True),
        "solved": None,
    }
    assert found["single"].members == ("Alpha",)
    assert found["everywhere"].members == POOL
    assert (found["two decisions"].decisive, found["two decisions"].step) == (0, 2)
    assert (found["redundant"].decisive, found["redundant"].step) == (2, 6)


@pytest.mark.usefixtures("named")
async def test_every_single_note_is_on_record(tmp_path: Path) -> None:
    record = by_task(await mined(await plain_run(tmp_path / "plain"), tmp_path / "out"))["single"]
    assert [(one.decision, one.members, one.outcome) for one in record.interventions if len(one.members) == 1] == [
        (0, ("Alpha",), "same action"),
        (0, ("Beta",), "same action"),
        (1, ("Alpha",), "success"),
        (1, ("Beta",), "same action"),
        (2, ("Alpha",), "same action"),
        (2, ("Beta",), "same action"),
    ]
    fixing = record.interventions[3]
    assert [note.text for note in fixing.notes] == ["Alpha speaks."]
    assert json.loads(fixing.before or "")["arguments"]["well"] is False
    assert json.loads(fixing.after or "")["arguments"]["well"] is True
    assert fixing.tokens == 40 + fixing.notes[0].tokens
    assert record.combinations == ()


@pytest.mark.usefixtures("named")
async def test_the_repair_was_executed_and_is_stored_as_an_episode(tmp_path: Path) -> None:
    found = await mined(await plain_run(tmp_path / "plain"), tmp_path / "out")
    stored = {episode.id: episode for episode in read_episodes(tmp_path / "out")}
    repaired = [record for record in found.records if record.verdict == "repaired"]
    assert len(stored) == len(repaired) == 5
    for record in repaired:
        episode = stored[record.repaired_episode or ""]
        assert (episode.task_id, episode.outcome.status, episode.selector) == (record.task_id, "success", "repair")
        noted = {SchedulePoint(d.turn, note.helper) for d in episode.decisions for note in d.notes}
        assert noted == repair_of(record)


async def test_random_puzzles_have_the_known_fewest_notes(tmp_path: Path) -> None:
    tasks = {f"p{number}": random_puzzle(number) for number in range(100)}
    with puzzles(tasks):
        found = by_task(await mined(await plain_run(tmp_path / "plain"), tmp_path / "out"))
    assert len(found) == 100
    fewest = {task: one.fewest() for task, one in tasks.items()}
    assert {task: None if record.repair is None else len(record.repair) for task, record in found.items()} == fewest
    assert all(record.proven for record in found.values())
    assert all(tasks[task].solved_by(repair_of(record)) for task, record in found.items() if record.repair)
    assert {record.verdict for record in found.values()} == {"repaired", "not repaired by this pool"}
    assert {count for count in fewest.values() if count is not None} >= {1, 2, 3, 4}


@pytest.mark.usefixtures("named")
async def test_unchanged_decisions_and_notes_that_change_nothing_cost_one_call_at_most(tmp_path: Path) -> None:
    folder = await plain_run(tmp_path / "plain")
    model = Backbone()
    record = by_task(await mined(folder, tmp_path / "out", model, tasks=["single"]))["single"]
    # six probes, two of them with both notes at a decision, and the one decision after the changed action
    assert record.calls == model.asked == 9
    assert record.tokens is not None
    assert record.tokens > 0


@pytest.mark.usefixtures("named")
async def test_solved_episodes_are_mapped(tmp_path: Path) -> None:
    tasks = {"solved": NAMED["solved"], "also": NAMED["solved"]}
    with_breaks = Backbone()
    Puzzles.tasks = tasks
    folder = await plain_run(tmp_path / "plain")
    found = await mined(folder, tmp_path / "out", with_breaks, solved=1)
    (record,) = found.records
    assert (record.kind, record.verdict, record.proven, record.repair) == ("solved", "mapped", None, None)
    assert {(one.decision, one.members[0]) for one in record.interventions if len(one.members) == 1} == {
        (turn, name) for turn in range(3) for name in POOL
    }
    assert {one.outcome for one in record.interventions} == {"same action"}


@pytest.mark.usefixtures("named")
async def test_resumes_without_mining_again(tmp_path: Path) -> None:
    folder = await plain_run(tmp_path / "plain")
    whole = await mined(folder, tmp_path / "whole")
    out = tmp_path / "out"
    await mined(folder, out, failures=2, solved=0)
    first = (out / "repairs.jsonl").read_bytes()
    model = Backbone()
    resumed = await mined(folder, out, model)
    assert (out / "repairs.jsonl").read_bytes().startswith(first)
    assert by_task(resumed) == by_task(whole)  # in another order: the first two were drawn
    again = Backbone()
    assert (await mined(folder, out, again)).records == resumed.records
    assert again.asked == 0


async def test_a_run_that_ends_while_another_one_connects_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was repaired, so that no episode told of it: the failure stood in the file twice."""
    connect, out = opened_bench, tmp_path / "out"
    with puzzles({"impossible": NAMED["impossible"]}):
        folder = await plain_run(tmp_path / "plain")

        @asynccontextmanager
        async def late(*arguments: Any) -> AsyncIterator[Bench]:
            monkeypatch.setattr(runner, "opened_bench", connect)
            async with connect(*arguments) as bench:
                await mined(folder, out)
                yield bench

        monkeypatch.setattr(runner, "opened_bench", late)
        with pytest.raises(BadInput, match="another process has just written here; give the command again"):
            await mined(folder, out)
        assert len((await mined(folder, out)).records) == 1


class Stopping(Backbone):
    """Is interrupted at a call."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self._last = last

    def _reply(self, request):  # type: ignore[no-untyped-def]
        if self.asked == self._last:
            raise KeyboardInterrupt
        return super()._reply(request)


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("last", [0, 5, 14, 23, 40])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path: Path, last: int) -> None:
    folder = asyncio.run(plain_run(tmp_path / "plain"))
    whole = asyncio.run(mined(folder, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(mined(folder, tmp_path / "out", Stopping(last)))
    assert asyncio.run(mined(folder, tmp_path / "out")).records == whole.records
    assert len({episode.id for episode in read_episodes(tmp_path / "out")}) == 5


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("limit", [0, 1, 7, 12])
async def test_calls_stay_within_the_budget(tmp_path: Path, limit: int) -> None:
    folder = await plain_run(tmp_path / "plain")
    model = Backbone()
    found = by_task(await mined(folder, tmp_path / "out", model, budget={"calls": limit}, tasks=["everywhere"]))
    record = found["everywhere"]
    assert record.calls == model.asked == limit
    assert (record.verdict, record.complete, record.repair, record.proven) == ("budget ran out", False, None, False)


@pytest.mark.usefixtures("named")
async def test_a_repair_found_before_the_budget_ends_stands(tmp_path: Path) -> None:
    folder = await plain_run(tmp_path / "plain")
    record = by_task(await mined(folder, tmp_path / "out", budget={"calls": 20}, tasks=["everywhere"]))["everywhere"]
    full = by_task(await mined(folder, tmp_path / "full", tasks=["everywhere"]))["everywhere"]
    assert full.calls > 20
    assert (record.verdict, record.complete, record.proven) == ("repaired", False, False)
    assert repair_of(record) == repair_of(full)


@pytest.mark.usefixtures("named")
async def test_tokens_are_limited_before_a_call(tmp_path: Path) -> None:
    folder = await plain_run(tmp_path / "plain")
    one = by_task(await mined(folder, tmp_path / "one", budget={"calls": 1}, tasks=["single"]))["single"]
    assert one.tokens
    few = by_task(await mined(folder, tmp_path / "few", budget={"calls": None, "tokens": one.tokens}, tasks=["single"]))
    assert (few["single"].calls, few["single"].verdict) == (1, "budget ran out")


@pytest.mark.usefixtures("named")
async def test_records_are_the_same_in_every_run(tmp_path: Path) -> None:
    folder = await plain_run(tmp_path / "plain")
    await mined(folder, tmp_path / "one")
    await mined(folder, tmp_path / "two")
    assert (tmp_path / "one/repairs.jsonl").read_bytes() == (tmp_path / "two/repairs.jsonl").read_bytes()


@pytest.mark.usefixtures("named")
async def test_test_tasks_are_marked(tmp_path: Path) -> None:
    found = by_task(await mined(await plain_run(tmp_path / "plain"), tmp_path / "out"))
    for number, task in enumerate(NAMED):
        assert found[task].split == ("test" if number % 2 else "train")
        assert found[task].may_train is (number % 2 == 0)


@pytest.mark.usefixtures("named")
async def test_an_observation_that_differs_refuses_the_episode_with_its_place(tmp_path: Path) -> None:
    folder = await plain_run(tmp_path / "plain")
    PuzzleEnvironment.drift = 1
    found = await mined(folder, tmp_path / "out")
    assert found.records == ()
    assert len(found.refused) == len(NAMED)
    assert "message 5: tool 'step 2 drift 1' now, tool 'step 2' in the log" in found.refused[0]
    PuzzleEnvironment.drift = 0
    assert len((await mined(folder, tmp_path / "out")).records) == len(NAMED)


@pytest.mark.usefixtures("named")
async def test_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = await plain_run(tmp_path / "plain")
    Puzzles.current = "puzzles-2"
    with pytest.raises(BadInput, match="benchmark version puzzles-1, here is puzzles-2"):
        await mined(folder, tmp_path / "out")


@pytest.mark.usefixtures("named")
async def test_another_pool_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = await plain_run(tmp_path / "plain")
    await mined(folder, tmp_path / "out", failures=1)
    with pytest.raises(BadInput, match=r"helpers.pool was .* and is now"):
        await mined(folder, tmp_path / "out", helpers={"pool": ["Alpha"]})
    with pytest.raises(BadInput, match="unknown helper 'Gamma'"):
        await mined(folder, tmp_path / "new", helpers={"pool": ["Gamma"]})
    with pytest.raises(BadInput, match="unknown search 'luck'"):
        await mined(folder, tmp_path / "new", search="luck")


@pytest.mark.usefixtures("named")
async def test_continuations_need_a_temperature(tmp_path: Path) -> None:
    folder = await plain_run(tmp_path / "plain")
    with pytest.raises(BadInput, match="continuations"):
        await mined(folder, tmp_path / "out", continuations=3)


class Broken(Backbone):
    """Fails at every call."""

    def _reply(self, request):  # type: ignore[no-untyped-def]
        raise ModelError("the server is gone")


@pytest.mark.usefixtures("named")
async def test_a_model_that_fails_leaves_the_episode_for_another_run(tmp_path: Path) -> None:
    folder = await plain_run(tmp_path / "plain")
    found = await mined(folder, tmp_path / "out", Broken(), tasks=["single"])
    assert found.records == ()
    assert "the model failed: the server is gone" in found.refused[0] and (found.added, found.failed) == (0, 1)
    assert by_task(await mined(folder, tmp_path / "out", tasks=["single"]))["single"].verdict == "repaired"


class BreaksOff(Backbone):
    """Fails after each second call."""

    def _reply(self, request):  # type: ignore[no-untyped-def]
        if self.asked % 3 == 2:
            self.asked += 1
            raise ModelError("HTTP 400: withheld")
        return super()._reply(request)


@pytest.mark.usefixtures("named")
async def test_a_server_that_is_gone_ends_mining_and_a_call_that_is_refused_does_not(tmp_path: Path) -> None:
    folder = await plain_run(tmp_path / "plain", stop_after=2)
    with pytest.raises(FamaError, match=r"2 episodes in a row could not be mined .*the server is gone"):
        await mined(folder, tmp_path / "out", Broken())
    assert (await mined(folder, tmp_path / "never", Broken(), stop_after=0)).failed == len(NAMED)
    found = await mined(folder, tmp_path / "off", BreaksOff())
    assert len(found.refused) > 2 and found.failed == 0, "what had answers is no sign of a server that is gone"
    assert (await mined(folder, tmp_path / "out")).failed == 0


@pytest.mark.usefixtures("named")
async def test_a_folder_without_plain_episodes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        await mined(tmp_path / "nothing", tmp_path / "out")
    folder = await plain_run(tmp_path / "plain")
    with pytest.raises(BadInput, match="no finished episode of the plain agent of these tasks"):
        await mined(folder, tmp_path / "out", tasks=["nobody"])
    with pytest.raises(BadInput, match="tasks: holds no episode of 'nobody'; leave it out, or run it"):
        await mined(folder, tmp_path / "out", tasks=["single", "nobody"])
    (folder / "config.json").unlink()
    with pytest.raises(BadInput, match=r"config.json: missing"):
        await mined(folder, tmp_path / "out")


async def test_mined_episodes_stand_for_those_they_were_drawn_from(tmp_path: Path) -> None:
    """Of 40 training tasks Alpha repairs 4 and breaks 36: so the rows say, with 6 of the 36 mined."""
    harmed, helped = puzzle("", "-A", "", ways=[[1]]), puzzle(None, "A", None, ways=[[1]])
    tasks = {f"p{number}": helped if number % 20 < 2 else harmed for number in range(80)}
    with puzzles(tasks):
        folder = await plain_run(tmp_path / "plain")
        first = [f"p{number}" for number in range(0, 80, 2)]
        await mined(folder, tmp_path / "out", tasks=first, solved=4, failures=2)
        records = (await mined(folder, tmp_path / "out", tasks=first, solved=6, failures=None)).records
        whole = (await mined(folder, tmp_path / "all", tasks=first, solved=None, failures=1)).records
        assert [one.kind for one in whole] == ["failed"] + ["solved"] * 36
        episodes = {one.id: one for path in (folder, tmp_path / "out") for one in read_episodes(path)}
    assert {(one.kind, one.eligible) for one in records} == {("failed", 4), ("solved", 36)}
    assert len(records) == 10

    def shares(told: Iterable[Repair]) -> dict[tuple[bool, ...], float]:
        rows = repair_examples(told, episodes, POOL).examples
        there = {featurise_turn(state_at(episodes[one.episode_id], 1), POOL) for one in records}
        chosen = [row for row in rows if row.features in there]
        return {
            subset: sum(row.weight for row in chosen if row.subset == subset and row.success)
            / sum(row.weight for row in chosen if row.subset == subset)
            for subset in ((False, False), (True, False))
        }

    assert shares(records) == {(False, False): pytest.approx(0.9), (True, False): pytest.approx(0.1)}
    old = [one.model_copy(update={"eligible": None}) for one in records]
    assert shares(old) == {(False, False): pytest.approx(0.6), (True, False): pytest.approx(0.4)}
    # mined task by task, each the only one of its part: they weighed a quarter each, as if drawn from one
    apart = [one.model_copy(update={"eligible": 1 if one.kind == "failed" else 6}) for one in records]
    assert shares(apart) == shares(old)
    # in two parts, the run having grown between them: the first part weighed as if it were all of its kind
    few = [one.model_copy(update={"eligible": 2 if n % 2 else one.eligible}) for n, one in enumerate(records)]
    assert shares(few) == shares(records)


def test_a_published_folder_is_mined_as_it_is(tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[2] / "results/helpdesk/plain-train-mixed"
    mine = MineSettings(failures=2, solved=1)
    chosen = choose_episodes(open_source(folder, mine, tmp_path), mine)
    assert [episode.outcome.status for episode in chosen.episodes] == ["failure", "failure", "success"]
    assert chosen.refused == ()


def test_the_failures_that_are_mined_are_drawn_from_all(tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[2] / "results/helpdesk/plain-train-mixed"  # shop stands before saas

    def drawn(count: int, seed: int = 0) -> list[str]:
        mine = MineSettings(failures=count, solved=0, seed=seed)
        return [episode.id for episode in choose_episodes(open_source(folder, mine, tmp_path), mine).episodes]

    domain = {episode.id: episode.domain for episode in read_episodes(folder)}
    assert {domain[one] for one in drawn(8)} == {"shop", "saas"}
    assert drawn(8)[:3] == drawn(3) != drawn(3, seed=1)  # more of them go on with the same ones


def test_what_is_set_of_the_way_to_the_model_is_checked_with_the_rest_of_it() -> None:
    own = MineSettings.model_validate({"model": {"slots": 64}}).model
    with pytest.raises(BadInput, match="model: max_tokens 200 leaves a request no room in context_tokens 8192"):
        own.over(ModelSettings())
    assert own.over(ModelSettings(context_tokens=65536)).slots == 64
