"""Measures of one group of episodes, each with its interval; and the paired difference of two groups."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from eval.metrics.episode_scores import ROLES, Score, amount, known_mean
from eval.metrics.pass_k import TaskTrials, pass_k
from eval.stats.paired import mcnemar_exact, paired_estimate
from eval.stats.power import detectable_effect, spread_of
from eval.stats.proportions import cohens_h, pass_k_intervals
from fama.episodes.keys import EpisodeKey
from fama.episodes.records import Record
from fama.intervals import Array, Interval, price_interval, ratio_interval, task_weights


class PassEstimate(Record):
    """pass^k; ``short`` is how many tasks had fewer than k scored trials and were left out."""

    k: int
    estimate: Interval
    short: int = 0


class Measures(Record):
    """Success and cost of one arm's episodes.

    Rates are in [0, 1], tokens are means per episode over the scored ones (no errors), ``n`` counts
    tasks. ``new_tokens`` are those that no cache held, None in files of before. ``trials`` is the largest number of
    trials of a task. ``errors`` counts episodes by the boundary they failed at; ``user_faults`` are those of the user
    simulator.
    """

    tasks: int
    trials: int
    episodes: int
    successes: int
    failures: int
    errors: dict[str, int] = Field(default_factory=dict)
    user_faults: int = 0
    success: Interval
    pass_k: tuple[PassEstimate, ...] = ()
    tokens: Interval
    new_tokens: Interval | None = None
    tokens_by_role: dict[str, float | None] = Field(default_factory=dict)
    output_tokens: Interval
    tokens_per_success: Interval
    cached_share: Interval
    notes: float | None = None
    rejected_notes: float | None = None
    decision_seconds: Interval
    episode_seconds: Interval


class PairedDifference(Record):
    """Success of an arm minus that of another, on the (task, trial) pairs that both have a verdict on.

    ``p`` is of the sign-flip test over tasks, below 0.05 exactly where the interval of ``estimate`` excludes 0;
    ``p_holm`` is corrected over the arms compared with
    the same other one. ``mcnemar_p`` is given for one trial per task only: trials of a task are not
    independent. ``detectable`` is the smallest true difference that 80 % of such comparisons find at 0.05, above 1
    where so few tasks find none, ``detectable_holm`` at the level that Holm's correction asks of the smallest p;
    ``cohens_h`` is the effect size of the two rates on these pairs. The last two are None in files of before.
    """

    versus: str
    estimate: Interval
    p: float | None
    p_holm: float | None = None
    only_ours: int
    only_theirs: int
    mcnemar_p: float | None = None
    detectable: float | None = None
    detectable_holm: float | None = None
    cohens_h: float | None = None
    overhead: Interval
    """Tokens over the other arm's, minus 1, on the same pairs."""

    @property
    def clear(self) -> bool:
        """True if the corrected test is below 0.05."""
        p = self.p if self.p_holm is None else self.p_holm
        return p is not None and p < 0.05


@dataclass(frozen=True)
class Resampling:
    """Settings of the bootstrap; the same seed gives every arm the same resamples of tasks."""

    seed: int = 0
    draws: int = 2000

    def weights(self, tasks: int) -> Array:
        """Return the resamples for that many tasks."""
        return task_weights(tasks, self.draws, self.seed)


def measure_arm(scores: Sequence[Score], tasks: Sequence[str], resampling: Resampling) -> Measures:
    """Measure one arm over ``tasks``, whose order fixes the resamples."""
    weights = resampling.weights(len(tasks))
    sums = _TaskSums(scores, tasks)
    verdicts = task_trials(scores)
    scored = [score for score in scores if score.scored]
    errors: dict[str, int] = {}
    for score in scores:
        if not score.scored:
            boundary = score.boundary or "unknown"
            errors[boundary] = errors.get(boundary, 0) + 1
    most = max((counts.trials for counts in verdicts.values()), default=0)
    rates = [pass_k(verdicts, k) for k in range(1, most + 1)]
    estimates = pass_k_intervals([np.array(list(r.per_task.values())) for r in rates], len(scored))
    passes = tuple(
        PassEstimate(k=r.k, estimate=estimate, short=r.short) for r, estimate in zip(rates, estimates, strict=True)
    )
    n = sums.of(lambda _: 1.0)
    return Measures(
        tasks=len({score.task_id for score in scores}),
        trials=most,
        episodes=len(scores),
        successes=sum(score.success for score in scored),
        failures=sum(not score.success for score in scored),
        errors=errors,
        user_faults=errors.get("user", 0),
        success=passes[0].estimate if passes else Interval(None, None, None, 0),
        pass_k=passes,
        tokens=ratio_interval(sums.of(lambda s: amount(s.tokens.total)), n, weights),
        new_tokens=ratio_interval(sums.of(lambda s: amount(s.tokens.new)), n, weights),
        tokens_by_role={role: known_mean([getattr(s.tokens, role) for s in scored]) for role in ROLES}
        if scored
        else {},
        output_tokens=ratio_interval(sums.of(lambda s: amount(s.tokens.output)), n, weights),
        tokens_per_success=price_interval(
            sums.of(lambda s: amount(s.tokens.total)), sums.of(lambda s: s.success), weights
        ),
        cached_share=ratio_interval(
            sums.of(lambda s: amount(s.tokens.from_cache)), sums.of(lambda s: amount(s.tokens.charged_input)), weights
        ),
        notes=known_mean([s.notes for s in scored]),
        rejected_notes=known_mean([s.rejected for s in scored]),
        decision_seconds=ratio_interval(
            sums.of(lambda s: amount(s.selection_seconds)), sums.of(lambda s: s.decisions), weights
        ),
        episode_seconds=ratio_interval(sums.of(lambda s: amount(s.seconds)), n, weights),
    )


