"""Randomised designs: which subsets are drawn for a task, and with what exact probability."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fama.episodes.keys import EpisodeKey
from fama.episodes.outcome_table import OutcomeRow
from fama.errors import BadInput
from fama.subsets import in_pool_order, refuse_excluded, subsets_of_size


class WeightedSubset(NamedTuple):
    """A subset and the probability that it is among those drawn for a task and trial."""

    subset: tuple[str, ...]
    propensity: float


def design(pool: Sequence[str], subsets: Sequence[Sequence[str]] | None, draws: int) -> tuple[WeightedSubset, ...]:
    """Return the candidates of ``draws`` distinct subsets per task and trial.

    With ``subsets`` each of them is equally likely; without, every size is, and within a size every
    subset (so ``none`` and the full pool are seen as often as all pairs together). Members that exclude each
    other are in no subset together. A subset whose share would exceed 1 is always drawn. More draws than subsets
    take each once.

    Raises:
        BadInput: no draw, an unknown helper, a subset with two forms of a helper, or one given twice.
    """
    if draws < 1:
        raise BadInput(f"per_task: {draws} subsets per task and trial; give at least 1")
    if subsets is None:
        if len(pool) > 12:
            raise BadInput(f"subsets: a pool of {len(pool)} helpers has too many subsets; list those to draw from")
        weighted = [
            (subset, 1 / len(of_size))
            for size in range(len(pool) + 1)
            for of_size in [subsets_of_size(pool, size)]
            for subset in of_size
        ]
    else:
        weighted = [(_checked(subset, pool), 1.0) for subset in subsets]
        if not weighted or len({subset for subset, _ in weighted}) < len(weighted):
            raise BadInput("subsets: none given, or one given twice (order does not matter); list each subset once")
    chances = _inclusion([weight for _, weight in weighted], min(draws, len(weighted)))
    return tuple(WeightedSubset(subset, chance) for (subset, _), chance in zip(weighted, chances, strict=True))


def draw_subsets(candidates: Sequence[WeightedSubset], rng: random.Random) -> list[WeightedSubset]:
    """Return a sample of distinct candidates, each with its own propensity, in random order.

    Systematic sampling in random order (Madow 1949): the candidates' propensities lie end to end on
    a line, and every candidate that holds u, u+1, u+2, … is drawn.
    """
    order = rng.sample(list(candidates), len(candidates))
    size, point, end = draws_of(candidates), rng.random(), 0.0
    taken: list[WeightedSubset] = []
    for index, candidate in enumerate(order):
        end = size if index == len(order) - 1 else end + candidate.propensity
        if point < end:
            taken.append(candidate)
            point += 1
    rng.shuffle(taken)
    return taken


def draws_of(candidates: Sequence[WeightedSubset]) -> int:
    """Return how many subsets are drawn for each task and trial."""
    return round(sum(candidate.propensity for candidate in candidates))


def as_executed(
    rows: Sequence[OutcomeRow], draws: int, executed: Mapping[EpisodeKey, int] | None = None
) -> list[OutcomeRow]:
    """Return the rows with the probability that their subset was executed, not only drawn.

    Where m of the ``draws`` of a task and trial were executed, as in an interrupted table, it is m / draws of that of
    being drawn: draws stand in random order, so that the first m are a sample of them. ``executed`` counts them, also
    those without a row, such as those that a budget cut, which are no such sample; None counts the rows.
    """
    counts = Counter(row.key for row in rows) if executed is None else executed
    return [
        row
        if row.propensity is None or counts[row.key] >= draws
        else row.model_copy(update={"propensity": row.propensity * counts[row.key] / draws})
        for row in rows
    ]


def _inclusion(weights: Sequence[float], draws: int) -> list[float]:
    """Return inclusion probabilities in proportion to the weights, at most 1, that sum to ``draws``."""
    sure: set[int] = set()
    while True:
        rest = sum(weight for index, weight in enumerate(weights) if index not in sure)
        share = (draws - len(sure)) / rest if rest else 0.0
        over = {i for i, weight in enumerate(weights) if i not in sure and weight * share >= 1 - 1e-12}
        if not over:
            return [1.0 if i in sure else weight * share for i, weight in enumerate(weights)]
        sure |= over


def _checked(subset: Sequence[str], pool: Sequence[str]) -> tuple[str, ...]:
    for name in subset:
        if name not in pool:
            raise BadInput(f"subsets: helper {name!r} is not in the pool; known: {', '.join(pool) or 'none'}")
    refuse_excluded(subset, "subsets")
    return in_pool_order(subset, pool)
