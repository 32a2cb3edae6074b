"""Comparisons of whole runs in the toy world: live, resumed, extended, replayed, refused."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.collect.do_nothing import do_nothing
from eval.commands.compare import print_comparison
from eval.compare.arms import check_inputs, write_inputs
from eval.compare.comparison import read_comparison
from eval.compare.executed import read_executed
from eval.compare.results import compare_arms
from eval.metrics.formats import percent
from eval.metrics.selection_quality import ExecutedSubset
from eval.report.figures import figures
from eval.report.table_format import TableCell
from eval.report.tables import comparison_tables
from fama.cli import main
from fama.envs.base import Environment, Reward, UserModel
from fama.episodes.records import Failure
from fama.episodes.store import read_episodes, write_failures
from fama.errors import BadInput, EnvironmentFault
from fama.selection.base import SELECTORS
from fama.settings import CompareSettings
from tests.support.comparisons import ALPHA, ARMS, IDLE, live, table
from tests.support.eval_builders import build, write_episodes
from tests.support.toy_world import ToyBenchmark, base, compare_settings, toy_world

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


async def test_a_task_whose_judge_fails_is_left_out_of_the_do_nothing_score(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ToyBenchmark.environment

    def environment(self: ToyBenchmark, domain: str, task_id: str, user: UserModel | None = None) -> Environment:
        found = made(self, domain, task_id, user)
        if task_id == "t13":
            monkeypatch.setattr(found, "outcome", broken)
        return found

    def broken() -> Reward:
        raise EnvironmentFault("toy: no task_2")

    monkeypatch.setattr(ToyBenchmark, "environment", environment)
    score, left_out = await do_nothing(compare_settings(), ToyBenchmark(), ["t10", "t11", "t12", "t13"])
    assert (score.value, score.n) == (0.0, 3)
    assert left_out == "The do-nothing score is without 1 of 4 tasks: toy: no task_2."


async def test_a_live_comparison_by_hand(tmp_path: Path) -> None:
    """Tasks t10 to t13 need Beta, both, nothing and Alpha."""
    got = await live(tmp_path, trials=2)
    assert (got.kind, got.tasks, got.trials, got.benchmark_version, got.backbone) == ("live", 4, 2, "toy-1", "toy")
    assert [arm.measures.success.value for arm in got.arms] == [0.25, 1.0, 0.5]
    assert [[e.estimate.value for e in arm.measures.pass_k] for arm in got.arms] == [[0.25] * 2, [1.0] * 2, [0.5] * 2]
    versus = got.arm("all").versus_none
    assert versus is not None and versus.estimate.value == 0.75 and (versus.only_ours, versus.only_theirs) == (6, 0)
    assert versus.p == 0.25 and versus.p_holm == 0.5 and versus.mcnemar_p is None
    assert got.arm("none").versus_none is None and got.learned_arm is None
    assert got.arm("all").measures.tokens_by_role["helper"] == 80
    assert got.arm("all").measures.tokens_by_role["user"] == 1000
    assert got.do_nothing.value == 0.0 and got.do_nothing.n == 4
    row = next(row for row in got.per_task if row.task_id == "t13")
    assert row.minimal == "Alpha" and row.oracle == 1.0
    assert row.arms["alpha"].successes == 2 and len(row.arms["alpha"].episodes) == 2
    alpha = got.arm("alpha")
    assert alpha.selection is not None and alpha.selection.exact.value == 0.25
    assert alpha.selection.regret.value == 0.5 and alpha.selection.f1["Beta"] == 0.0
    assert alpha.subsets == {"Alpha": 8} and alpha.helpers_per_episode == 1
    assert got.lattice is not None and got.lattice.subsets_per_task == 3 and got.lattice.oracle.value == 1.0
    assert got.frontier == ("none", "alpha", "all")
    assert any("per task: a claim needs at least 4" in line for line in got.warnings)
    assert any("scripted stand-in" in line for line in got.simulated)
    assert read_comparison(tmp_path) == got


async def test_arms_take_turns_on_every_task(tmp_path: Path) -> None:
    await live(tmp_path)
    order = [(episode.task_id, episode.selector) for episode in read_episodes(tmp_path)]
    assert [task for task, _ in order] == [f"t{10 + i // 3}" for i in range(12)]
    assert [arm for _, arm in order][:6] == ["none", "all", "alpha", "all", "alpha", "none"]


async def test_adding_an_arm_or_a_trial_runs_only_what_is_missing(tmp_path: Path) -> None:
    await live(tmp_path, arms=ARMS[:2])
    first = [episode.id for episode in read_episodes(tmp_path)]
    got = await live(tmp_path, trials=2)
    ids = [episode.id for episode in read_episodes(tmp_path)]
    assert ids[: len(first)] == first and len(ids) == len(set(ids)) == 4 * 2 * 3
    fewer = await live(tmp_path, arms=[ALPHA, {"name": "none"}], tasks=2)
    assert [episode.id for episode in read_episodes(tmp_path)] == ids
    assert [arm.measures.episodes for arm in fewer.arms] == [2, 2] and [arm.measures.episodes for arm in got.arms] == [
        8
    ] * 3


async def test_what_is_left_out_after_it_was_run_is_told(tmp_path: Path) -> None:
    """Fewer arms or tasks than were run: p is corrected over fewer tests, and somebody may have chosen which."""
    whole = await live(tmp_path, trials=2)
    assert not any("not compared" in line for line in whole.warnings)
    got = await live(tmp_path, arms=ARMS[:2], trials=1)
    assert next(line for line in got.warnings if "not compared" in line) == (
        "Episodes in the folder that are not compared, of other arms, tasks, trials or options: all 4, alpha 8, none "
        "4. Holm's correction counts the compared arms alone."
    )


async def test_other_settings_are_refused_in_the_same_folder(tmp_path: Path) -> None:
    await live(tmp_path)
    with pytest.raises(BadInput, match="seed was 0 and is now 1"):
        await live(tmp_path, seed=1)


async def test_replay_gives_what_running_gives(tmp_path: Path) -> None:
    path = await table(tmp_path / "table", domain="moods", trials=4)
    settings: dict[str, Any] = {"domain": "moods", "trials": 4}
    ran = await live(tmp_path / "live", **settings, lattice=str(path))
    replayed = await live(tmp_path / "replay", **settings, replay=str(path))
    assert replayed.kind == "replay" and any("replayed" in line for line in replayed.simulated)
    for left, right in zip(ran.arms, replayed.arms, strict=True):
        assert left.measures.success == right.measures.success and left.measures.pass_k == right.measures.pass_k
        assert left.measures.tokens == right.measures.tokens
        assert left.selection == right.selection
        assert (left.versus_none and left.versus_none.p) == (right.versus_none and right.versus_none.p)
    assert not (tmp_path / "replay" / "episodes.jsonl").exists()


async def test_missing_cells_are_counted_and_said(tmp_path: Path) -> None:
    path = await table(tmp_path / "table", subsets=[[], ["Alpha"]])
    got = await live(tmp_path / "out", replay=str(path))
    assert [(arm.missing, arm.measures.episodes) for arm in got.arms] == [(0, 4), (4, 0), (0, 4)]
    assert "all: 4 of 4 choices were never executed and are left out." in got.warnings
    assert got.arm("all").measures.success.value is None and got.arm("all").subsets == {"Alpha+Beta": 4}
    assert got.arm("alpha").selection is not None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"strategy": "react"}, "no episode of toy d react"),
        ({"tasks": 9}, "9 asked for"),
        ({"tasks": ["t99"]}, "no episode of 't99'"),
    ],
)
async def test_tables_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    path = await table(tmp_path / "table", subsets=[[]], per_task=1)
    with pytest.raises(BadInput, match=expected):
        await live(tmp_path / "out", replay=str(path), **changes)
    assert not (tmp_path / "out").exists()


async def test_best_fixed_learns_from_the_table_of_training_tasks(tmp_path: Path) -> None:
    path = await table(tmp_path / "table", split="train")
    arms = [{"name": "none"}, {"name": "best_fixed"}]
    got = await live(tmp_path / "out", arms=arms, outcomes=str(path))
    assert got.arm("best_fixed").subsets == {"Alpha+Beta": 4}
    other = await table(tmp_path / "other", split="train", tasks=5)
    path.write_bytes(other.read_bytes())
    with pytest.raises(BadInput, match="changed since the episodes of arm 'best_fixed'"):
        await live(tmp_path / "out", arms=arms, outcomes=str(path))
    relabelled = await live(tmp_path / "out", arms=[*ARMS, {"name": "best_fixed", "label": "new"}], outcomes=str(path))
    assert relabelled.arm("new").measures.episodes == 4


async def test_a_table_may_be_moved_but_no_other_one_given_to_an_arm_with_episodes(tmp_path: Path) -> None:
    first = await table(tmp_path / "first", split="train")
    other = await table(tmp_path / "other", split="train", subsets=[[], ["Alpha"]], per_task=2)
    arms, out = [{"name": "none"}, {"name": "best_fixed"}], tmp_path / "out"
    got = await live(out, arms=arms, tasks=2, outcomes=str(first))
    assert got.arm("best_fixed").subsets == {"Alpha+Beta": 2}
    with pytest.raises(BadInput, match="^outcomes: changed since the episodes of arm 'best_fixed' .*; set it back"):
        await live(out, arms=arms, outcomes=str(other))
    moved = first.rename(tmp_path / "moved.parquet")
    got = await live(out, arms=arms, outcomes=str(moved))
    assert got.arm("best_fixed").subsets == {"Alpha+Beta": 4}


@pytest.mark.parametrize("by_path", [False, True], ids=["by role", "by path, as earlier releases wrote it"])
@pytest.mark.parametrize(
    ("failures", "refused"), [("one", False), ("moved", False), ("two", True), ("absent", True), (None, True)]
)
def test_labels_of_an_arm_with_episodes(tmp_path: Path, failures: str | None, refused: bool, by_path: bool) -> None:
    for name, text in {"one": "1", "moved": "1", "two": "2"}.items():
        (tmp_path / name).write_text(text)

    def settings(name: str | None) -> CompareSettings:
        path = None if name is None else str(tmp_path / name)
        return compare_settings(arms=[{"name": "none"}, {"name": "prompted"}], track="retrospective", failures=path)

    out = tmp_path / "out"
    inputs = check_inputs(settings("one"), out)
    assert [list(roles) for roles in inputs.values()] == [[], ["failures"]]
    if by_path:
        inputs = {arm: {str(tmp_path / "one"): own for own in roles.values()} for arm, roles in inputs.items()}
    write_episodes(out / "episodes.jsonl", [build("t10", "none")])
    write_inputs(out, inputs)
    check_inputs(settings(failures), out)  # an arm without episodes may depend on anything
    write_episodes(out / "episodes.jsonl", [build("t10", "prompted")])
    if not refused:
        assert check_inputs(settings(failures), out) == check_inputs(settings("one"), tmp_path)
        return
    with pytest.raises(BadInput, match=r"(one|failures): changed since the episodes of arm 'prompted' in [^\n]*$"):
        check_inputs(settings(failures), out)


async def test_what_a_run_is_made_of_is_written_before_its_first_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill leaves the hashes of the table, so that the rest is not run with another one."""
    test, out = str(await table(tmp_path / "table")), tmp_path / "out"
    arms = [{"name": "none"}, {"name": "best_fixed"}]
    seen: list[str] = []

    async def killed(*arguments: object) -> None:
        seen.append((out / "inputs.json").read_text())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fama.agents.runs.runner.run_pool", killed)
        with pytest.raises(KeyboardInterrupt):
            await live(out, arms=arms, outcomes=test)
    expected = check_inputs(compare_settings(arms=arms, outcomes=test), tmp_path)
    assert [json.loads(text) for text in seen] == [expected]