def compare_pair(
    ours: Sequence[Score],
    theirs: Sequence[Score],
    versus: str,
    tasks: Sequence[str],
    resampling: Resampling,
    family: int = 1,
) -> PairedDifference:
    """Return the paired difference of two arms on the pairs of task and trial that both have a verdict on.

    ``family`` is the number of tests that Holm's correction is over.
    """
    left, right = _by_pair(ours), _by_pair(theirs)
    shared = sorted(left.keys() & right.keys())
    mine, other = [left[pair] for pair in shared], [right[pair] for pair in shared]
    weights = resampling.weights(len(tasks))
    rates = [_rates(side, tasks) for side in (mine, other)]
    differences = rates[0] - rates[1]
    paired = paired_estimate(differences, resampling.seed)
    known = differences[~np.isnan(differences)]
    trials = max(Counter(pair.task_id for pair in shared).values(), default=1)
    wins = sum(left[pair].success and not right[pair].success for pair in shared)
    losses = sum(right[pair].success and not left[pair].success for pair in shared)
    costs = [task_means(side, tasks, lambda s: amount(s.tokens.total)) for side in (mine, other)]
    ratio = ratio_interval(costs[0], costs[1], weights)
    return PairedDifference(
        versus=versus,
        estimate=paired.interval,
        p=paired.p,
        only_ours=wins,
        only_theirs=losses,
        mcnemar_p=mcnemar_exact(wins, losses) if shared and len(known) == len(shared) else None,
        detectable=_detectable(known, trials),
        detectable_holm=_detectable(known, trials, 0.05 / family),
        cohens_h=cohens_h(*(float(np.nanmean(side)) for side in rates)) if len(known) else None,
        overhead=shift(ratio, -1.0),
    )


def task_trials(scores: Sequence[Score]) -> dict[str, TaskTrials]:
    """Count the scored trials and successes of every task; a task with errors only has 0 trials."""
    counts: dict[str, list[int]] = {}
    for score in scores:
        both = counts.setdefault(score.task_id, [0, 0])
        both[0] += score.scored
        both[1] += score.success
    return {task: TaskTrials(trials, successes) for task, (trials, successes) in counts.items()}


def shift(estimate: Interval, by: float) -> Interval:
    """Return the interval moved by a constant."""
    moved = [None if x is None else x + by for x in (estimate.value, estimate.low, estimate.high)]
    return Interval(moved[0], moved[1], moved[2], estimate.n)


class _TaskSums:
    """Sums over the scored episodes of each task, in the order of ``tasks``."""

    def __init__(self, scores: Sequence[Score], tasks: Sequence[str]) -> None:
        place = {task: index for index, task in enumerate(tasks)}
        self._scores = [score for score in scores if score.scored]
        self._index = np.array([place[score.task_id] for score in self._scores], dtype=np.intp)
        self._size = len(tasks)

    def of(self, value: Callable[[Score], float]) -> Array:
        values = np.array([float(value(score)) for score in self._scores])
        return np.bincount(self._index, weights=values, minlength=self._size).astype(np.float64)


def _rates(scores: Sequence[Score], tasks: Sequence[str]) -> Array:
    sums = _TaskSums(scores, tasks)
    n = sums.of(lambda _: 1.0)
    with np.errstate(invalid="ignore"):
        return sums.of(lambda s: s.success) / n


def task_means(scores: Sequence[Score], tasks: Sequence[str], value: Callable[[Score], float]) -> Array:
    """Return the mean of a value over every task's scored episodes, shape [tasks]; 0 for a task without any."""
    sums = _TaskSums(scores, tasks)
    n = sums.of(lambda _: 1.0)
    return sums.of(value) / np.maximum(n, 1.0)


def _by_pair(scores: Sequence[Score]) -> dict[EpisodeKey, Score]:
    return {score.key.pair: score for score in scores if score.scored}


def _detectable(differences: Array, trials: int, alpha: float = 0.05) -> float | None:
    n = len(differences)
    return detectable_effect(spread_of(differences.tolist()), n, alpha, trials) if n > 1 else None
