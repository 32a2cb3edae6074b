"""Measures of a router on a test set, each as sums over examples, so that tasks can be resampled.

A measure is a function of sums over rows; ``Sums`` holds the rows. Failures are scored by their categories: those
predicted are the likeliest one and every other that is at least as likely as not, the same rule for every router.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eval.ablation.datasets import Test
from eval.metrics.selection_quality import subset_f1
from eval.stats.paired import paired_estimate
from eval.stats.resampling import Resample
from fama.diagnosis.mitigation import minimal_cover
from fama.helpers.base import Covering
from fama.intervals import Array, Interval, clustered_share
from fama.selection.decision_rule import Floats, Objective, decide
from fama.selection.router.features import Features
from fama.selection.router.kinds.base import ROUTER_KINDS
from fama.selection.router.router import Router
from fama.selection.router.scores import sigmoid
from training.data.examples import Example
from training.data.synthetic import SyntheticTask, regrets
from training.export.evaluation import executed_logits
from training.prediction_metrics import brier, log_loss

BINS = 10
Statistic = Callable[..., Array]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sums:
    """A measure: its statistic, the rows it sums, each array [rows, ...], and the task of every row.

    ``known`` marks the rows that count, None where all do. A ``share`` is Σ values / Σ ones with values in [0, 1]. A
    statistic that is ``inflated`` by chance, as a mean of absolute values is, is more so in resamples. ``of`` are the
    rows of the test set where only some allow the measure; None where all do.
    """

    statistic: Statistic
    rows: tuple[Array, ...]
    tasks: tuple[str, ...]
    known: Mask | None = None
    share: bool = False
    inflated: bool = False
    of: int | None = None

    @property
    def counted(self) -> tuple[int, int]:
        """Return how many rows count, and how many there are."""
        there = len(self.tasks)
        return there if self.known is None else int(np.count_nonzero(self.known)), self.of or there

    def interval(self, draws: int, seed: int) -> Interval:
        """Return the measure with its 95 % interval over tasks: resampled, of a share Wilson's.

        The percentiles of an inflated measure lie above what it measures, for it is inflated once more in a resample.
        Its lower end is their whole width below the value, at most to 0: simulated calibration errors are covered in
        96 % and more, one of exactly 0 in 87 % (by the percentiles in none).
        """
        own = self._where(self.known)
        if own.share:
            return clustered_share(*own._by_task())
        found = Resample(own.tasks, draws, seed, "ablation").interval(own.statistic, *own.rows)
        if not own.inflated or found.value is None or found.low is None or found.high is None:
            return found
        return replace(found, low=max(0.0, found.value - (found.high - found.low)))

    def minus(self, other: "Sums", draws: int, seed: int) -> Interval | None:
        """Return the paired difference to another router's on the rows that count for both; None without any.

        That of shares is a mean over tasks with a score interval.
        """
        both: Mask | None = None
        if self.known is not None or other.known is not None:
            masks = [np.ones(len(one.tasks), bool) if one.known is None else one.known for one in (self, other)]
            both = masks[0] & masks[1]
        mine, theirs = self._where(both), other._where(both)
        if not mine.tasks:
            return None
        if self.share:
            rates = [np.array(sums) / np.array(counts) for sums, counts in (mine._by_task(), theirs._by_task())]
            return paired_estimate(rates[0] - rates[1], seed).interval
        count = len(mine.rows)

        def difference(*sums: Array) -> Array:
            found: Array = self.statistic(*sums[:count]) - other.statistic(*sums[count:])
            return found

        return Resample(mine.tasks, draws, seed, "ablation").interval(difference, *mine.rows, *theirs.rows)

    def _where(self, known: Mask | None) -> "Sums":
        if known is None:
            return self
        tasks = tuple(task for task, counts in zip(self.tasks, known, strict=True) if counts)
        return replace(self, rows=tuple(part[known] for part in self.rows), tasks=tasks, known=None)

    def _by_task(self) -> tuple[list[float], list[float]]:
        """Return the sums of values and of ones of each task."""
        _, owner = np.unique(np.array(self.tasks, dtype=str), return_inverse=True)
        values, ones = (np.bincount(owner, weights=part).tolist() for part in self.rows)
        return values, ones


def measure_router(
    router: Router, test: Test, helpers: Mapping[str, Covering], knows_success: bool = True
) -> dict[str, Sums]:
    """Return every measure that this test set allows for this router; of labels alone none knows success."""
    found: dict[str, Sums] = {}
    labelled = [e for e in test.examples if e.categories is not None]
    if labelled and router.labels is not None:
        chances = _once(router.categories, labelled)
        own = label_measures(predicted_flags(chances), labelled, router.manifest.categories, helpers)
        found |= {name: replace(sums, of=len(test.examples)) for name, sums in own.items()}
    outcomes = [e for e in test.examples if e.subset is not None and e.success is not None]
    if outcomes:
        if knows_success and ROUTER_KINDS.load(router.manifest.kind).predicts_success:
            logits = executed_logits(router, outcomes) / router.manifest.calibration.temperature
            own = outcome_measures(logits, outcomes)
            found |= {name: replace(sums, of=len(test.examples)) for name, sums in own.items()}
        if not test.truth:
            found |= subset_grid_measures(_choices(router, outcomes), outcomes)
    if test.truth:
        found |= truth_measures(
            _choices(router, outcomes), outcomes, test.truth, router.manifest.lam, router.manifest.epsilon
        )
    return found


def predicted_flags(chances: Floats) -> Array:
    """Return the categories said to be there, [rows, C]: the likeliest, and all of at least one half."""
    flags = chances >= 0.5
    flags[np.arange(len(chances)), chances.argmax(axis=1)] = True
    return flags.astype(np.float64)


def label_measures(
    said: Array, examples: Sequence[Example], codes: Sequence[str], helpers: Mapping[str, Covering]
) -> dict[str, Sums]:
    """Return the F1 of every category, their mean, and F1 and exact match of the minimal covering subset of helpers."""
    tasks = tuple(example.task for example in examples)
    true = np.array([example.categories for example in examples], dtype=np.float64)
    rows = (said * true, said, true)
    found = {"macro-F1": Sums(lambda hit, s, t: _macro(_f1(hit, s, t)), rows, tasks)}
    for place, code in enumerate(codes):
        one = tuple(part[:, place] for part in rows)
        found[f"F1 {code}"] = Sums(_f1, one, tasks)
    subsets = [[_cover(line, codes, helpers) for line in side] for side in (said, true)]
    ones = np.ones(len(tasks))
    shared = np.array([subset_f1(a, b) for a, b in zip(*subsets, strict=True)])
    exact = np.array([float(a == b) for a, b in zip(*subsets, strict=True)])
    found["subset F1"] = Sums(_ratio, (shared, ones), tasks, share=True)
    found["subset exact"] = Sums(_ratio, (exact, ones), tasks, share=True)
    return found


def outcome_measures(logits: Floats, examples: Sequence[Example]) -> dict[str, Sums]:
    """Log loss, Brier score and calibration error of the executed subsets; rows count by their weight."""
    tasks = tuple(example.task for example in examples)
    success = np.array([float(bool(example.success)) for example in examples])
    weights = np.array([example.weight for example in examples])
    place = np.minimum((sigmoid(logits) * BINS).astype(int), BINS - 1)
    gaps = np.zeros((len(tasks), BINS))
    gaps[np.arange(len(tasks)), place] = weights * (success - sigmoid(logits))
    return {
        "log loss": Sums(_ratio, (weights * log_loss(logits, success), weights), tasks),
        "Brier score": Sums(_ratio, (weights * brier(logits, success), weights), tasks),
        "calibration error": Sums(lambda gap, n: np.abs(gap).sum(axis=-1) / n, (gaps, weights), tasks, inflated=True),
    }


def subset_grid_measures(chosen: Mapping[Features, tuple[bool, ...]], examples: Sequence[Example]) -> dict[str, Sums]:
    """Return the success of the chosen subsets where they were executed, and the gap to the best executed one."""
    cells: dict[tuple[str, Features], dict[tuple[bool, ...], list[tuple[float, float]]]] = {}
    for example in examples:
        if example.subset is not None:
            cell = cells.setdefault((example.task, example.features), {})
            cell.setdefault(example.subset, []).append((float(bool(example.success)), example.weight))
    rates = {key: {subset: _mean(runs) for subset, runs in cell.items()} for key, cell in cells.items()}
    if not rates:
        return {}
    known = np.array([chosen[state] in rate for (_, state), rate in rates.items()])
    got = np.array([rate.get(chosen[state], 0.0) for (_, state), rate in rates.items()])
    best = np.array([max(rate.values()) for rate in rates.values()])
    tasks, ones = tuple(task for task, _ in rates), np.ones(len(rates))
    return {
        "success of the choice": Sums(_ratio, (got, ones), tasks, known, share=True),
        "regret to the best executed": Sums(_ratio, (best - got, ones), tasks, known, share=True),
    }


def _mean(runs: Sequence[tuple[float, float]]) -> float:
    """Return the mean of values with their weights."""
    values, weights = zip(*runs, strict=True)
    return float(np.average(values, weights=weights))


def truth_measures(
    chosen: Mapping[Features, tuple[bool, ...]],
    examples: Sequence[Example],
    truth: Sequence[SyntheticTask],
    lam: float,
    epsilon: float,
) -> dict[str, Sums]:
    """Return true regret at λ, the closed share of best_fixed's gap, and how often the subset is the minimal one.

    The minimal subset is what the router's own rule takes when it knows the truth: the smallest of those within ε of
    the best.
    """
    state = {example.task.rpartition("/")[2]: example.features for example in examples}
    known = [task for task in truth if task.task_id in state]
    values = np.stack([task.values(lam) for task in known])
    mine = [chosen[state[task.task_id]] for task in known]
    regret = regrets(known, mine, lam)
    fixed = values.max(axis=1) - values[:, int(values.mean(axis=0).argmax())]
    helpers = len(next(iter(chosen.values())))
    minimal = [decide(task.scores, helpers, Objective(lam, epsilon)).members for task in known]
    exact = np.array([float(a == b) for a, b in zip(mine, minimal, strict=True)])
    ones, tasks = np.ones(len(known)), tuple(task.task_id for task in known)
    return {
        "regret": Sums(_ratio, (regret, ones), tasks),
        "gap of best_fixed closed": Sums(lambda mine, fixed: 1.0 - mine / fixed, (regret, fixed), tasks),
        "exactly the minimal": Sums(_ratio, (exact, ones), tasks, share=True),
    }


def _choices(router: Router, examples: Sequence[Example]) -> dict[Features, tuple[bool, ...]]:
    return {features: router.choose(features).members for features in dict.fromkeys(e.features for e in examples)}


def _once(function: Callable[[Features], Floats], examples: Sequence[Example]) -> Floats:
    known = {features: function(features) for features in dict.fromkeys(e.features for e in examples)}
    return np.array([known[example.features] for example in examples])


def _cover(flags: Array, codes: Sequence[str], helpers: Mapping[str, Covering]) -> frozenset[str]:
    covered = {category for helper in helpers.values() for category in helper.covers}
    wanted = {code for code, flag in zip(codes, flags, strict=True) if flag and code in covered}
    return frozenset(minimal_cover(wanted, helpers))


def _f1(hit: Array, said: Array, true: Array) -> Array:
    total = np.asarray(said + true, dtype=np.float64)
    found: Array = np.where(total > 0, 2 * hit / np.where(total > 0, total, 1.0), np.nan)
    return found


def _macro(values: Array) -> Array:
    """Return the mean over the categories that somebody said or that were there."""
    known = ~np.isnan(values)
    found: Array = np.where(known, values, 0.0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return found


def _ratio(numerator: Array, denominator: Array) -> Array:
    found: Array = numerator / denominator
    return found
