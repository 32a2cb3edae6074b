"""Real Ray: two workers of one machine, two nodes of one machine, workers and a node killed while they play."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.cli import main
from fama.episodes.store import read_failures
from fama.models.scripted import SCRIPTED
from fama.settings import RunSettings, SelectorSettings
from tests.support import ray_toys
from tests.support.scripted_backbone import opening
from tests.support.toy_agents import told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that workers write to; they find the package and the tests' modules by PYTHONPATH."""
    folder = tmp_path_factory.mktemp("traces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ray_toys.FOLDER, str(folder))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        ray_toys.register()
        yield folder
        SCRIPTED.remove("mortal")


@pytest.fixture(autouse=True)
def clean(traces: Path) -> None:
    for file in traces.iterdir():
        file.unlink()


@pytest.fixture(scope="module")
def expected(traces: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return the episodes of the local executor."""
    out = tmp_path_factory.mktemp("local")
    asyncio.run(run_planned(settings(executor="local"), plan(), out, progress=False))
    return told(out)


@pytest.fixture
def two_workers(traces: Path) -> Iterator[None]:
    ray.init(address="local", num_cpus=2, **QUIET, include_dashboard=False, runtime_env=RUNTIME)
    yield
    ray.shutdown()


QUIET: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
ARMS = ("none", "all", "random")
RUNTIME = {"worker_process_setup_hook": "tests.support.ray_toys.register"}


def settings(**values: Any) -> RunSettings:
    tree = {"domain": ray_toys.DOMAIN, "split": ray_toys.SPLIT, "model": {"name": "scripted:mortal"}, "concurrency": 2}
    return RunSettings.model_validate({**tree, "executor": "ray", "helpers": {"pool": ["TSA", "Verifier"]}, **values})


def plan() -> list[Planned]:
    return [Planned(task, 0, SelectorSettings(name=arm)) for arm in ARMS for task in ray_toys.task_ids()]


def started(traces: Path) -> list[tuple[str, str]]:
    """Node and first words of every episode that was started."""
    lines = (traces / "started.log").read_text(encoding="utf-8").splitlines()
    return [(line.partition("\t")[0], line.partition("\t")[2]) for line in lines]


def long_task(expected: dict[str, dict[str, Any]]) -> str:
    """A task of which every arm plays more than three decisions."""
    lengths: dict[str, int] = {}
    for tree in expected.values():
        lengths[tree["task_id"]] = min(lengths.get(tree["task_id"], 99), len(tree["decisions"]))
    task, length = max(lengths.items(), key=lambda item: item[1])
    assert length > 3
    return task


async def test_the_same_episodes_as_in_this_process(
    two_workers: None, traces: Path, expected: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    summary = await run_planned(settings(), plan(), tmp_path, progress=False)
    assert told(tmp_path) == expected
    assert {"success", "failure"} <= set(summary.overall.status) and "error" not in summary.overall.status
    assert len(started(traces)) == len(expected)


def test_a_killed_worker_loses_nothing_and_repeats_only_its_own(
    two_workers: None, traces: Path, expected: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    words = opening(ray_toys.DOMAIN, long_task(expected), 0)
    (traces / "kill").write_text(words, encoding="utf-8")
    asyncio.run(run_planned(settings(), plan(), tmp_path, progress=False))
    assert not (traces / "kill").exists()  # it did happen
    assert told(tmp_path) == expected
    counts = Counter(opened for _, opened in started(traces))
    assert counts.pop(repr(words)) == len(ARMS) + 1
    assert set(counts.values()) == {len(ARMS)}


async def test_two_nodes_one_of_which_dies(traces: Path, expected: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, **QUIET, runtime_env=RUNTIME)
        run = asyncio.create_task(run_planned(settings(concurrency=4), plan(), tmp_path, progress=False))
        while not run.done() and len({node for node, _ in _started(traces)}) < 2:
            await asyncio.sleep(0.05)
        assert not run.done(), "all episodes went to one node"
        await asyncio.to_thread(cluster.remove_node, second, allow_graceful=False)
        await run
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert told(tmp_path) == expected
    again = len(started(traces)) - len(expected)
    assert 0 <= again <= 4, "more episodes were repeated than were under way"


def _started(traces: Path) -> list[tuple[str, str]]:
    return started(traces) if (traces / "started.log").exists() else []


def test_outcomes_and_diagnose_from_the_command_line(
    two_workers: None, traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [f"domain={ray_toys.DOMAIN}", f"split={ray_toys.SPLIT}", "tasks=6", "per_task=2", "subsets=[[], [TSA]]"]
    model = ["model.name=scripted:mortal", "concurrency=2"]
    for executor in ("local", "ray"):
        out = tmp_path / executor
        assert main(["outcomes", "--executor", executor, *common, *model, "--out", str(out)]) == 0
        log = ["diagnose", str(out), "--executor", executor, "--concurrency", "2", "--out", str(out / "labels")]
        assert main(log) == 0
    assert told(tmp_path / "ray") == told(tmp_path / "local")
    labels = [{label.episode_id: label for label in read_failures(tmp_path / e / "labels")} for e in ("ray", "local")]
    assert labels[0] == labels[1] and labels[0]
    capsys.readouterr()


def test_a_terminated_command_keeps_what_is_finished_and_goes_on(traces: Path, tmp_path: Path) -> None:
    settings = ["domain=shop", "split=train", "tasks=60", "model.name=scripted:echo", "concurrency=2", "stop_after=0"]
    command = [sys.executable, "-m", "fama", "run", "--executor", "ray", *settings, "--out", str(tmp_path)]
    log = tmp_path / "episodes.jsonl"
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < 5):
        time.sleep(0.02)
    process.terminate()
    _, error = process.communicate(timeout=300)
    assert process.returncode == 1 and "interrupted; finished episodes are kept" in error
    kept = told(tmp_path)
    assert 5 <= len(kept) < 60
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    episodes = told(tmp_path)
    assert len(episodes) == 60 and {id_: episodes[id_] for id_ in kept} == kept


def test_ray_that_a_run_starts_itself_keeps_to_loopback(traces: Path) -> None:
    """In a process of its own, as Ray reads this setting when it is imported."""
    code = (
        "from fama.execution.ray_tasks import _import, _start\n"
        "ray = _import(); _start(ray)\n"
        "ray.get(ray.remote(lambda: 1).remote())\n"
        "print(*(node['NodeManagerAddress'] for node in ray.nodes()))\n"
        "from tests.execution.test_ray import listening; print(*listening())\n"
        "ray.shutdown()\n"
    )
    before = listening()
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # what pytest added, for what this file imports
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, env=paths)
    assert done.returncode == 0, done.stderr
    nodes, sockets = done.stdout.splitlines()[-2:]
    assert nodes == "127.0.0.1"
    new = set(sockets.split()) - before
    assert len(new) >= 3  # it did listen
    assert not [place for place in new if not place.startswith(("0100007F:", "loopback6:"))]


def listening() -> set[str]:
    """Addresses of all listening sockets as the kernel writes them; those of IPv6 loopback as ``loopback6:PORT``."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
            place, state = line.split()[1], line.split()[3]
            here = place.startswith(("00000000000000000000000001000000", "0000000000000000FFFF00000100007F"))
            if state == "0A":
                found.add(f"loopback6:{place.rpartition(':')[2]}" if here else place)
    return found
