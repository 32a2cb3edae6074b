"""Off-policy estimates: a hand case, synthetic truth, and the command on a synthetic table."""

import json
from pathlib import Path

import numpy as np
import pytest

from eval.collect.designs import as_executed
from eval.off_policy import MATCHED, off_policy
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


def test_an_error_is_no_failure_and_no_pair() -> None:
    """Executed for certain: half of the tasks end in an error, all others are solved."""
    rows = [row(f"t{n}", "TSA", None if n % 2 else True, 1.0) for n in range(40)]
    found = off_policy("x", {one.key: "TSA" for one in rows}, rows, draws=200)
    assert (found.ips.value, found.snips.value, found.doubly_robust.value) == (1.0, 1.0, 1.0)
    assert (found.tasks, found.matched, found.errors) == (40, 20, 20)
    only = off_policy("x", {key("a"): "TSA"}, [row("a", "TSA", None)], draws=100)
    assert (only.matched, only.errors) == (0, 1) and only.ips.value is only.snips.value is None


def test_errors_of_a_sampled_log_bias_nothing() -> None:
    """Four tasks are matched at propensity 1/2: one error of two pairs, and 1 of 3 others solved."""
    rows = [row(task, "TSA", won) for task, won in zip("abcd", (None, True, False, False), strict=True)]
    rows += [row(task, "Verifier", False) for task in "efgh"]
    found = off_policy("x", {key(task): "TSA" for task in "abcdefgh"}, rows, draws=100)
    # the weights of the error and of its like are 1/4 of 8 pairs: 2 · 1 over the other 6
    assert found.ips.value == found.snips.value == pytest.approx(1 / 3)
    rng = np.random.default_rng(0)
    ips, robust = [], []
    for run in range(200):
        rows = []
        for task in range(60):
            subset, rate = (("", 0.3), ("TSA", 0.6))[rng.integers(2)]
            rows.append(row(f"t{task}", subset, None if rng.random() < 0.5 else bool(rng.random() < rate)))
        one = off_policy("x", {key(f"t{task}"): "TSA" for task in range(60)}, rows, draws=2, seed=run)
        ips.append(one.ips.value or 0.0)
        robust.append(one.doubly_robust.value or 0.0)
    assert abs(float(np.mean(ips)) - 0.6) < 0.03 and abs(float(np.mean(robust)) - 0.6) < 0.03


def test_choices_that_the_log_never_holds_are_told() -> None:
    """SYNTHETIC: every subset solves 6 of 10 tasks; on half of them a subset is chosen that was never drawn."""
    rng = np.random.default_rng(0)
    rows = [row(f"t{t}", SUBSETS[p], bool(rng.random() < 0.6)) for t in range(150) for p in rng.choice(4, 2, False)]
    found = off_policy("x", {key(f"t{t}"): "TSA" if t % 2 else "DCE+TSA" for t in range(150)}, rows, draws=100)
    assert (found.unlogged, found.matched > MATCHED) == (75, True)
    assert found.warning.startswith("the log has no episode of the subset chosen on 75 of 150 tasks and trials: IPS")
    assert found.ips.value is not None and found.ips.value < 0.4 and found.snips.value is not None
    assert abs(found.snips.value - 0.6) < 0.15
    whole = off_policy("x", {key(f"t{t}"): "TSA" for t in range(150)}, rows, draws=100)
    assert (whole.unlogged, whole.warning) == (0, "")


def test_a_missing_propensity_is_refused() -> None:
    for success in (True, None):
        with pytest.raises(BadInput, match="has no propensity"):
            off_policy("x", {key("a"): "TSA"}, [row("a", "TSA", success, None)], draws=100)


@pytest.mark.parametrize(("solved", "low", "high"), [(True, 0.476, 1.0), (False, 0.0, 0.524)])
def test_where_all_is_alike_an_interval_has_the_width_of_so_few_tasks(solved: bool, low: float, high: float) -> None:
    rows = [row(f"t{n}", "TSA", solved, 1.0) for n in range(6)]
    found = off_policy("x", {one.key: "TSA" for one in rows}, rows, draws=200)
    for one in (found.ips, found.snips, found.direct, found.doubly_robust):
        assert (one.value, one.n) == (float(solved), 6)
        assert one.low == pytest.approx(low, abs=1e-3) and one.high == pytest.approx(high, abs=1e-3)
    half = [row(f"t{n}", "TSA", True, 0.5) for n in range(6)]
    found = off_policy("x", {one.key: "TSA" for one in half}, half, draws=200)
    assert (found.ips.value, found.ips.low, found.ips.high) == (2.0, None, None)  # no share: nothing bounds it


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
    for name in values:
        assert abs(float(np.mean(values[name])) - truth) < 0.02, name
        assert 0.9 <= covered[name] / runs <= 0.99, (name, covered[name] / runs)
    assert np.std(values["doubly_robust"]) < np.std(values["ips"])


