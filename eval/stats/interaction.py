"""Arms whose rank differs from task to task: a test within margins, and a choice that other trials judge."""

import random
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fama.intervals import Array
from fama.randomness import generator

#: Trades between two tables of the chain, per task; fewer make the tables more alike and the test weaker.
_TRADES = 2


@dataclass(frozen=True)
class MarginTest:
    """One-sided test of a table of successes against all tables with its margins.

    Attributes:
        seen: Σ likeness · tasks that both arms solve, over pairs of arms.
        expected: The mean of that sum over the tables with these margins.
        p: The share of these tables, the observed one counted in, whose sum is at least as large.
    """

    seen: float
    expected: float
    p: float


def margin_test(solved: Array, likeness: Array, draws: int = 2000) -> MarginTest:
    """Test whether arms that are alike solve the same tasks more often than their quality and the tasks' explain.

    ``solved`` is 0 or 1, [tasks, arms]; ``likeness`` is symmetric, [arms, arms]. Under the null hypothesis the log odds
    of success are a task's plus an arm's (Rasch): given how many arms solve each task and how many tasks each arm
    solves, all tables are then equally likely (Ponocny 2001, doi:10.1007/BF02294444). Tables are drawn by trades of
    what only one of two tasks has (Strona et al. 2014, doi:10.1038/ncomms5114), from the observed table in both
    directions, so that p is exact (Besag and Clifford 1989, doi:10.1093/biomet/76.4.633).

    What depends on the margins alone, such as the number of tasks that any arm solves, tells nothing of this.
    """
    table = np.asarray(solved, dtype=np.float64)
    upper = np.triu(likeness, 1)
    seen = _shared(table, upper)
    rng = generator(0, "margin-test")
    before = rng.randrange(draws + 1)
    sums = [value for steps in (before, draws - before) for value in _chain(table, upper, steps, rng)]
    reached = sum(value >= seen - 1e-9 for value in sums)
    return MarginTest(seen, float(np.mean([seen, *sums])), (1 + reached) / (1 + draws))


def _shared(table: Array, upper: Array) -> float:
    return float((upper * (table.T @ table)).sum())


def _chain(table: Array, upper: Array, steps: int, rng: random.Random) -> list[float]:
    """Return the sums of ``steps`` tables, each some trades away from the one before."""
    table = table.copy()
    solvers = [set(np.flatnonzero(row).tolist()) for row in table]
    tradable = [task for task, arms in enumerate(solvers) if 0 < len(arms) < table.shape[1]]
    sums = []
    for _ in range(steps):
        for _ in range(_TRADES * len(tradable) if len(tradable) > 1 else 0):
            one, other = rng.sample(tradable, 2)
            mine, theirs = solvers[one] - solvers[other], solvers[other] - solvers[one]
            given = set(rng.sample(sorted(mine | theirs), len(mine)))
            solvers[one] = solvers[one] - mine | given
            solvers[other] = solvers[other] - theirs | (mine | theirs) - given
        for task in tradable:
            table[task] = 0.0
            table[task, list(solvers[task])] = 1.0
        sums.append(_shared(table, upper))
    return sums


def choice_gains(solved: Array, base: int) -> Array:
    """Return what choosing each task's arm by half of its trials gains over one arm on the other half, [tasks].

    ``solved`` is 0 or 1, [tasks, arms, trials], at least two trials. The arm with most successes is chosen, ``base``
    where it is among them, else their mean counts; averaged over all halves. The best arm of all trials is
    lucky as well as good; a choice that is judged by other trials is not.
    """
    trials = solved.shape[2]
    gains = []
    for half in combinations(range(trials), trials // 2):
        rest = [trial for trial in range(trials) if trial not in half]
        known, then = solved[:, :, half].mean(2), solved[:, :, rest].mean(2)
        best = known == known.max(1, keepdims=True)
        best[best[:, base]] = np.arange(solved.shape[1]) == base
        gains.append((then * best).sum(1) / best.sum(1) - then[:, base])
    return np.asarray(np.mean(gains, axis=0))