async def test_a_refused_run_leaves_no_inputs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    await live(out, arms=[{"name": "none"}])
    before = (out / "inputs.json").read_text()
    with pytest.raises(BadInput, match="placement was"):
        await live(out, arms=[{"name": "none"}, {"name": "all"}], placement="user")
    assert (out / "inputs.json").read_text() == before


def test_a_router_trained_again_is_the_same_input_unless_it_decides_otherwise(tmp_path: Path) -> None:
    router, out = tmp_path / "router", tmp_path / "out"
    shutil.copytree(ROOT / "checkpoints" / "helpdesk-linear", router)
    arm = {"name": "linear", "options": {"checkpoint": str(router)}}
    settings = compare_settings(arms=[arm])

    def hashes() -> list[dict[str, str]]:
        return list(check_inputs(settings, out).values())

    def told(**changes: Any) -> None:
        path = router / "router.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    before = hashes()
    told(
        command="fama train again",
        git_commit="another",
        cost=[{"part": "training", "source": "linear", "tokens": 0, "seconds": 3.5}],
    )
    assert hashes() == before
    told(lam=0.5)
    assert hashes() != before


class Looker:
    """A selector that looks at the state, on the track it is told."""

    name = "looker"

    def __init__(self, context: Any, track: str = "prospective") -> None:
        self.track = track


