"""Randomised designs, and outcome tables of whole runs in the toy world."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from math import comb
from pathlib import Path

import pytest
import yaml

from eval.collect.designs import design, draw_subsets
from eval.collect.outcomes import plan_outcomes, run_outcomes
from fama.cli import main
from fama.envs.base import Action, Observation
from fama.episodes.outcome_table import read_metadata, read_outcomes
from fama.episodes.records import Episode
from fama.episodes.store import EpisodeStore
from fama.errors import BadInput, EnvironmentFault
from fama.randomness import generator
from fama.subsets import POOL, split_subset
from tests.support.toy_world import ToyEnvironment, base, outcomes_settings, toy_world


@pytest.fixture
def world() -> Iterator[None]:
    with toy_world():
        yield


def test_uniform_propensities_by_hand() -> None:
    candidates = design(POOL, [(), ("TSA", "DCE"), ("Verifier",), POOL, ("TOR",)], 2)
    assert [c.propensity for c in candidates] == [0.4] * 5
    assert candidates[1].subset == ("DCE", "TSA")  # pool order
    assert [c.propensity for c in design(POOL, [(), ("TSA",)], 9)] == [1.0, 1.0]


def test_size_first_propensities_by_hand() -> None:
    """Pool of 2: sizes 0, 1, 2 weigh 1, ½ + ½, 1. Two draws give 2/3, 1/3, 1/3, 2/3."""
    candidates = design(("A", "B"), None, 2)
    assert [c.subset for c in candidates] == [(), ("A",), ("B",), ("A", "B")]
    assert [c.propensity for c in candidates] == pytest.approx([2 / 3, 1 / 3, 1 / 3, 2 / 3])
    # three draws: none and all would exceed 1, so they are certain and one of the two singles is left
    assert [c.propensity for c in design(("A", "B"), None, 3)] == pytest.approx([1, 0.5, 0.5, 1])


def test_forms_of_a_helper_are_drawn_one_at_a_time() -> None:
    """Sizes 0, 1, 2 weigh 1, three thirds, two halves; size 3 does not exist."""
    pool = ("A", "A:llm", "B")
    candidates = design(pool, None, 1)
    assert [c.subset for c in candidates] == [(), ("A",), ("A:llm",), ("B",), ("A", "B"), ("A:llm", "B")]
    assert [c.propensity for c in candidates] == pytest.approx([1 / 3, *[1 / 9] * 3, *[1 / 6] * 2])
    assert [c.propensity for c in design(pool, None, 99)] == [1.0] * 6  # the full grid
    with pytest.raises(BadInput, match="subsets: A:llm and A are forms of one helper and exclude each other"):
        design(pool, [(), ("A:llm", "B", "A")], 1)


def test_designs_without_forms_are_what_they_were() -> None:
    weights = [1 / comb(6, size) for size in range(7) for _ in range(comb(6, size))]
    assert [c.propensity for c in design(POOL, None, 1)] == [weight * (1 / sum(weights)) for weight in weights]
    assert [c.subset for c in design(POOL, None, 1)] == [s for k in range(7) for s in combinations(POOL, k)]


@pytest.mark.parametrize("pool", [POOL[:4], ("A", "A:llm", "B", "B:template", "B:separate")])
@pytest.mark.parametrize("draws", [1, 4, 9])
def test_draws_are_distinct_and_as_frequent_as_they_say(draws: int, pool: tuple[str, ...]) -> None:
    candidates = design(pool, None, draws)
    assert sum(c.propensity for c in candidates) == pytest.approx(draws)
    seen: Counter[tuple[str, ...]] = Counter()
    for key in range(4000):
        taken = draw_subsets(candidates, generator(7, "test", key))
        assert len(taken) == draws == len({c.subset for c in taken})
        seen.update(c.subset for c in taken)
    for candidate in candidates:
        p = candidate.propensity
        assert seen[candidate.subset] / 4000 == pytest.approx(p, abs=4 * (p * (1 - p) / 4000) ** 0.5 + 1e-9)


@pytest.mark.parametrize(
    ("subsets", "draws", "expected"),
    [
        ([("DCE", "TSA"), ("TSA", "DCE")], 1, "one given twice"),
        ([("Nobody",)], 1, "'Nobody' is not in the pool; known: DCE"),
        ([], 1, "none given"),
        (None, 0, "at least 1"),
    ],
)
def test_impossible_designs(subsets: list[tuple[str, ...]] | None, draws: int, expected: str) -> None:
    with pytest.raises(BadInput, match=expected):
        design(POOL, subsets, draws)


def test_the_plan_takes_turns_over_tasks_and_keeps_its_draws() -> None:
    tasks = ["a", "b", "c"]
    plan = plan_outcomes(outcomes_settings(per_task=2, trials=2), tasks, ("Alpha", "Beta"))
    assert [p.task_id for p in plan] == tasks * 4
    assert [p.trial for p in plan] == [0] * 6 + [1] * 6
    more = plan_outcomes(outcomes_settings(per_task=2, trials=3), ["x", *tasks], ("Alpha", "Beta"))
    assert {(p.task_id, p.trial, p.selector.arm) for p in plan} < {(p.task_id, p.trial, p.selector.arm) for p in more}
    other = plan_outcomes(outcomes_settings(per_task=2, trials=2, seed=1), tasks, ("Alpha", "Beta"))
    assert [p.selector.arm for p in plan] != [p.selector.arm for p in other]


async def test_a_whole_table_of_the_toy_world(tmp_path: Path, world: None) -> None:
    settings = outcomes_settings(split="train", subsets=[[], ["Alpha"], ["Beta"], ["Alpha", "Beta"]], per_task=4)
    written = await run_outcomes(settings, tmp_path, command="fama outcomes", progress=False)
    rows = read_outcomes(written.path, "toy-1")
    assert len(rows) == written.planned == 16
    solved = {(row.task_id, row.subset) for row in rows if row.success}
    everything = {("t0", s) for s in ("", "Alpha", "Beta", "Alpha+Beta")}
    assert solved == everything | {("t1", "Alpha"), ("t2", "Beta")} | {(f"t{i}", "Alpha+Beta") for i in (1, 2, 3)}
    assert {row.propensity for row in rows} == {1.0} and {row.pool for row in rows} == {"Alpha+Beta"}
    assert all(row.tokens_helper == 40 * len(split_subset(row.subset)) for row in rows)
    note = read_metadata(written.path)
    assert note["config"]["per_task"] == 4 and note["command"] == "fama outcomes" and note["planned"] == 16
    before = (tmp_path / "episodes.jsonl").read_bytes()
    await run_outcomes(settings, tmp_path, command="again", progress=False)
    assert (tmp_path / "episodes.jsonl").read_bytes() == before


async def test_a_table_that_was_stopped_is_written_and_goes_on(
    tmp_path: Path, world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, done = EpisodeStore.append, 0

    def full_after_three(self: EpisodeStore, episode: Episode) -> None:
        nonlocal done
        done += 1
        if done == 4:
            raise OSError("disk full")
        append(self, episode)

    settings = outcomes_settings(per_task=2)
    monkeypatch.setattr(EpisodeStore, "append", full_after_three)
    with pytest.raises(OSError, match="disk full"):
        await run_outcomes(settings, tmp_path, command="x", progress=False)
    assert len(read_outcomes(tmp_path / "outcomes.parquet")) == 3
    monkeypatch.setattr(EpisodeStore, "append", append)
    assert len((await run_outcomes(settings, tmp_path, command="x", progress=False)).rows) == 8


def test_the_command(tmp_path: Path, world: None, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "o.yaml"
    config.write_text(yaml.safe_dump(base(per_task=4)), encoding="utf-8")
    out = tmp_path / "out"
    assert main(["outcomes", "--config", str(config), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "Alpha+Beta" in shown and "16 episodes, 16 planned" in shown
    assert json.loads((out / "summary.json").read_text())["overall"]["episodes"] == 16
    assert main(["outcomes", "--config", str(config), "--out", str(out), "per_task=3"]) == 2
    assert "per_task was 4 and is now 3" in capsys.readouterr().err


def test_errors_are_rows_without_success(
    tmp_path: Path, world: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def breaks(self: ToyEnvironment, action: Action) -> Observation:
        raise EnvironmentFault("gone")

    monkeypatch.setattr(ToyEnvironment, "step", breaks)
    config = tmp_path / "o.yaml"
    config.write_text(yaml.safe_dump(base(tasks=1, per_task=4)), encoding="utf-8")
    assert main(["outcomes", "--config", str(config), "--out", str(tmp_path / "out")]) == 1
    rows = read_outcomes(tmp_path / "out" / "outcomes.parquet")
    assert [row.success for row in rows] == [None] * 4
    assert "4 episodes ended in an error" in capsys.readouterr().err
