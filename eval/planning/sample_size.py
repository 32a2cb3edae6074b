"""Before a run: what a paired comparison of so many tasks and trials can find, and what an effect needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from eval.stats.power import detectable_effect, planned_sd, tasks_needed
from fama.episodes.keys import TaskKey
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


def plans(tasks: int, discordance: float, between: float = 0.0, trials: Sequence[int] = TRIALS) -> list[SampleSizePlan]:
    """Return a plan a number of trials; ``between`` is the part of the discordance that more trials do not lower."""
    found = []
    for k in trials:
        sd = planned_sd(discordance, k, between)
        needed = tuple(tasks_needed(effect, sd) for effect in EFFECTS)
        found.append(SampleSizePlan(k, detectable_effect(sd, tasks), needed))
    return found


def discordance_of(rows: Sequence[OutcomeRow]) -> tuple[float, int] | None:
    """Return the share of executed pairs of subsets that end differently on one task and trial, and the pairs.

    None where no task and trial has two executed subsets.
    """
    by_place: dict[tuple[TaskKey, int], list[bool]] = {}
    for row in rows:
        if row.success is not None:
            by_place.setdefault((row.key.task, row.trial), []).append(bool(row.success))
    pairs = [a != b for ends in by_place.values() for a, b in combinations(ends, 2)]
    return (sum(pairs) / len(pairs), len(pairs)) if pairs else None
