"""Tasks of a comparison beside those of its split, and beside those that its arms learned from."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from eval.compare.task_sets import learned_from
from fama.cli import main
from fama.episodes.keys import TaskKey
from fama.episodes.outcome_table import read_outcomes, write_outcomes
from fama.episodes.records import Episode, Failure, Message
from fama.errors import BadInput
from fama.selection.router.manifest import task_hash
from fama.settings import CompareSettings, SelectorSettings
from tests.support.comparisons import live, table
from tests.support.eval_builders import build
from tests.support.toy_world import toy_world
from training.data.examples import failure_examples

LEARNED = [{"name": "none"}, {"name": "best_fixed"}]


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


async def test_a_table_of_another_split_is_not_replayed_as_this_one(tmp_path: Path) -> None:
    train = await table(tmp_path / "train", split="train")
    with pytest.raises(BadInput, match="parquet has no task of test, only of train; set split to that"):
        await live(tmp_path / "out", replay=str(train))
    assert not (tmp_path / "out").exists()
    named = await live(tmp_path / "named", replay=str(train), tasks=["t0", "t3"])
    assert "2 of 2 tasks are not of the split test: t0, t3." in named.warnings
    right = await live(tmp_path / "right", replay=str(train), split="train")
    assert not any("of the split" in line for line in right.warnings)


async def test_a_number_of_replayed_tasks_is_of_the_split(tmp_path: Path) -> None:
    train, test = [await table(tmp_path / split, split=split) for split in ("train", "test")]
    both = tmp_path / "both.parquet"
    write_outcomes(both, [*read_outcomes(train), *read_outcomes(test)], {})
    got = await live(tmp_path / "out", replay=str(both))
    assert [row.task_id for row in got.per_task] == ["t10", "t11", "t12", "t13"]
    with pytest.raises(BadInput, match="5 asked for, .*both.parquet has 1 to 4 of test to give"):
        await live(tmp_path / "more", replay=str(both), tasks=5)


async def test_a_number_of_replayed_tasks_is_the_first_of_the_split_as_in_a_live_run(tmp_path: Path) -> None:
    """A table has its rows in the order in which episodes ended, so that its first tasks are the quick ones."""
    test = await table(tmp_path / "test")
    late = tmp_path / "late.parquet"
    write_outcomes(late, read_outcomes(test)[::-1], {})
    got = await live(tmp_path / "out", replay=str(late), tasks=2)
    assert [row.task_id for row in got.per_task] == ["t10", "t11"]


async def test_named_tasks_of_another_split_are_told_of_a_live_run_too(tmp_path: Path) -> None:
    got = await live(tmp_path / "out", tasks=["t10", "t0", "t1", "t2", "t3"])
    assert "4 of 5 tasks are not of the split test: t0, t1, t2 and 1 more." in got.warnings


@pytest.mark.parametrize("replayed", [False, True])
async def test_an_arm_that_learned_from_the_compared_tasks_is_named(tmp_path: Path, replayed: bool) -> None:
    test, train = [str(await table(tmp_path / split, split=split)) for split in ("test", "train")]
    how = {"arms": LEARNED, "replay": test if replayed else None}
    apart = await live(tmp_path / "apart", outcomes=train, **how)
    assert not any("learned from" in line for line in apart.warnings)
    shared = await live(tmp_path / "shared", outcomes=test, **how)
    line = f"best_fixed learned from 4 of the 4 compared tasks, which flatters it: {test} has t10, t11, t12 and 1 more."
    assert line in shared.warnings


async def test_only_the_rows_that_an_arm_reads_count(tmp_path: Path) -> None:
    test = await table(tmp_path / "test")
    rows = read_outcomes(test)
    mixed = tmp_path / "mixed.parquet"
    write_outcomes(mixed, [*rows, *(row.model_copy(update={"domain": "moods"}) for row in rows)], {})
    arms = [*LEARNED, {"name": "best_fixed", "label": "apart", "options": {"domain": "moods"}}]
    got = await live(tmp_path / "out", arms=arms, outcomes=str(mixed))
    assert [line.split()[0] for line in got.warnings if "learned from" in line] == ["best_fixed"]


async def test_a_router_that_learned_from_the_compared_tasks_is_named(tmp_path: Path) -> None:
    test, train = [str(await table(tmp_path / split, split=split, tasks=4)) for split in ("test", "train")]
    router = tmp_path / "router"
    learned = {"data.outcomes": f"[{train}]", "data.pool": "[Alpha,Beta]", "data.validation": "0.25"}
    assert (
        main(["train", "--out", str(router), "kind=prior", *(f"{key}={value}" for key, value in learned.items())]) == 0
    )
    arms = [{"name": "none"}, {"name": "prior", "options": {"checkpoint": str(router)}}]
    apart = await live(tmp_path / "apart", arms=arms, replay=test)
    assert not any("learned from" in line for line in apart.warnings)
    shared = await live(tmp_path / "shared", arms=arms, replay=train, split="train")
    line = f"prior learned from 4 of the 4 compared tasks, which flatters it: {router} has t0, t1, t2 and 1 more."
    assert line in shared.warnings
    _forget_tasks(router)
    older = await live(tmp_path / "older", arms=arms, replay=train, split="train")
    assert not any("learned from" in line for line in older.warnings)


@pytest.mark.parametrize(
    ("run", "log"),
    [
        (("tau_bench", "retail"), ("tau-bench", "retail")),
        (("tau_trait", "retail-skeptical"), ("tau-bench", "retail")),
        (("tau_trait", "telecom-confusion"), ("tau-trait", "telecom")),
        (("acebench", "agent_multi_turn"), ("acebench-en", "agent_multi_turn")),
        (("acebench", "agent_multi_turn-zh"), ("acebench-zh", "agent_multi_turn")),
    ],
)
def test_a_router_that_learned_from_logs_of_the_compared_tasks_is_named(
    run: tuple[str, str], log: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = failure_examples([labelled(log)], [failed(log)], {"TSA": frozenset({"IFU"})}, ("IFU",)).examples[0]
    manifest = SimpleNamespace(tasks=[task_hash(learned.task)])
    monkeypatch.setattr("fama.selection.router.checkpoint.read_manifest", lambda path: manifest)
    arms = (SelectorSettings(name="learned", options={"checkpoint": "router"}),)
    settings = CompareSettings(benchmark=run[0], domain=run[1], arms=arms)
    (line,) = learned_from(settings, ["3", "4"])
    assert line.startswith("learned learned from 1 of the 2 compared tasks")
    other = settings.model_copy(update={"domain": "airline" if "retail" in run[1] else "retail"})
    assert learned_from(other, ["3"]) == []
    older = SimpleNamespace(tasks=[task_hash(f"{run[0]}/{run[1]}/3")])
    monkeypatch.setattr("fama.selection.router.checkpoint.read_manifest", lambda path: older)
    assert learned_from(settings, ["3"]) != []


def test_runs_and_logs_of_a_task_are_on_one_side_of_a_split() -> None:
    names = [("tau_trait", "retail-skeptical"), ("tau_trait", "retail"), ("tau-bench", "retail")]
    found = failure_examples(map(labelled, names), map(failed, names), {"TSA": frozenset({"IFU"})}, ("IFU",))
    assert {one.task for one in found.examples} == {"tau-bench/retail/3"}
    assert TaskKey("helpdesk", "shop", "shop-dev-1").canonical == TaskKey("helpdesk", "shop", "shop-dev-1")
    assert TaskKey("tau-bench", "air-2", "3").canonical == TaskKey("tau-bench", "air-2", "3")


def failed(place: tuple[str, str]) -> Episode:
    said = "-".join(place)
    episode = build("3", "none", "failure", id=said, benchmark=place[0], domain=place[1])
    return episode.model_copy(update={"messages": (*episode.messages, Message(role="user", content=said))})


def labelled(place: tuple[str, str]) -> Failure:
    return Failure(episode_id="-".join(place), task_id="3", primary=("IFU",), labeller="x", taxonomy_version="fama-1")


def test_a_benchmark_is_one_by_its_name_in_logs_and_where_it_is_run() -> None:
    assert task_hash("tau_bench/retail/0") == task_hash("tau-bench/retail/0") != task_hash("tau-bench/retail/1")


def _forget_tasks(router: Path) -> None:
    """Leave out what routers from before do not say."""
    manifest = json.loads((router / "router.json").read_text())
    del manifest["tasks"]
    (router / "router.json").write_text(json.dumps(manifest))
