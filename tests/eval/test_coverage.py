"""The simulation of coverage: its scenarios have the truth they state, and it counts what intervals miss."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from eval.stats import coverage
from eval.stats.coverage import RARE_LARGE_STEPS, SCENARIOS, Coverage, Scenario, difference_coverage, pass_k_coverage
from eval.stats.paired import PairedEstimate
from fama.intervals import Array, Interval

EVERY = (*SCENARIOS, RARE_LARGE_STEPS)
#: Variance of a per-task difference over four trials, by hand from the rates.
VARIANCES = (1 / 12, 0.09, 0.04275, 0.0961, 0.0456, 0.0625, 0.0184, 0.0736, 0.0504)
#: E p^k of Beta(1, 2): 2 / ((k + 1)(k + 2)).
TRUTHS = (1 / 3, 1 / 6, 1 / 10, 1 / 15)


@pytest.mark.parametrize(
    ("scenario", "variance"),
    zip(EVERY, VARIANCES, strict=True),
    ids=[scenario.name for scenario in EVERY],
)
def test_scenarios_have_the_stated_truth(scenario: Scenario, variance: float) -> None:
    drawn = scenario.draw(np.random.default_rng(1), 100_000, 4)
    assert drawn.shape == (100_000,) and np.abs(drawn).max() <= 1
    assert drawn.mean() == pytest.approx(scenario.truth, abs=4 * (variance / 100_000) ** 0.5)
    assert drawn.var() == pytest.approx(variance, rel=0.03)
    assert scenario.draw(np.random.default_rng(1), 50_000, 1).mean() == pytest.approx(scenario.truth, abs=0.01)


def constant(*differences: float) -> Callable[[np.random.Generator, int, int], Array]:
    return lambda rng, tasks, trials: np.array(differences)


@pytest.mark.parametrize(
    ("truth", "below", "above"), [(0.0, 0, 0), (1.0, 0, 3), (-1.0, 3, 0), (0.2 + 1e-10, 0, 0), (0.2 + 1.5e-9, 0, 3)]
)
def test_misses_of_differences_are_counted(
    truth: float, below: int, above: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interval is [−0.2, 0.2]; rounding is no miss."""
    monkeypatch.setattr(
        coverage, "paired_estimate", lambda drawn, seed: PairedEstimate(Interval(0.0, -0.2, 0.2, len(drawn)), 1.0)
    )
    assert difference_coverage(Scenario("s", truth, constant(0, 0)), 2, 1, 3) == Coverage(3, below, above, 0)
    assert difference_coverage(Scenario("s", -truth, constant(0, 0)), 2, 1, 3) == Coverage(3, above, below, 0)


@pytest.mark.parametrize(
    ("low", "high", "p", "contradicts"),
    [
        (-0.1, 0.1, 0.5, False),
        (-0.1, 0.1, 0.05, False),
        (0.0, 0.1, 0.04, True),
        (-0.1, 0.0, 0.04, True),
        (0.05, 0.1, 0.04, False),
        (0.05, 0.1, 0.05, True),
        (-0.2, -0.1, 0.5, True),
    ],
)
def test_contradictions_are_counted(
    low: float, high: float, p: float, contradicts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = PairedEstimate(Interval(0.0, low, high, 2), p)
    monkeypatch.setattr(coverage, "paired_estimate", lambda drawn, seed: got)
    assert difference_coverage(SCENARIOS[0], 2, 1, 4).contradictions == 4 * contradicts


def test_too_few_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="needs two tasks"):
        difference_coverage(SCENARIOS[0], 1, 1, 1)
    with pytest.raises(ValueError, match="needs two tasks"):
        pass_k_coverage(1.0, 2.0, 1, 2, 1)


@pytest.mark.parametrize(("low", "high", "p"), [(None, 0.1, 0.5), (-0.1, None, 0.5), (-0.1, 0.1, None)])
def test_half_an_interval_is_refused(
    low: float | None, high: float | None, p: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    interval = Interval(0.0, low, high, 2)
    monkeypatch.setattr(coverage, "paired_estimate", lambda drawn, seed: PairedEstimate(interval, p))
    with pytest.raises(ValueError, match="needs two tasks"):
        difference_coverage(SCENARIOS[0], 2, 1, 1)
    if p is not None:
        monkeypatch.setattr(coverage, "pass_k_intervals", lambda values, episodes: [interval])
        with pytest.raises(ValueError, match="needs two tasks"):
            pass_k_coverage(1.0, 2.0, 2, 1, 1)


def test_share_by_hand() -> None:
    assert Coverage(10, 2, 1).share == pytest.approx(0.7) and Coverage(10, 2, 1).contradictions == 0


def test_misses_of_pass_k_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 tasks have the means of Beta(1, 2); the third interval starts above its truth, the fourth ends below."""
    shown: list[list[float]] = []

    def intervals(values: Sequence[Array], episodes: int) -> list[Interval]:
        assert episodes == 80_000
        shown.append([float(of_k.mean()) for of_k in values])
        ends = zip(TRUTHS, (0.01, 0.01, -0.01, 0.02), (0.01, 0.01, 0.02, -0.01), strict=True)
        return [Interval(truth, truth - down, truth + up, 20_000) for truth, down, up in ends]

    monkeypatch.setattr(coverage, "pass_k_intervals", intervals)
    got = pass_k_coverage(1.0, 2.0, 20_000, 4, 2)
    assert got == [Coverage(2, 0, 0), Coverage(2, 0, 0), Coverage(2, 2, 0), Coverage(2, 0, 2)]
    assert len(shown) == 2 and shown[0] != shown[1]
    for means in shown:
        assert means == pytest.approx(TRUTHS, abs=0.01)


@pytest.mark.parametrize(("arguments", "data_sets"), [([], 2000), (["50"], 50)])
def test_both_tables_are_printed(
    arguments: list[str], data_sets: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated: list[tuple[int, int]] = []

    def differences(scenario: Scenario, tasks: int, trials: int, sets: int) -> Coverage:
        simulated.append((trials, tasks))
        return Coverage(sets * 1000, tasks * sets, trials * sets, trials)

    def pass_k(a: float, b: float, tasks: int, trials: int, sets: int) -> list[Coverage]:
        simulated.append((trials, tasks))
        return [Coverage(sets * 100, k * sets, 0) for k in range(trials)]

    monkeypatch.setattr(coverage, "difference_coverage", differences)
    monkeypatch.setattr(coverage, "pass_k_coverage", pass_k)
    assert coverage.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{data_sets} data sets each") and len(lines) == 1 + 9 * 4 + 3 * 2 * 5
    assert lines[2] == "| no difference | 2 | 99.0 | 97.8 | 93.8 | 79.8 | 8 |"
    assert lines[-10] == "| Beta(0.3, 0.9) | 20 tasks | 4 trials | 100.0 | 99.0 | 98.0 | 97.0 |"
    shares = " | ".join(f"{100 - k}.0" for k in range(8))
    assert lines[-1] == f"| Beta(0.3, 0.9) | 200 tasks | 8 trials | {shares} |"
    rates = [line.split("|")[1].strip() for line in lines[37:]]
    assert rates == ["Beta(1, 2)"] * 10 + ["Beta(1, 1)"] * 10 + ["Beta(0.3, 0.9)"] * 10
    assert simulated[:144] == [(trials, tasks) for trials in (1, 2, 4, 8) for tasks in (8, 20, 60, 200)] * 9
    assert simulated[144:] == [(trials, tasks) for trials in (4, 8) for tasks in (20, 25, 30, 60, 200)] * 3
