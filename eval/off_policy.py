"""Off-policy value of a selector from logged subsets and propensities: IPS, self-normalised, direct, doubly robust."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fama.episodes.keys import EpisodeKey
from fama.episodes.outcome_table import OutcomeRow
from fama.episodes.records import Record
from fama.errors import BadInput
from fama.intervals import Array, Interval, percentile_interval, task_weights, wilson_interval
from fama.subsets import members_of

#: Fewer matched tasks than this, or propensities below that, and the estimate leans on too few episodes.
MATCHED, SMALL = 20, 0.02
#: Resampled values that differ by no more are equal.
_EQUAL = 1e-9


class OffPolicy(Record):
    """One selector's success rate by four estimators, and how much of the log speaks for it.

    Intervals are over tasks. A value is None where nothing matched, an interval has no ends where the log cannot tell
    how sure the value is.

    ``matched`` tasks hold an executed episode with a verdict of the subset that the selector chooses; ``errors`` counts
    the (task, trial) pairs on which that episode ended in an error, ``unlogged`` those whose chosen subset has no
    episode on any task. ``warning`` is empty when enough tasks match and none is unlogged.
    """

    arm: str
    tasks: int
    matched: int
    errors: int = 0
    unlogged: int = 0
    ips: Interval
    snips: Interval
    direct: Interval
    doubly_robust: Interval
    warning: str = ""


def off_policy(
    arm: str, choices: Mapping[EpisodeKey, str], rows: Sequence[OutcomeRow], draws: int = 2000, seed: int = 0
) -> OffPolicy:
    """Estimate the value of the choices, a subset for every (task, trial) of the table.

    The propensity of a row is the probability that its subset was executed on that task and trial, so the weight of a
    match is its inverse (Horvitz and Thompson 1952; Dudík et al. 2011 for the doubly robust form). The direct
    method predicts a subset's success by its mean over the other tasks, shrunk to the mean of all subsets; every
    resample of tasks fits these means anew.

    A pair whose chosen episode is an error counts for IPS and the doubly robust form neither as a failure nor as a
    pair. Which pairs would be errors is known for the executed episodes only: each takes its weight from the number of
    pairs, where weights are scaled to sum to that number. The direct method predicts for every pair.

    Raises:
        BadInput: a row has no propensity.
    """
    cells: dict[tuple[EpisodeKey, frozenset[str]], OutcomeRow] = {}
    for row in rows:
        if not row.propensity:
            raise BadInput(f"outcome table: episode {row.episode_id} has no propensity; it cannot be weighted")
        cells[row.key, members_of(row.subset)] = row
    chosen = _Chosen.of(choices, cells)
    means = _SubsetMeans(cells, chosen.tasks, chosen.subsets)
    found = _estimates(chosen, means, np.ones((1, len(chosen.tasks))))
    drawn = _estimates(chosen, means, task_weights(len(chosen.tasks), draws, seed, "off-policy"))
    scored = chosen.scored.sum(axis=1)
    n, matched = len(chosen.tasks), int(np.count_nonzero(scored))
    logged = {subset for _, subset in cells}
    unlogged = sum(members_of(subset) not in logged for subset in choices.values())
    effective = float(scored.sum() ** 2 / (scored @ scored)) if matched else 0.0

    def interval(name: str, clusters: int, known: int, size: float, alike: bool = False) -> Interval:
        return _interval(float(found[name][0]), drawn[name], clusters, known, size, alike)

    return OffPolicy(
        arm=arm,
        tasks=n,
        matched=matched,
        errors=chosen.errors,
        unlogged=unlogged,
        ips=interval("ips", n, matched, effective),
        snips=interval("snips", matched, matched, effective),
        direct=interval("direct", n, means.tasks, means.tasks, means.alike),
        doubly_robust=interval("doubly_robust", n, matched, effective, chosen.alike),
        warning="; ".join((*_unlogged(unlogged, len(choices)), *_overlap(matched, n, chosen.least))),
    )


@dataclass(frozen=True)
class _Chosen:
    """Sums of the log over the choices, by task and by the subset that is chosen; shape [tasks, subsets].

    ``pairs`` counts trials, ``scored`` and ``broken`` sum the weights of matches with a verdict and of errors. ``won``
    sums the weights of successes, shape [tasks]. ``least`` is the smallest propensity of a match with a verdict.
    """

    tasks: tuple[str, ...]
    subsets: tuple[frozenset[str], ...]
    pairs: Array
    scored: Array
    broken: Array
    won: Array
    errors: int
    least: float

    @property
    def alike(self) -> bool:
        """Return whether all matches with a verdict have the same one."""
        return min(float(self.won.sum()), float(self.scored.sum() - self.won.sum())) < _EQUAL

    @classmethod
    def of(
        cls, choices: Mapping[EpisodeKey, str], cells: Mapping[tuple[EpisodeKey, frozenset[str]], OutcomeRow]
    ) -> "_Chosen":
        tasks = tuple(sorted({key.task_id for key in choices}))
        subsets = tuple(dict.fromkeys(map(members_of, choices.values())))
        rows, columns = ({one: index for index, one in enumerate(each)} for each in (tasks, subsets))
        pairs, scored, broken = (np.zeros((len(tasks), len(subsets))) for _ in range(3))
        won, errors, least = np.zeros(len(tasks)), 0, 1.0
        for key, subset in choices.items():
            at = rows[key.task_id], columns[members_of(subset)]
            pairs[at] += 1
            found = cells.get((key, members_of(subset)))
            if found is None:
                continue
            weight = 1.0 / float(found.propensity or 1.0)
            if found.success is None:
                broken[at] += weight
                errors += 1
                continue
            scored[at] += weight
            won[at[0]] += weight * found.success
            least = min(least, 1.0 / weight)
        return cls(tasks, subsets, pairs, scored, broken, won, errors, least)


def _estimates(chosen: _Chosen, means: "_SubsetMeans", weights: Array) -> dict[str, Array]:
    """Return the four estimates for every resample, NaN where nothing defines one; ``weights`` has [draws, tasks].

    Every task counts alike, however many trials it has.
    """
    trials = chosen.pairs.sum(axis=1)
    pairs, scored, broken = (each / trials[:, None] for each in (chosen.pairs, chosen.scored, chosen.broken))
    won = weights @ (chosen.won / trials)
    predicted = {name: np.zeros(len(weights)) for name in ("pairs", "scored", "broken")}
    for column, subset in enumerate(chosen.subsets):
        guess = weights * means(subset, weights)
        for name, each in zip(predicted, (pairs, scored, broken), strict=True):
            predicted[name] += guess @ each[:, column]
    n, with_verdict, without = (weights @ each.sum(axis=1) for each in (pairs, scored, broken))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(without > 0, with_verdict / (with_verdict + without), 1.0 if scored.any() else np.nan)
        left = np.where(share > 0, n * share, np.nan)
        unscored = np.where(without > 0, n / (with_verdict + without), 0.0) * predicted["broken"]
        return {
            "ips": won / left,
            "snips": won / np.where(with_verdict > 0, with_verdict, np.nan),
            "direct": predicted["pairs"] / n,
            "doubly_robust": (won + predicted["pairs"] - unscored - predicted["scored"]) / left,
        }


def _interval(value: float, drawn: Array, n: int, known: int, size: float, alike: bool) -> Interval:
    """Return a value with the percentiles of its resamples of ``n`` tasks; without ends where fewer than two are known.

    Where all resamples are equal they say nothing: a value in [0, 1] then has Wilson's interval of the ``known`` tasks
    that speak for it, with the effective ``size``; another one has no ends. Where all that speaks for a predicted value
    is ``alike``, only what is predicted differs between resamples: the interval then holds Wilson's as well.
    """
    if np.isnan(value):
        return Interval(None, None, None, n)
    drawn = drawn[~np.isnan(drawn)]
    spread = known > 1 and np.ptp(drawn) > _EQUAL
    seen = percentile_interval(value, drawn, n) if spread else Interval(value, None, None, n)
    if spread and not alike:
        return seen
    if known < 2 or not (alike or -_EQUAL <= value <= 1 + _EQUAL):
        return Interval(value, None, None, n)
    bounds = wilson_interval(min(1.0, max(0.0, value)), size, known)
    lows, highs = [end for end in (seen.low, bounds.low) if end is not None], [seen.high, bounds.high]
    return Interval(value, min(lows), max(end for end in highs if end is not None), n)


def _unlogged(count: int, pairs: int) -> list[str]:
    """Say that the log cannot tell what some choices are worth: no weight makes up for a subset that is never drawn."""
    if not count:
        return []
    return [
        f"the log has no episode of the subset chosen on {count} of {pairs} tasks and trials: IPS counts them as "
        "failures, self-normalised leaves them out, the others take the mean of all subsets"
    ]


def _overlap(matched: int, tasks: int, least: float) -> list[str]:
    if matched < MATCHED:
        return [f"little overlap: the log has the chosen subset on {matched} of {tasks} tasks"]
    if least < SMALL:
        return [f"a matched subset had propensity {least:.3f}: its episode weighs {1 / least:.0f} times"]
    return []


class _SubsetMeans:
    """Mean success of a subset over the other tasks; two episodes' worth of the overall mean are mixed in.

    ``tasks`` counts those with an episode of one of the ``subsets``, which are ``alike`` where all have one verdict.
    """

    def __init__(
        self,
        cells: Mapping[tuple[EpisodeKey, frozenset[str]], OutcomeRow],
        tasks: Sequence[str],
        subsets: Sequence[frozenset[str]],
    ) -> None:
        place = {task: index for index, task in enumerate(tasks)}
        self._all = np.zeros((2, len(tasks)))
        self._own = {subset: np.zeros((2, len(tasks))) for subset in subsets}
        for (episode, subset), row in cells.items():
            if row.success is None:
                continue
            counts = np.array([float(row.success), 1.0])
            self._all[:, place[episode.task_id]] += counts
            if subset in self._own:
                self._own[subset][:, place[episode.task_id]] += counts
        won, count = (sum(own[part] for own in self._own.values()) for part in (0, 1))
        self.tasks = int(np.count_nonzero(count))
        self.alike = min(float(np.sum(won)), float(np.sum(count) - np.sum(won))) < _EQUAL

    def __call__(self, subset: frozenset[str], weights: Array) -> Array:
        """Return the prediction for every task in every resample, [draws, tasks]."""
        won, n = (_elsewhere(each, weights) for each in self._all)
        prior = np.where(n > 0, won / np.maximum(n, 1.0), 0.5)
        won, n = (_elsewhere(each, weights) for each in self._own[subset])
        found: Array = (won + 2 * prior) / (n + 2)
        return found


def _elsewhere(counts: Array, weights: Array) -> Array:
    """Return the sum of counts over the other tasks of each resample, [draws, tasks]."""
    found: Array = (weights @ counts)[:, None] - weights * counts
    return found
