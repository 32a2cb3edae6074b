"""Before a run: what a paired comparison of so many tasks and trials can find, and what an effect needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from eval.planning.workload import Basis, Contrast
from eval.stats.power import detectable_effect, planned_sd, tasks_needed
from fama.episodes.keys import EpisodeKey
from fama.episodes.outcome_table import OutcomeRow

#: How often two arms end differently on one trial, when nothing is known: tau-bench #57 saw 43 to 64 % of the tasks
#: flip between identical runs.
GUESS = 0.4
TRIALS = (1, 2, 4, 8)
EFFECTS = (0.05, 0.10, 0.15, 0.20)


@dataclass(frozen=True)
class SampleSizePlan:
    """For a number of trials: the smallest true difference found 4 times in 5, and the tasks that effects need."""

    trials: int
    detectable: float | None
    needed: tuple[int, ...]


def plans(
    tasks: int, discordance: float, between: float = 0.0, trials: Sequence[int] = TRIALS, alpha: float = 0.05
) -> list[SampleSizePlan]:
    """Return a plan a number of trials; ``between`` is the part of the discordance that more trials do not lower."""
    found = []
    for k in trials:
        sd = planned_sd(discordance, k, between)
        needed = tuple(tasks_needed(effect, sd, alpha, k) for effect in EFFECTS)
        found.append(SampleSizePlan(k, detectable_effect(sd, tasks, alpha, k), needed))
    return found


class Spread(NamedTuple):
    """Variance of the difference between two arms on one trial, for a plan.

    ``discordance`` is the share of trials where nothing but chance tells the arms apart; ``between`` the variance
    between tasks of their true difference, None where nothing says it. ``source`` says in words what both are of.
    """

    discordance: float
    between: float | None
    source: str


def planned_spread(
    table: Sequence[OutcomeRow], file: str, basis: Basis | None, contrasts: Sequence[Contrast]
) -> Spread:
    """Return the spread of executed subsets of an outcome table, else of logged trials, else a guess.

    The variance between tasks is the largest of logged pairs of strategies, those of the domain before all others.
    """
    measured = discordance_of(table)
    if measured is not None:
        seen = f"pairs of executed subsets on {measured.tasks} task{'s' * (measured.tasks != 1)} in {file}"
        if measured.share:
            return Spread(measured.share, None, f"of {measured.pairs} {seen}")
        # nothing was seen to vary: the most that is still plausible, by the rule of three
        most = f"at most, by the rule of three: none of {measured.pairs} {seen}"
        return Spread(_rule_of_three(measured.tasks), None, most)
    if basis is None:
        return Spread(GUESS, None, "a guess; name an outcome table with outcomes=F to measure it")
    one = basis.workload
    here = [each for each in contrasts if (each.benchmark, each.domain) == (one.benchmark, one.domain)]
    widest = max(here or contrasts, key=lambda each: each.between, default=None)
    solved = one.success.value or 0.0
    if one.discordance is not None:
        varied = one.discordance.value or _rule_of_three(one.discordance.n or 1)
        source = f"as two trials of one arm: {one.pairs} pairs of {basis.words}, which solve {solved:.0%}"
    else:
        varied, source = (
            2 * solved * (1 - solved),
            f"at most, were all tasks alike: {basis.words}, which solve {solved:.0%}",
        )
    return Spread(varied, widest.between if widest else None, source)


class Discordance(NamedTuple):
    """The share of pairs that end differently, the pairs, and the tasks that they are of."""

    share: float
    pairs: int
    tasks: int


def discordance_of(rows: Sequence[OutcomeRow]) -> Discordance | None:
    """Return the share of executed pairs of subsets that end differently on one task and trial.

    Pairs are of one backbone and strategy. None where no task and trial has two executed subsets.
    """
    by_place: dict[EpisodeKey, list[bool]] = {}
    for row in rows:
        if row.success is not None:
            by_place.setdefault(row.key, []).append(bool(row.success))
    pairs = [(place.task, a != b) for place, ends in by_place.items() for a, b in combinations(ends, 2)]
    if not pairs:
        return None
    return Discordance(sum(differ for _, differ in pairs) / len(pairs), len(pairs), len({task for task, _ in pairs}))


def _rule_of_three(tasks: int) -> float:
    """Return the largest plausible share of tasks that vary where none did; pairs of one task tell no more than one."""
    return min(1.0, 3.0 / tasks)
