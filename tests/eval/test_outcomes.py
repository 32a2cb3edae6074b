"""Randomised designs, and outcome tables of whole runs in the toy world."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path

import pytest
import yaml

from eval.collect.designs import as_executed, design, draw_subsets
from eval.collect.outcomes import plan_outcomes, run_outcomes, with_executed
from fama.cli import main
from fama.envs.base import Action, Observation
from fama.episodes.outcome_table import read_metadata, read_outcomes, spent_on_table
from fama.episodes.records import Episode
from fama.episodes.store import EpisodeStore
from fama.errors import BadInput, EnvironmentFault
from fama.models.base import CallFailed, ChatReply, ChatRequest
from fama.models.scripted import ScriptedModel
from fama.randomness import generator
from fama.subsets import POOL, split_subset
from tests.support.outcome_rows import row
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
    rows = read_outcomes(tmp_path / "outcomes.parquet")
    # one of two draws of three tasks: 1/2 of the propensities of being drawn, of which each is 2/3 or 1/3
    assert len(rows) == 3
    size = {"": 2 / 3, "Alpha": 1 / 3, "Beta": 1 / 3, "Alpha+Beta": 2 / 3}
    assert [row.propensity for row in rows] == pytest.approx([size[row.subset] / 2 for row in rows])
    monkeypatch.setattr(EpisodeStore, "append", append)
    rows = (await run_outcomes(settings, tmp_path, command="x", progress=False)).rows
    assert len(rows) == 8 and [row.propensity for row in rows] == pytest.approx([size[row.subset] for row in rows])


def test_propensities_of_an_interrupted_table_are_of_execution() -> None:
    """Two of three draws of every task were run: a subset's share of the tasks is its propensity."""
    candidates = design(POOL[:3], None, 3)
    rows = []
    for task in range(3000):
        taken = draw_subsets(candidates, generator(3, "test", task))
        rows += [row(f"t{task}", "+".join(one.subset), True, one.propensity) for one in taken[:2]]
    told = {one.subset: one.propensity for one in as_executed(rows, 3)}
    for subset, count in Counter(one.subset for one in rows).items():
        assert count / 3000 == pytest.approx(told[subset], abs=0.04), subset
    whole = [row("t", subset, True, 0.6) for subset in ("", "DCE", "TSA")]
    assert as_executed(whole, 3) == whole
    table = as_executed(whole[:2], 3)
    config = {"per_task": 3, "subsets": [[], ["TSA"], ["Verifier"], ["TSA", "Verifier"]]}
    assert with_executed(whole[:2], {"config": config}) == table  # a table of before
    assert with_executed(table, {"config": config, "draws": 3}) == table  # tells it by itself
    assert with_executed(whole[:2], {"config": {"per_task": "x"}}) == with_executed(whole[:2], {}) == whole[:2]


def test_an_error_at_the_first_decision_is_a_row_of_its_subset(
    tmp_path: Path, world: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A request that is too long with one helper fails before any decision is made."""
    answer = ScriptedModel.complete

    async def too_long(self: ScriptedModel, request: ChatRequest) -> ChatReply:
        if "Beta" in request.prefill:
            raise CallFailed("HTTP 400: too long")
        return await answer(self, request)

    monkeypatch.setattr(ScriptedModel, "complete", too_long)
    config = tmp_path / "o.yaml"
    config.write_text(yaml.safe_dump(base(tasks=4, per_task=4, stop_after=0)), encoding="utf-8")
    assert main(["outcomes", "--config", str(config), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "8 episodes ended in an error" in shown.err and shown.out.count("4 unknown") == 2
    rows = read_outcomes(tmp_path / "out" / "outcomes.parquet")
    assert Counter((one.subset, one.status == "error") for one in rows) == {
        ("", False): 4,
        ("Alpha", False): 4,
        ("Beta", True): 4,
        ("Alpha+Beta", True): 4,
    }
    assert {one.propensity for one in rows} == {1.0} and len({one.state for one in rows}) == 4


async def test_episodes_without_a_row_leave_the_propensities_of_the_others_as_they_are(
    tmp_path: Path, world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose row is missing depends on the subset: the others are no sample of the draws, as of an interrupted table."""
    answer = ScriptedModel.complete

    async def uncounted(self: ScriptedModel, request: ChatRequest) -> ChatReply:
        reply = await answer(self, request)
        usage = reply.usage.model_copy(update={"output_tokens": None})
        return replace(reply, usage=usage) if "Beta" in request.prefill else reply

    monkeypatch.setattr(ScriptedModel, "complete", uncounted)
    written = await run_outcomes(outcomes_settings(per_task=4), tmp_path, command="x", progress=False)
    found = Counter((one.subset, one.propensity) for one in written.rows)
    assert found == {("", 1.0): 4, ("Alpha", 1.0): 4} and written.fewer == 0
    assert spent_on_table(tmp_path / "outcomes.parquet").tokens is None  # not that of the rows


async def test_the_cost_of_a_table_has_the_episodes_that_were_run_again(
    tmp_path: Path, world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(self: ToyEnvironment, action: Action) -> Observation:
        raise EnvironmentFault("gone")

    settings = outcomes_settings(per_task=4, tasks=2)
    with monkeypatch.context() as broken:
        broken.setattr(ToyEnvironment, "step", breaks)
        first = (await run_outcomes(settings, tmp_path, command="x", progress=False)).rows
    again = (await run_outcomes(settings, tmp_path, command="x", progress=False)).rows
    assert {one.status for one in first} == {"error"} and "error" not in {one.status for one in again}
    spent = spent_on_table(tmp_path / "outcomes.parquet").tokens
    assert spent == sum(one.tokens for one in (*first, *again)) > 0


def test_errors_before_the_user_speaks_are_told_too(
    tmp_path: Path, world: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def breaks(self: ToyEnvironment, seed: int) -> Observation:
        if self._need == "Alpha":
            raise EnvironmentFault("gone")
        return Observation("user", f"I need {self._need}.")

    monkeypatch.setattr(ToyEnvironment, "reset", breaks)
    config = tmp_path / "o.yaml"
    config.write_text(yaml.safe_dump(base(tasks=4, per_task=2)), encoding="utf-8")
    assert main(["outcomes", "--config", str(config), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "2 episodes ended in an error" in shown.err and "6 episodes, 8 planned" in shown.out


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