def test_an_interrupted_log_biases_nothing() -> None:
    """SYNTHETIC: of two draws of every task one was run; by the propensities of drawing, IPS is half of the truth."""
    rng = np.random.default_rng(4)
    values = []
    for run in range(100):
        rows = as_executed(logged(rng, 60)[::2], 2)
        found = off_policy("x", {key(f"t{i}"): SUBSETS[3] for i in range(60)}, rows, draws=2, seed=run)
        values.append(found.ips.value or 0.0)
    assert abs(float(np.mean(values)) - RATES[3]) < 0.05


@pytest.mark.parametrize("rate", [0.03, 0.95])
def test_intervals_cover_where_hardly_any_episode_differs(rate: float) -> None:
    """SYNTHETIC: a quarter of the logs has no success of the chosen subset; predictions alone moved then."""
    rng = np.random.default_rng(5)
    runs, covered = 60, dict.fromkeys(("direct", "doubly_robust"), 0)
    for run in range(runs):
        rows = [row(f"t{t}", SUBSETS[p], bool(rng.random() < rate)) for t in range(50) for p in rng.choice(4, 2, False)]
        found = off_policy("x", {key(f"t{t}"): "TSA" for t in range(50)}, rows, draws=200, seed=run)
        for name in covered:
            one = getattr(found, name)
            covered[name] += one.low <= rate <= one.high
    assert min(covered.values()) >= 0.9 * runs, covered


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = '{"policy": "Be kind.", "tools": [], "messages": [{"role": "user", "content": "Hello"}], "turn": 0}'
    here = {"benchmark": "helpdesk", "benchmark_version": Helpdesk().version("shop"), "domain": "shop", "state": state}
    rows = [r.model_copy(update=here) for r in logged(np.random.default_rng(0), 24)]
    write_outcomes(tmp_path / "outcomes.parquet", rows, {"synthetic": True})
    arms = "arms=[{name: none}, {name: fixed, label: TSA, options: {subset: [TSA]}}]"
    table = f"replay={tmp_path / 'outcomes.parquet'}"
    few = ["value", table, arms, "split=train", "tasks=24", "bootstrap=99", "--out", str(tmp_path / "few")]
    assert main(few) == 2 and not (tmp_path / "few").exists()
    assert main(["value", table, arms, "split=train", "tasks=24", "--out", str(tmp_path / "value")]) == 0
    shown = capsys.readouterr().out
    assert "doubly robust %" in shown and "TSA" in shown and "of 24" in shown
    assert "same subset" not in shown  # fixed choices are what these arms are for
    said = " ".join(shown.split())  # as a comparison says of its inputs
    assert "24 of 24 tasks are not of the split train: t0, " in said and "was run with other helper texts" in said
    found = json.loads((tmp_path / "value" / "value.json").read_text(encoding="utf-8"))
    assert [one["arm"] for one in found] == ["none", "TSA"] and found[0]["tasks"] == 24
    learned = f"arms=[{{name: best_fixed, options: {{outcomes: {tmp_path / 'outcomes.parquet'}}}}}]"
    assert main(["value", table, learned, "tasks=[t1, t2, t3]", "split=train", "--out", str(tmp_path / "own")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "best_fixed learned from 3 of the 3 compared tasks" in said
    seed = [one.model_copy(update={"episode_id": f"other-{one.episode_id}"}) for one in rows]
    write_outcomes(tmp_path / "both.parquet", [*rows, *seed], {})
    capsys.readouterr()
    assert main(["value", f"replay={tmp_path / 'both.parquet'}", arms, "split=train", "tasks=24"]) == 2
    told = capsys.readouterr().err
    assert "both.parquet: holds 2 episodes of " in told and "give the table of one run" in told
    assert main(["value", arms]) == 2
    assert "name the outcome table" in capsys.readouterr().err


def test_the_command_takes_an_interrupted_table_of_before_as_one(tmp_path: Path) -> None:
    state = '{"policy": "Be kind.", "tools": [], "messages": [{"role": "user", "content": "Hello"}], "turn": 0}'
    here = {"benchmark": "helpdesk", "benchmark_version": Helpdesk().version("shop"), "domain": "shop", "state": state}
    rows = [r.model_copy(update=here) for r in logged(np.random.default_rng(0), 24)[::2]]
    config = {"per_task": 2, "subsets": [[], ["TSA"], ["Verifier"], ["TSA", "Verifier"]]}
    values = []
    for name, metadata in (("unsaid", {}), ("said", {"config": config})):
        write_outcomes(tmp_path / f"{name}.parquet", rows, metadata)
        words = [
            f"replay={tmp_path / name}.parquet",
            "helpers.pool=[TSA,Verifier]",
            "arms=[{name: all}]",
            "split=train",
            "tasks=24",
        ]
        assert main(["value", *words, "--out", str(tmp_path / name)]) == 0
        values.append(json.loads((tmp_path / name / "value.json").read_text(encoding="utf-8"))[0]["ips"]["value"])
    assert values[1] == pytest.approx(2 * values[0]) and values[0] > 0
