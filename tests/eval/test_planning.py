"""Planning: consistent with the detectable effect, measured discordance by hand, and the flag."""

import json
from pathlib import Path

import pytest

from eval.compare.arms import plan_arms
from eval.planning.run_cost import ASSUMED_TOKENS, estimate_cost
from eval.planning.sample_size import EFFECTS, discordance_of, plans
from eval.stats.power import detectable_effect, planned_sd, tasks_needed
from fama.agents.runs.plan import episode_id
from fama.agents.runs.run_config import config_hash
from fama.cli import main
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.episodes.outcome_table import write_outcomes
from fama.episodes.records import LedgerRow, Outcome, Status
from fama.episodes.store import EpisodeStore
from fama.settings import CompareSettings
from tests.support.failed_episodes import failed
from tests.support.outcome_rows import row

ROOT = Path(__file__).resolve().parents[2]


def test_plans_agree_with_what_is_detectable() -> None:
    one, two, four, eight = plans(60, 0.4)
    assert [p.trials for p in (one, two, four, eight)] == [1, 2, 4, 8]
    assert one.detectable == detectable_effect(planned_sd(0.4, 1), 60)
    assert one.detectable is not None and four.detectable is not None and four.detectable < one.detectable
    for effect, tasks in zip(EFFECTS, one.needed, strict=True):
        reached = detectable_effect(planned_sd(0.4, 1), tasks)
        assert reached is not None and reached <= effect
    assert list(one.needed) == sorted(one.needed, reverse=True)


def test_arms_that_never_ended_differently_need_few_tasks_not_endlessly_many() -> None:
    """Six that differ, all one way, have p = 2 / 2^6; of 157, six differ 4 times in 5 where 5 % do."""
    assert tasks_needed(0.05, 0.0) == 157 and tasks_needed(1.0, 0.0) == 6
    assert plans(60, 0.0)[0].needed == (157, 78, 52, 39)


def test_discordance_by_hand() -> None:
    rows = [row("a", "", True), row("a", "TSA", False), row("a", "Verifier", False), row("b", "", True)]
    assert discordance_of(rows) == (2 / 3, 3, 1)  # three pairs on a, two of them differ; b has one episode only
    assert discordance_of(rows[3:]) is None
    assert discordance_of([row("a", "", None), row("a", "TSA", True)]) is None
    weak = [row(task, subset, False) for task in "ab" for subset in ("", "TSA")]
    strong = [one.model_copy(update={"backbone": "big", "success": True}) for one in weak]
    assert discordance_of(weak) == discordance_of(strong) == (0.0, 2, 2)
    assert discordance_of([*weak, *strong]) == (0.0, 4, 2)  # two backbones are no pair


def test_cost_is_of_the_rows_of_the_backbone_and_strategy_if_there_are_any(tmp_path: Path) -> None:
    here = {"backbone": "b", "tokens": 3600, "seconds": 20.0}
    rows = [row("a", "", True), row("a", "TSA", False).model_copy(update=here)]
    broken = row("b", "TSA", None).model_copy(update={**here, "tokens": 0, "seconds": 0.5})
    settings = CompareSettings.model_validate(
        {
            "model": {"name": "b"},
            "trials": 2,
            "concurrency": 2,
            "arms": [{"name": "none"}, {"name": "all"}],
            "outcomes": "t",
        }
    )
    cost = estimate_cost(settings, ("x", "y", "z"), tmp_path, [*rows, broken])  # errors are run again, and no measure
    assert (cost.episodes, cost.tokens) == (12, 12 * 3600)
    assert cost.hours == pytest.approx(12 * 20 / 2 / 3600)
    assert cost.basis == "1 executed subsets in t"
    other = estimate_cost(settings, ("x",), tmp_path, rows[:1])
    assert (other.tokens, other.basis) == (4 * 10, "1 executed subsets in t, of another backbone or strategy")
    unknown = rows[1].model_copy(update={"seconds": None})
    assert estimate_cost(settings, ("x",), tmp_path, [unknown]).hours is None
    assumed = estimate_cost(settings, ("x",), tmp_path)
    assert assumed.tokens == 4 * ASSUMED_TOKENS and assumed.basis.startswith("an assumption: 21,000 tokens and 19 s")


def test_rows_without_a_billed_call_have_no_known_cost(tmp_path: Path) -> None:
    settings = CompareSettings.model_validate({"arms": [{"name": "none"}, {"name": "all"}], "tasks": 2})
    free = [row("a", "", True).model_copy(update={"tokens": 0})]
    assert estimate_cost(settings, ("a", "b"), tmp_path, free).tokens is None


def test_cost_of_what_is_left_is_by_arm(tmp_path: Path) -> None:
    settings = CompareSettings.model_validate(
        {"trials": 2, "arms": [{"name": "none"}, {"name": "all"}, {"name": "rule"}]}
    )
    plan, hashed = plan_arms(settings, ("x",)), config_hash(settings)
    ended: dict[str, tuple[int, Status]] = {"none": (100, "success"), "all": (300, "failure"), "rule": (1000, "error")}
    for planned in plan[:3]:
        tokens, status = ended[planned.selector.arm]
        call = LedgerRow(role="agent", model="m", input_tokens=tokens, output_tokens=0)
        outcome = Outcome(status=status, boundary="model" if status == "error" else None)
        about = {"id": episode_id(planned, hashed), "ledger": (call,), "outcome": outcome, "seconds": 36.0}
        EpisodeStore(tmp_path).append(failed(0).model_copy(update=about))
    cost = estimate_cost(settings, ("x",), tmp_path)
    assert cost.episodes == 4  # the second trial of three arms, and the one that ended in an error
    assert cost.hours == pytest.approx(0.04)
    assert cost.tokens == 100 + 300 + 2 * 200  # rule has no finished episode: the mean of the others
    assert cost.basis == f"2 episodes in {tmp_path}, each arm by its own where it has any"


