"""Mining elsewhere: with an executor that pickles like Ray's and needs no Ray, and on real Ray workers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fama.agents.runs import ray_jobs as shared_checks
from fama.cli import main
from fama.episodes.store import read_episodes
from fama.errors import FamaError
from fama.mining import ray_jobs as remote
from fama.mining.runner import MinedFolder, mine_folder
from fama.mining.settings import MineSettings
from fama.models.scripted import SCRIPTED
from tests.support.mining_worlds import NAMED, Backbone, Puzzles, plain_run, puzzles
from tests.support.toy_agents import told
from tests.support.worker_threads import worker_threads

LOST: set[str] = set()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    LOST.clear()
    with puzzles(NAMED):
        SCRIPTED.add("puzzles", Backbone())
        yield
        SCRIPTED.remove("puzzles")


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are threads with a host each."""
    monkeypatch.setattr(shared_checks, "check_ray", lambda: None)
    monkeypatch.setattr(remote, "ray_tasks", worker_threads(lambda job: job.episode.task_id in LOST))


async def plain(tmp_path: Path) -> Path:
    return await plain_run(tmp_path / "plain", model={"name": "scripted:puzzles"})


async def mined(tmp_path: Path, out: str, **changes: Any) -> MinedFolder:
    settings = {"executor": "ray", "concurrency": 3, "budget": {"calls": None}, **changes}
    return await mine_folder(tmp_path / "plain", MineSettings.model_validate(settings), tmp_path / out)


def written(folder: Path) -> tuple[set[str], dict[str, dict[str, Any]]]:
    """The repairs and the executed episodes of a folder, without the times of the latter."""
    return set((folder / "repairs.jsonl").read_text(encoding="utf-8").splitlines()), told(folder)


@pytest.mark.usefixtures("workers")
async def test_the_same_records_as_in_this_process(tmp_path: Path) -> None:
    await plain(tmp_path)
    found = await mined(tmp_path, "remote")
    await mined(tmp_path, "local", executor="local", concurrency=1)
    assert {one.task_id for one in found.records} == set(NAMED)
    assert {one.split for one in found.records} == {"train", "test"}
    assert written(tmp_path / "remote") == written(tmp_path / "local")
    assert len(list(read_episodes(tmp_path / "remote"))) == 5


@pytest.mark.usefixtures("workers")
async def test_an_episode_whose_worker_died_is_left_for_another_run_on_any_executor(tmp_path: Path) -> None:
    await plain(tmp_path)
    LOST.add("single")
    found = await mined(tmp_path, "out")
    (refused,) = found.refused
    assert refused.startswith("d/single, trial 0 (") and refused.endswith("not mined: its worker died")
    assert len(found.records) == len(NAMED) - 1
    again = await mined(tmp_path, "out", executor="local")
    assert (len(again.records), again.refused) == (len(NAMED), ())


@pytest.mark.usefixtures("workers")
async def test_refusals_come_back_from_workers(tmp_path: Path) -> None:
    folder = await plain(tmp_path)
    path = folder / "episodes.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("step 2", "step two"), encoding="utf-8")
    found = await mined(tmp_path, "out")
    assert found.records == () and len(found.refused) == len(NAMED)
    assert "message 5: tool 'step 2' now, tool 'step two' in the log" in found.refused[0]


@pytest.mark.usefixtures("workers")
async def test_a_worker_with_another_benchmark_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await plain(tmp_path)
    versions = iter(["puzzles-1"] * 3)
    monkeypatch.setattr(Puzzles, "version", lambda self, domain: next(versions, "puzzles-2"))
    with pytest.raises(FamaError, match="another benchmark version"):
        await mined(tmp_path, "out", concurrency=1)


@pytest.mark.usefixtures("workers")
def test_a_model_of_this_process_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(plain(tmp_path))
    out = tmp_path / "out"
    own = "helper_model={name: qwen2.5-coder-0.5b}"
    assert main(["mine", str(tmp_path / "plain"), "--executor", "ray", "--out", str(out), own]) == 2
    error = capsys.readouterr().err
    assert "set helper_model.base_url" in error and error.count("\n") == 1
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_real_workers_give_the_same_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    for key, value in {
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }.items():
        monkeypatch.setenv(key, value)
    await plain(tmp_path)
    await mined(tmp_path, "local", executor="local", concurrency=1)
    hook = {"worker_process_setup_hook": "tests.support.mining_worlds.register"}
    ray.init(
        address="local",
        num_cpus=2,
        configure_logging=False,
        log_to_driver=False,
        include_dashboard=False,
        runtime_env=hook,
    )
    try:
        found = await mined(tmp_path, "remote")
    finally:
        ray.shutdown()
    assert found.refused == ()
    assert written(tmp_path / "remote") == written(tmp_path / "local")
