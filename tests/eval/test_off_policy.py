"""Off-policy estimates: a hand case, synthetic truth, and the command on a synthetic table."""

import json
from pathlib import Path

import numpy as np
import pytest

from eval.off_policy import off_policy
from fama.cli import main
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.episodes.keys import EpisodeKey
from fama.episodes.outcome_table import OutcomeRow, write_outcomes
from fama.errors import BadInput
from tests.support.outcome_rows import row

SUBSETS = ("", "TSA", "Verifier", "TSA+Verifier")
RATES = (0.2, 0.4, 0.5, 0.8)


def key(task: str) -> EpisodeKey:
    return EpisodeKey("toy", "d", task, 0, "m", "act")


def test_by_hand() -> None:
    rows = [row("a", "TSA", True), row("a", "", False), row("b", "TSA", False), row("b", "Verifier", True)]
    found = off_policy("x", {key("a"): "TSA", key("b"): ""}, rows, draws=100)
    # a: matched, weight 2, reward 1; b: no episode of the chosen subset
    assert (found.tasks, found.matched) == (2, 1)
    assert found.ips.value == 1.0 and found.snips.value == 1.0
    # direct: TSA without a's tasks: (0 + 2·0.5) / 3; none without b's: (0 + 2·0.5) / 3
    assert found.direct.value == pytest.approx(1 / 3)
    assert found.doubly_robust.value == pytest.approx((1 / 3 + 2 * (1 - 1 / 3) + 1 / 3) / 2)
    assert "little overlap: the log has the chosen subset on 1 of 2 tasks" in found.warning


def test_errors_are_no_episodes_and_a_missing_propensity_is_refused() -> None:
    found = off_policy("x", {key("a"): "TSA"}, [row("a", "TSA", None)], draws=100)
    assert found.matched == 0 and found.ips.value == 0.0 and found.snips.value is None
    with pytest.raises(BadInput, match="has no propensity"):
        off_policy("x", {key("a"): "TSA"}, [row("a", "TSA", True, None)], draws=100)


def logged(rng: np.random.Generator, tasks: int) -> list[OutcomeRow]:
    """SYNTHETIC: two of four subsets per task, each executed with probability one half."""
    rows = []
    for task in range(tasks):
        for place in rng.choice(4, 2, replace=False):
            rows.append(row(f"t{task}", SUBSETS[place], bool(rng.random() < RATES[place])))
    return rows


def test_estimates_are_unbiased_and_their_intervals_cover() -> None:
    rng = np.random.default_rng(1)
    tasks, runs = 120, 150
    policy = {key(f"t{i}"): SUBSETS[3] if i % 2 else SUBSETS[1] for i in range(tasks)}
    truth = (RATES[3] + RATES[1]) / 2
    values: dict[str, list[float]] = {"ips": [], "snips": [], "direct": [], "doubly_robust": []}
    covered = dict.fromkeys(values, 0)
    for run in range(runs):
        found = off_policy("x", policy, logged(rng, tasks), draws=200, seed=run)
        assert found.warning == ""
        for name in values:
            estimate = getattr(found, name)
            values[name].append(estimate.value)
            covered[name] += estimate.low <= truth <= estimate.high
    for name in ("ips", "snips", "doubly_robust"):
        assert abs(float(np.mean(values[name])) - truth) < 0.02, name
        assert 0.9 <= covered[name] / runs <= 0.99, (name, covered[name] / runs)
    assert np.std(values["doubly_robust"]) < np.std(values["ips"])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = '{"policy": "Be kind.", "tools": [], "messages": [{"role": "user", "content": "Hello"}], "turn": 0}'
    here = {"benchmark": "helpdesk", "benchmark_version": Helpdesk().version("shop"), "domain": "shop", "state": state}
    rows = [r.model_copy(update=here) for r in logged(np.random.default_rng(0), 24)]
    write_outcomes(tmp_path / "outcomes.parquet", rows, {"synthetic": True})
    arms = "arms=[{name: none}, {name: fixed, label: TSA, options: {subset: [TSA]}}]"
    table = f"replay={tmp_path / 'outcomes.parquet'}"
    assert main(["value", table, arms, "split=train", "tasks=24", "--out", str(tmp_path / "value")]) == 0
    shown = capsys.readouterr().out
    assert "doubly robust %" in shown and "TSA" in shown and "of 24" in shown
    assert "same subset" not in shown  # fixed choices are what these arms are for
    found = json.loads((tmp_path / "value" / "value.json").read_text(encoding="utf-8"))
    assert [one["arm"] for one in found] == ["none", "TSA"] and found[0]["tasks"] == 24
    assert main(["value", arms]) == 2
    assert "name the outcome table" in capsys.readouterr().err
