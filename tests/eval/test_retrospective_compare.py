"""The retrospective track with a trained router, from the plain run to the comparison, in the toy world."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.collect.outcomes import run_outcomes
from eval.compare.arms import read_task_labels
from eval.compare.comparison import run_comparison
from eval.compare.schema import Comparison
from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.episodes.records import Failure
from fama.episodes.store import read_episodes, read_failures, write_failures
from fama.errors import BadInput
from fama.settings import CompareSettings, RunSettings
from tests.support.toy_world import base, compare_settings, outcomes_settings, toy_world
from training.data.load import load_examples
from training.settings import TrainSettings
from training.train import train_on


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


async def plain(folder: Path, split: str) -> Path:
    """Ten episodes without helpers; two or three of them need none and succeed."""
    settings = RunSettings.model_validate(base(split=split, tasks=10))
    first = 0 if split == "train" else 10
    plan = [Planned(f"t{i}", 0, settings.selector) for i in range(first, first + 10)]
    await run_planned(settings, plan, folder, progress=False)
    return folder


async def prepared(folder: Path) -> dict[str, Any]:
    """A router from the training tasks, the plain run of the test tasks and its labels: arms of a comparison."""
    outcomes = outcomes_settings(
        split="train", tasks=10, trials=3, per_task=4, subsets=[[], ["Alpha"], ["Beta"], ["Alpha", "Beta"]]
    )
    table = (await run_outcomes(outcomes, folder / "outcomes", command="fama outcomes", progress=False)).path
    data = {
        "view": "retrospective",
        "outcomes": [str(table)],
        "plain": [str(await plain(folder / "train", "train"))],
        "pool": ["Alpha", "Beta"],
    }
    settings = TrainSettings.model_validate(
        {
            "kind": "linear",
            "data": data,
            "vectors": {"components": 8, "buckets": 256},
            "linear": {"strengths": [3.0], "pairs": True, "folds": 2},
        }
    )
    assert train_on(settings, load_examples(settings), folder / "router") is not None
    test = await plain(folder / "test", "test")
    labels = [
        Failure(
            episode_id=e.id,
            task_id=e.task_id,
            categories=("DCV",),
            primary=("DCV",),
            labeller="x",
            taxonomy_version="1",
        )
        for e in read_episodes(test)
        if e.outcome.status == "failure"
    ]
    write_failures(folder / "failures.jsonl", labels)
    return {"checkpoint": str(folder / "router"), "episodes": str(test)}


async def compare(folder: Path, options: dict[str, Any]) -> Comparison:
    settings = compare_settings(
        tasks=10,
        track="retrospective",
        failures=str(folder / "failures.jsonl"),
        arms=[{"name": "none"}, {"name": "all"}, {"name": "linear", "options": options}],
        bootstrap=200,
    )
    return await run_comparison(settings, folder / "compare", command="fama compare", progress=False)


async def test_a_router_that_reads_failures_is_an_arm(tmp_path: Path) -> None:
    """It helps where the plain agent failed and leaves the others alone; ten tasks do not teach it everything."""
    got = await compare(tmp_path, await prepared(tmp_path))
    chosen = {row.task_id: row.arms["linear"].subsets[0] for row in got.per_task}
    solved = {row.task_id for row in got.per_task if row.arms["none"].successes}
    assert solved == {"t12", "t16"} and {task for task, subset in chosen.items() if subset == "none"} == solved
    assert got.arm("linear").measures.successes >= 7 > got.arm("none").measures.successes == 2
    assert got.track == "retrospective" and got.learned_arm == "linear"


async def test_labels_of_another_domain_are_not_read(tmp_path: Path) -> None:
    options = await prepared(tmp_path)
    path = tmp_path / "failures.jsonl"
    labels = list(read_failures(path))
    settings = compare_settings(track="retrospective", failures=str(path))
    assert set(read_task_labels(settings) or {}) == {label.task_id for label in labels} and options
    write_failures(path, [labels[0], *(label.model_copy(update={"domain": "elsewhere"}) for label in labels[1:])])
    assert set(read_task_labels(settings) or {}) == {labels[0].task_id}


def test_labels_of_another_benchmark_are_not_read(tmp_path: Path) -> None:
    """Tasks of τ-bench and τ²-bench have the same ids and domains; a failure of one is not the other's."""

    def label(benchmark: str | None, domain: str = "retail") -> Failure:
        known = {"episode_id": f"e-{benchmark}-{domain}", "task_id": "3", "benchmark": benchmark, "domain": domain}
        return Failure.model_validate({**known, "labeller": "x", "taxonomy_version": "1"})

    def read(*labels: Failure) -> list[str]:
        path = tmp_path / "f.jsonl"
        path.unlink(missing_ok=True)
        write_failures(path, labels)
        settings = CompareSettings(benchmark="tau_bench", domain="retail", track="retrospective", failures=str(path))
        return [one.episode_id for one in (read_task_labels(settings) or {}).values()]

    assert read(label("tau2"), label("tau-bench")) == ["e-tau-bench-retail"]
    assert read(label("tau2"), label(None)) == ["e-None-retail"] and read() == []
    for other, named in ((label("tau2"), "tau2/retail/3"), (label("tau-bench", "airline"), "tau-bench/airline/3")):
        with pytest.raises(BadInput, match=f"is of other tasks, such as {named}, than tau_bench retail"):
            read(other)


async def test_another_plain_run_is_refused_when_a_comparison_goes_on(tmp_path: Path) -> None:
    options = await prepared(tmp_path)
    await compare(tmp_path, options)
    log = tmp_path / "test" / "episodes.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(BadInput, match="changed since the episodes of arm 'linear'"):
        await compare(tmp_path, options)
    assert len(json.loads((tmp_path / "compare" / "comparison.json").read_text())["per_task"]) == 10