@pytest.mark.parametrize(
    ("track", "arm", "expected"),
    [
        ("prospective", "retrospective", "'looker' is retrospective, but the comparison is prospective"),
        ("retrospective", "prospective", "'looker' is prospective, but the comparison is retrospective"),
    ],
)
async def test_tracks_are_never_mixed(tmp_path: Path, track: str, arm: str, expected: str) -> None:
    labels = tmp_path / "failures.jsonl"
    write_failures(labels, [Failure(episode_id="e", task_id="t10", labeller="x", taxonomy_version="1")])
    SELECTORS.add("looker", "tests.eval.test_compare:Looker")
    try:
        with pytest.raises(BadInput, match=expected):
            await live(
                tmp_path / "out",
                track=track,
                failures=str(labels) if track == "retrospective" else None,
                arms=[{"name": "none"}, {"name": "looker", "options": {"track": arm}}],
            )
    finally:
        SELECTORS.remove("looker")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"arms": [ALPHA, ALPHA]}, "two are called 'alpha'"),
        ({"arms": []}, "none given"),
        ({"arms": [{"name": "nobody"}]}, "unknown selector 'nobody'"),
        ({"failures": "x.jsonl"}, "may not see failed episodes"),
        ({"track": "retrospective"}, "needs the failures.jsonl"),
        ({"tasks": 99}, "99 asked for"),
        ({"replay": "x.parquet", "cadence": "turn"}, "turn cannot be replayed"),
        (
            {"replay": "x.parquet", "lambdas": [0.1], "arms": [{**ALPHA, "label": "best executed"}]},
            "'best executed' is the name of a curve of its own",
        ),
    ],
)
async def test_bad_settings(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(BadInput, match=expected) as caught:
        await live(tmp_path / "out", **changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


async def test_ten_lines_of_duckdb_give_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every episode of every arm, straight from the file."""
    import duckdb

    got = await live(tmp_path, domain="moods", tasks=10, trials=3)
    monkeypatch.chdir(tmp_path)
    relation = duckdb.sql("""
        WITH calls AS (SELECT id, unnest(ledger) AS call FROM read_json('episodes.jsonl')),
        costs AS (SELECT id, sum(call.input_tokens + call.output_tokens) AS tokens FROM calls
                  WHERE call.role = 'agent' OR call.role = 'selector' OR call.role LIKE 'helper:%' GROUP BY id),
        tasks AS (SELECT selector, task_id, count(*) AS n, sum(CAST(outcome.status = 'success' AS INT)) AS c,
                  avg(tokens) AS tokens FROM read_json('episodes.jsonl') JOIN costs USING (id)
                  WHERE outcome.status <> 'error' GROUP BY ALL)
        SELECT a.selector, avg(a.c / a.n), avg(a.c * (a.c - 1) / (a.n * (a.n - 1))), avg(a.tokens),
               avg(a.c / a.n - b.c / b.n), sum(a.tokens) / sum(b.tokens) - 1, sum(a.tokens * a.n) / sum(a.c)
        FROM tasks a JOIN tasks b ON a.task_id = b.task_id AND b.selector = 'none' GROUP BY a.selector
    """)
    assert relation is not None
    found = relation.fetchall()
    assert {row[0] for row in found} == {"none", "all", "alpha"}
    for name, success, twice, tokens, gain, over, per_success in found:
        arm = got.arm(name)
        assert arm.measures.success.value == pytest.approx(success) and 0 < success <= 1
        assert arm.measures.pass_k[1].estimate.value == pytest.approx(twice)
        assert arm.measures.tokens.value == pytest.approx(tokens)
        assert arm.measures.tokens_per_success.value == pytest.approx(per_success)
        if arm.versus_none is not None:
            assert arm.versus_none.estimate.value == pytest.approx(gain)
            assert arm.versus_none.overhead.value == pytest.approx(over)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump(base(arms=ARMS, bootstrap=200)), encoding="utf-8")
    assert main(["compare", "--config", str(config), "--out", str(tmp_path / "out"), "trials=2"]) == 0
    shown = capsys.readouterr().out
    assert "alpha" in shown and "+75.0 [" in shown and "Doing nothing scores 0.0 [" in shown and "pass^2" in shown
    assert "p, Holm" in shown and " 0.500 " in shown  # the uncorrected one is 0.250
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written["schema_version"] == 1 and written["config"]["trials"] == 2
    (tmp_path / "out" / "comparison.json").write_text("{}")
    with pytest.raises(BadInput, match="run `fama compare` again"):
        read_comparison(tmp_path / "out")
    with pytest.raises(BadInput, match="does not exist"):
        read_comparison(tmp_path / "none")


def test_an_arm_that_changes_its_helpers_within_an_episode_is_not_judged_as_a_subset() -> None:
    held = [build(task, "held", "success", subset=("DCE",)) for task in ("a", "b")]
    anew = [build(task, "anew", "failure", subset=("DCE",)) for task in ("a", "b")]
    first = anew[0].decisions[0]
    then = first.model_copy(update={"turn": 1, "subset": ("TSA",)})
    anew[0] = anew[0].model_copy(update={"decisions": (first, then)})
    arms = [{"name": "fixed", "label": name, "options": {"subset": ["DCE"]}} for name in ("held", "anew")]
    settings = CompareSettings.model_validate({"benchmark": "toy", "arms": arms})
    cells = [
        ExecutedSubset(e.key.pair, s, float(bool(s)), 9.0) for e in held for s in (frozenset(), frozenset({"DCE"}))
    ]
    planned = {episode.id: episode.selector or "" for episode in (*held, *anew)}
    found = read_executed(settings, ("a", "b"), ("DCE", "TSA"), planned, [*held, *anew], cells, {})
    assert found.changing == {"anew"} and found.choices["anew"] == [("a", "DCE+TSA"), ("b", "DCE")]
    got = compare_arms(settings, "toy-1", found, (IDLE, None), "fama compare")
    judged = {arm.arm: (arm.selection is not None, arm.subsets) for arm in got.arms}
    assert judged == {"held": (True, {"DCE": 2}), "anew": (False, {"DCE+TSA": 1, "DCE": 1})}


async def test_a_regret_over_a_part_of_the_choices_is_counted_and_never_the_best(tmp_path: Path) -> None:
    got = await live(tmp_path)

    def regrets(executed: int) -> list[TableCell]:
        arms = [
            arm.model_copy(update={"selection": arm.selection.model_copy(update={"executed": executed})})
            if arm.arm == "all" and arm.selection is not None
            else arm
            for arm in got.arms
        ]
        found = next(
            t for t in comparison_tables(got.model_copy(update={"arms": tuple(arms)})) if t.name == "selection"
        )
        return [row[found.columns.index("regret, points")] for row in found.rows]

    whole, part = regrets(4)[1], regrets(1)[1]
    assert whole.best and "of" not in whole.text
    assert not part.best and part.text == f"{whole.text} (of 1 of 4)" and part.sort is None


async def test_choices_on_other_tasks_are_not_marked_as_the_best(tmp_path: Path) -> None:
    """An error before the first decision leaves an arm with one task less to choose on."""
    got = await live(tmp_path)
    short = tuple(
        arm.model_copy(update={"selection": arm.selection.model_copy(update={"tasks": 3})})
        if arm.arm == "alpha" and arm.selection is not None
        else arm
        for arm in got.arms
    )
    for arms, marked in ((got.arms, True), (short, False)):
        tables = {one.name: one for one in comparison_tables(got.model_copy(update={"arms": arms}))}
        for name in ("selection", "helpers"):
            assert any(cell.best for row in tables[name].rows for cell in row) is marked, name
        assert ("since arms chose on different tasks" in tables["selection"].caption) is not marked


async def test_the_table_of_choices_says_on_how_many_tasks_no_choice_is_right(tmp_path: Path) -> None:
    """The cheapest executed subset is the minimal one where none succeeds: the plain agent looks right there."""
    got = await live(tmp_path)

    def caption(oracles: list[float]) -> str:
        rows = [row.model_copy(update={"oracle": best}) for row, best in zip(got.per_task, oracles, strict=True)]
        found = comparison_tables(got.model_copy(update={"per_task": tuple(rows)}))
        return next(table.caption for table in found if table.name == "selection")

    assert "On 3 of these tasks none ever succeeds" in caption([0.0, 0.0, 0.0, 1.0])
    assert "ever succeeds" not in caption([1.0] * 4)


async def test_the_best_executed_subset_of_fewer_tasks_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its success stands beside rates of all tasks."""
    for tasks, said in ((2, " (2 of 4 tasks)"), (4, "")):
        grid = await table(tmp_path / f"grid-{tasks}", tasks=tasks)
        got = await live(tmp_path / f"out-{tasks}", lattice=str(grid))
        assert got.lattice is not None and got.lattice.tasks == tasks
        print_comparison(got)
        assert f"best executed subset per task: {percent(got.lattice.oracle)}{said}. 4 tasks; " in " ".join(
            capsys.readouterr().out.split()
        )
        texts = [text.get_text() for text in figures(got)["success_over_tokens"].axes[0].texts]
        assert any(text.startswith(f"best executed subset, after the fact{said}") for text in texts)
        assert any("(" in text for text in texts) == bool(said)


async def test_tables_and_figures_name_the_plain_agent_as_its_label_does(tmp_path: Path) -> None:
    got = await live(tmp_path, arms=[{"name": "none", "label": "bare"}, {"name": "all"}])
    assert got.plain == "bare"
    columns = {table.name: table.columns for table in comparison_tables(got)}
    assert "over bare, %" in columns["cost"] and "against bare, points" in columns["differences"]
    assert "success against bare" in figures(got)["differences"].axes[0].get_xlabel()