@pytest.mark.parametrize("name", ["transfer-domain", "transfer-backbone"])
def test_a_table_of_another_domain_or_version_is_named_and_no_error(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.compare.comparison.check_arms", lambda settings: None)  # loads an encoder
    folder = ROOT / "configs" / "compare" / "ablations"
    monkeypatch.chdir(ROOT)
    assert (
        main(["compare", "--config", str(folder / "base.yaml"), "--config", str(folder / f"{name}.yaml"), "--plan"])
        == 0
    )
    shown = " ".join(capsys.readouterr().out.split())
    assert "is of helpdesk-1.1 shop, this config runs helpdesk-2.0" in shown and "Basis: 750 executed subsets" in shown


def test_the_flag_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compare", "--plan", "tasks=60", "arms=[{name: none}, {name: all}]", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "tasks for 10 points" in shown and "a guess" in shown and "2 arms × 60 tasks × 1 trials = 120 episodes" in shown
    )
    assert not (tmp_path / "out").exists()
    here = {"benchmark": "helpdesk", "benchmark_version": Helpdesk().version("shop"), "domain": "shop"}
    rows = [r.model_copy(update=here) for r in (row("a", "", True), row("a", "TSA", False))]
    write_outcomes(tmp_path / "outcomes.parquet", rows, {"synthetic": True})
    assert main([*command, f"outcomes={tmp_path / 'outcomes.parquet'}"]) == 0
    assert "differently on 100% of the trials (of 1 pairs of executed subsets on 1 task" in " ".join(
        capsys.readouterr().out.split()
    )
    assert main([*command, f"outcomes={tmp_path / 'outcomes.parquet'}", "tasks=2"]) == 0
    assert "To run: 4 episodes, about 40 tokens of agent" in " ".join(capsys.readouterr().out.split())  # not 0
    same = [row("a", subset, True).model_copy(update=here) for subset in ("", "TSA", "Verifier", "Planner")]
    write_outcomes(tmp_path / "outcomes.parquet", same, {"synthetic": True})
    assert main([*command, f"outcomes={tmp_path / 'outcomes.parquet'}"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    most = "differently on 100% of the trials (at most, by the rule of three: none of 6 pairs of executed subsets on 1"
    assert most in shown  # six pairs of one task say no more of the others than one pair


def test_a_replay_is_planned_on_its_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has one trial of 60 tasks, whatever else is asked of it, and more tasks are refused as by the run."""
    monkeypatch.chdir(ROOT)
    config = ["--config", "configs/compare/helpdesk-replay.yaml", "arms=[{name: none}, {name: all}]", "outcomes=null"]
    assert main(["compare", "--plan", *config, "trials=4", "tasks=20"]) == 0
    assert "2 arms × 20 tasks × 1 trials = 40 episodes" in " ".join(capsys.readouterr().out.split())
    table = "results/helpdesk/lattice-test.parquet"
    for wrong, told in (
        ("tasks=61", f"tasks: 61 asked for, {table} has 1 to 60 of test to give"),
        ("replay=nowhere.parquet", "nowhere.parquet: no such file"),
        ("cadence=turn", "cadence: turn cannot be replayed"),
    ):
        assert main(["compare", "--plan", *config, wrong]) == 2
        assert told in capsys.readouterr().err


def test_what_other_commands_have_yet_to_write_is_named_and_the_rest_is_planned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["compare", "--plan", "tasks=4", "lattice=grid.parquet", "outcomes=table.parquet"]
    assert main([*command, "arms=[{name: none}, {name: best_fixed}]"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 arms × 4 tasks × 1 trials = 8 episodes" in shown
    for file in ("grid.parquet", "table.parquet"):
        assert shown.count(f"Missing before the run: {file}: no such file; write it with `fama outcomes") == 1
    labels = ["track=retrospective", "failures=labels.jsonl", "arms=[{name: none}, {name: prompted}]"]
    assert main(["compare", "--plan", "tasks=4", *labels]) == 0
    assert "Missing before the run: labels.jsonl: does not exist" in " ".join(capsys.readouterr().out.split())


def test_a_plan_refuses_what_the_run_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = "arms=[{name: none}, {name: all}]"
    command = ["compare", "--plan", "tasks=4", arms, "--out", str(tmp_path)]
    for wrong, told in (
        ("lattice=pyproject.toml", "pyproject.toml: not a readable parquet file"),
        ("lambdas=[0.1]", "lambdas: curves are replayed"),
        ("bootstrap=10", "bootstrap: Input should be greater than or equal to 100; got 10"),
    ):
        assert main([*command, wrong]) == 2
        assert told in capsys.readouterr().err
    asked = {"arm": "all", "than": "none", "ask": "more", "margin": 0.05}
    content = {"settings": {"arms": [{"name": "none"}, {"name": "all"}], "questions": [asked]}}
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    assert main(command) == 2
    assert "was asked before the run; keep it" in capsys.readouterr().err
