"""Coverage of the intervals on simulated tasks with known truth: ``python -m eval.stats.coverage [DATA_SETS]``.

Prints one line per scenario and number of trials: the share of data sets whose 95 % interval covers the truth, for each
number of tasks; for differences also in how many data sets p < 0.05 and an interval around 0 contradict each other.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.special import beta as beta_function

from eval.stats.paired import paired_estimate
from eval.stats.proportions import pass_k_intervals
from fama.intervals import Array
from fama.randomness import derive_seed

TASKS, TRIALS = (8, 20, 60, 200), (1, 2, 4, 8)
_GAIN = 0.1


@dataclass(frozen=True)
class Scenario:
    """Model of per-task differences; ``draw`` takes a generator, tasks and trials and returns shape [tasks]."""

    name: str
    truth: float
    draw: Callable[[np.random.Generator, int, int], Array]


@dataclass(frozen=True)
class Coverage:
    """Counts over simulated data sets: truths below and above the interval, contradictions of interval and p."""

    data_sets: int
    below: int
    above: int
    contradictions: int = 0

    @property
    def share(self) -> float:
        """Return the share of data sets whose interval covers the truth."""
        return 1 - (self.below + self.above) / self.data_sets


def _equal(rng: np.random.Generator, tasks: int, trials: int) -> Array:
    rates = rng.beta(1, 2, tasks)
    return (rng.binomial(trials, rates) - rng.binomial(trials, rates)) / trials


def _gain(rng: np.random.Generator, tasks: int, trials: int) -> Array:
    rates = 0.9 * rng.beta(1, 2, tasks)
    return (rng.binomial(trials, rates + _GAIN) - rng.binomial(trials, rates)) / trials


def _correlated(rng: np.random.Generator, tasks: int, trials: int) -> Array:
    """Draw arms that share seven in ten of their random numbers."""
    rates = 0.9 * rng.beta(1, 2, (tasks, 1))
    theirs = rng.random((tasks, trials))
    ours = np.where(rng.random((tasks, trials)) < 0.7, theirs, rng.random((tasks, trials)))
    return np.asarray(((ours < rates + _GAIN).sum(axis=1) - (theirs < rates).sum(axis=1)) / trials)


def _strong(rng: np.random.Generator, tasks: int, trials: int) -> Array:
    ours = 0.2 + 0.8 * rng.beta(3, 2, tasks)
    return (rng.binomial(trials, ours) - rng.binomial(trials, 0.1, tasks)) / trials


def _tied(rng: np.random.Generator, tasks: int, trials: int) -> Array:
    moving = rng.random(tasks) < 0.2
    return moving * (rng.binomial(trials, 0.8, tasks) - rng.binomial(trials, 0.4, tasks)) / trials


def _rare(rng: np.random.Generator, tasks: int, trials: int) -> Array:
    small = (rng.random(tasks) < 0.2) * rng.choice([-1, 1], tasks) / trials
    return np.where(rng.random(tasks) < 0.04, 1.0, small)


SCENARIOS = (
    Scenario("no difference", 0.0, _equal),
    Scenario("gain of 10 points", _GAIN, _gain),
    Scenario("the same, correlated arms", _GAIN, _correlated),
    Scenario("strong gain", 0.58, _strong),
    Scenario("tied: 4 of 5 tasks never differ", 0.08, _tied),
    Scenario("one-sided, half of the trials", 0.5, lambda rng, n, trials: rng.binomial(trials, 0.5, n) / trials),
    Scenario("one-sided, 8 % of the trials", 0.08, lambda rng, n, trials: rng.binomial(trials, 0.08, n) / trials),
    Scenario("one-sided, 8 % of the tasks", 0.08, lambda rng, n, trials: (rng.random(n) < 0.08).astype(np.float64)),
)
#: What no interval from the data can cover: most samples of few tasks hold none of the large steps.
RARE_LARGE_STEPS = Scenario("rare large steps among small ones", 0.04, _rare)


def difference_coverage(scenario: Scenario, tasks: int, trials: int, data_sets: int) -> Coverage:
    """Simulate paired differences and count the truths that their intervals miss."""
    rng = np.random.default_rng(derive_seed(0, "coverage", scenario.name, tasks, trials))
    below = above = contradictions = 0
    for _ in range(data_sets):
        got = paired_estimate(scenario.draw(rng, tasks, trials), seed=0)
        low, high = got.interval.low, got.interval.high
        if low is None or high is None or got.p is None:
            raise ValueError("an interval needs two tasks")
        below += scenario.truth < low - 1e-9
        above += scenario.truth > high + 1e-9
        contradictions += (got.p < 0.05) == (low <= 0 <= high)
    return Coverage(data_sets, below, above, contradictions)


def pass_k_coverage(a: float, b: float, tasks: int, trials: int, data_sets: int) -> list[Coverage]:
    """Simulate tasks whose success rates are Beta(a, b) and count the misses of pass^1 to pass^trials."""
    rng = np.random.default_rng(derive_seed(0, "pass^k coverage", a, b, tasks, trials))
    truths = [float(beta_function(a + k, b) / beta_function(a, b)) for k in range(1, trials + 1)]
    values = np.array([[comb(c, k) / comb(trials, k) for c in range(trials + 1)] for k in range(1, trials + 1)])
    below, above = [0] * trials, [0] * trials
    for _ in range(data_sets):
        solved = rng.binomial(trials, rng.beta(a, b, tasks))
        estimates = pass_k_intervals([values[k][solved] for k in range(trials)], tasks * trials)
        for k, (truth, one) in enumerate(zip(truths, estimates, strict=True)):
            if one.low is None or one.high is None:
                raise ValueError("an interval needs two tasks")
            below[k] += truth < one.low
            above[k] += truth > one.high
    return [Coverage(data_sets, low, high) for low, high in zip(below, above, strict=True)]


def main(arguments: list[str]) -> int:
    """Print both tables."""
    data_sets = int(arguments[0]) if arguments else 2000
    out = sys.stdout
    out.write(f"{data_sets} data sets each; coverage in %, then contradictions of interval and p\n")
    for scenario in (*SCENARIOS, RARE_LARGE_STEPS):
        for trials in TRIALS:
            row = [difference_coverage(scenario, tasks, trials, data_sets) for tasks in TASKS]
            shares = " | ".join(f"{100 * one.share:.1f}" for one in row)
            out.write(f"| {scenario.name} | {trials} | {shares} | {sum(one.contradictions for one in row)} |\n")
            out.flush()
    for a, b in ((1.0, 2.0), (1.0, 1.0), (0.3, 0.9)):
        for trials in (4, 8):
            for tasks in (20, 25, 30, 60, 200):
                row = pass_k_coverage(a, b, tasks, trials, data_sets)
                shares = " | ".join(f"{100 * one.share:.1f}" for one in row)
                out.write(f"| Beta({a:g}, {b:g}) | {tasks} tasks | {trials} trials | {shares} |\n")
                out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
