"""Episodes that run elsewhere, with an executor that pickles like Ray's and needs no Ray."""

import asyncio
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fama.agents.runs import ray_jobs as remote
from fama.agents.runs.plan import Planned, load_benchmark
from fama.agents.runs.ray_jobs import EpisodeRecipe, Purse
from fama.agents.runs.run_config import run_prompts
from fama.agents.runs.runner import run_planned
from fama.cli import main
from fama.errors import BadInput, FamaError
from fama.helpers.base import HELPERS
from fama.models.scripted import SCRIPTED
from fama.selection.budget import RunBudget
from fama.settings import BudgetSettings, Form, RunSettings, SelectorSettings
from tests.support.toy_agents import Guide, gold_model, told
from tests.support.worker_threads import worker_threads

pytestmark = pytest.mark.usefixtures("lamps")
LOST: set[str] = set()


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A scripted backbone, a helper, and workers that are threads with a host each."""
    SCRIPTED.add("gold", gold_model())
    HELPERS.add("Guide", guide)
    LOST.clear()
    monkeypatch.setattr(remote, "check_ray", lambda: None)
    monkeypatch.setattr(remote, "ray_tasks", worker_threads(lambda job: job.planned.task_id in LOST))
    yield
    SCRIPTED.remove("gold")
    HELPERS.remove("Guide")


def guide(form: Form = "template", **options: int | str) -> Guide:
    return Guide()


def settings(**values: Any) -> RunSettings:
    tree = {"benchmark": "lamps", "domain": "house", "model": {"name": "scripted:gold"}, "helpers": {"pool": ["Guide"]}}
    return RunSettings.model_validate({**tree, "tasks": 6, "executor": "ray", "concurrency": 3, **values})


def plan(trials: int = 2) -> list[Planned]:
    arm = SelectorSettings(name="all")
    return [Planned(f"t{task}", trial, arm) for trial in range(trials) for task in range(6)]


async def test_the_same_episodes_as_in_this_process(tmp_path: Path) -> None:
    await run_planned(settings(), plan(), tmp_path / "remote", progress=False)
    await run_planned(settings(executor="local", concurrency=1), plan(), tmp_path / "local", progress=False)
    assert told(tmp_path / "remote") == told(tmp_path / "local")
    assert len(told(tmp_path / "local")) == 12


@pytest.mark.parametrize("limit", [20, 47, 90, 10_000])
async def test_one_limit_for_all_workers_as_if_they_came_one_by_one(tmp_path: Path, limit: int) -> None:
    budget = {"budget": {"run": limit, "episode": 30}}
    await run_planned(settings(**budget), plan(), tmp_path / "remote", progress=False)
    await run_planned(settings(executor="local", concurrency=1, **budget), plan(), tmp_path / "local", progress=False)
    local, spent = told(tmp_path / "local"), 0
    assert told(tmp_path / "remote") == local
    for tree in local.values():
        spent += sum(note["tokens"] for decision in tree["decisions"] for note in decision["notes"])
    assert 0 < spent <= limit
    assert any(d["dropped"] for tree in local.values() for d in tree["decisions"])


async def test_an_episode_waits_for_those_that_may_still_spend_what_it_needs() -> None:
    budget = RunBudget(BudgetSettings(run=100, episode=40))
    purse, log = Purse(budget), []

    async def episode(name: str, ready: asyncio.Event) -> None:
        async with purse.share() as left:
            log.append((name, left))
            await ready.wait()
            budget.spent += 10

    events = [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.create_task(episode(name, event)) for name, event in zip("abc", events, strict=True)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert log == [("a", 40), ("b", 40)]  # 20 are left beside them, too few for the third
    for event in events:
        event.set()
    await asyncio.gather(*tasks)
    assert log[2] == ("c", 40)
    assert (budget.spent, budget.reserved) == (30, 0)


async def test_a_lost_episode_is_an_error_that_the_next_run_mends(tmp_path: Path) -> None:
    LOST.add("t2")
    summary = await run_planned(settings(), plan(1), tmp_path, progress=False)
    assert summary.overall.status == {"success": 5, "error": 1}
    assert summary.overall.reasons["error:harness"] == 1
    lost = next(tree for tree in told(tmp_path).values() if tree["task_id"] == "t2")
    assert lost["outcome"]["reason"] == "its worker died"
    before = told(tmp_path)
    LOST.clear()
    summary = await run_planned(settings(), plan(1), tmp_path, progress=False)
    assert summary.overall.status == {"success": 6}
    assert {id_ for id_, tree in told(tmp_path).items() if tree != before[id_]} == {lost["id"]}


async def test_a_worker_with_another_benchmark_stops_the_run(tmp_path: Path) -> None:
    recipe = EpisodeRecipe(settings(), {"benchmark_version": "0", "prompts": {}})
    with pytest.raises(FamaError, match="another benchmark version"):
        async with recipe.opened():
            pass


async def test_prompts_of_arms_that_are_left_out_do_not_stop_a_run_that_goes_on(tmp_path: Path) -> None:
    """A folder tells the prompts of all arms that were run in it; workers need those of the present ones."""
    one = settings(selector={"name": "prompted", "options": {"form": "on_prefix"}})
    other = settings()
    told_of_both = {**run_prompts(one), **run_prompts(other)}
    content = {"benchmark_version": load_benchmark(other).version("house"), "config_hash": "x", "prompts": told_of_both}
    assert run_prompts(other).keys() < told_of_both.keys()
    async with EpisodeRecipe(other, content).opened():
        pass
    edited = {**told_of_both, **dict.fromkeys(list(run_prompts(other))[:1], "0")}
    for prompts in (edited, {}):
        with pytest.raises(FamaError, match="another prompts"):
            async with EpisodeRecipe(other, {**content, "prompts": prompts}).opened():
                pass


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": {"name": "qwen2.5-coder-0.5b"}}, "fama models serve qwen2.5-coder-0.5b` and set model.base_url"),
        ({"user_model": {"name": "qwen2.5-coder-0.5b"}}, "set user_model.base_url"),
        ({"budget": {"run": 900}}, "set budget.episode too"),
    ],
)
async def test_what_workers_cannot_follow_is_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        await run_planned(settings(**changed), plan(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_ray_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # the real check
    found = importlib.util.find_spec
    monkeypatch.setattr("fama.execution.ray_tasks.find_spec", lambda name: None if name == "ray" else found(name))
    out = str(tmp_path / "out")
    assert main(["run", "--executor", "ray", "model.name=scripted:echo", "--out", out]) == 2
    error = capsys.readouterr().err
    assert "pip install 'fama-router[ray]'" in error and error.count("\n") == 1
    assert main(["run", "--executor", "dask", "--out", out]) == 2
    assert not (tmp_path / "out").exists()
