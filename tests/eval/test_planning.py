"""Planning: consistent with the detectable effect, measured discordance by hand, and the flag."""

from pathlib import Path

import pytest

from eval.compare.sample_size import EFFECTS, discordance_of, plans
from eval.stats.power import detectable_effect, planned_sd
from fama.cli import main
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.episodes.outcome_table import write_outcomes
from tests.support.outcome_rows import row


def test_plans_agree_with_what_is_detectable() -> None:
    one, two, four, eight = plans(60, 0.4)
    assert [p.trials for p in (one, two, four, eight)] == [1, 2, 4, 8]
    assert one.detectable == detectable_effect(planned_sd(0.4, 1), 60)
    assert one.detectable is not None and four.detectable is not None and four.detectable < one.detectable
    for effect, tasks in zip(EFFECTS, one.needed, strict=True):
        reached = detectable_effect(planned_sd(0.4, 1), tasks)
        assert reached is not None and reached <= effect
    assert list(one.needed) == sorted(one.needed, reverse=True)


def test_discordance_by_hand() -> None:
    rows = [row("a", "", True), row("a", "TSA", False), row("a", "Verifier", False), row("b", "", True)]
    assert discordance_of(rows) == (2 / 3, 3)  # three pairs on a, two of them differ; b has one episode only
    assert discordance_of(rows[3:]) is None
    assert discordance_of([row("a", "", None), row("a", "TSA", True)]) is None


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
    assert "differently on 100% of the trials (of 1 pairs" in " ".join(capsys.readouterr().out.split())
