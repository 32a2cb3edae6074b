"""Agreement of annotators on the same failures: Cohen κ, Fleiss κ, Krippendorff α, confusion, steps."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from eval.annotation.labels import Labels, category_label
from eval.stats.resampling import Resample
from fama.episodes.records import Failure, Record
from fama.errors import BadInput
from fama.intervals import Array, Interval

Codes = npt.NDArray[np.int64]
#: The least α for tentative conclusions (Krippendorff 2004, Content Analysis, p. 241).
TENTATIVE = 0.667
STEPS = (0, 1, 3)
MISSING = -1


class Variable(Record):
    """Agreement on one variable that every annotator labels: a category, the primary one, or the blame.

    ``units`` are failures that at least two annotators label. ``cohen`` is given for two annotators, ``fleiss``
    for three and more, over the ``fleiss_units`` failures that all of them label. ``shares`` is how often each assigns
    a category, of those who label any of these failures.
    """

    name: str
    units: int
    observed: Interval
    alpha: Interval
    cohen: Interval | None = None
    fleiss: Interval | None = None
    fleiss_units: int | None = None
    shares: dict[str, float] = {}


class RaterPair(Record):
    """Two annotators: κ on the primary category, how often their steps agree, and their confusion."""

    raters: tuple[str, str]
    units: int
    cohen: Interval
    steps: dict[int, Interval]
    step_units: int
    confusion: dict[str, dict[str, int]]


class Agreement(Record):
    """Agreement on every variable and of every pair. ``alone`` counts the failures with one annotator only."""

    raters: tuple[str, ...]
    units: int
    tasks: int
    alone: int
    variables: tuple[Variable, ...]
    pairs: tuple[RaterPair, ...]


def agreement(labels: Labels, codes: Sequence[str], draws: int = 2000, seed: int = 0) -> Agreement:
    """Measure agreement by category, on the primary categories together, and on the blame, with 95 % intervals.

    Raises:
        BadInput: no failure is labelled twice.
    """
    raters = tuple(labels)
    known = Counter(unit for rater in raters for unit in labels[rater])
    units = sorted(unit for unit, count in known.items() if count > 1)
    if not units:
        raise BadInput(f"{' and '.join(raters)} label no failure in common; were they given the same episodes?")
    task_of = [next(str(labels[rater][unit].key) for rater in raters if unit in labels[rater]) for unit in units]
    resample = Resample(task_of, draws, seed, "agreement")

    def values(read: Callable[[Failure], str]) -> tuple[Codes, list[str]]:
        rows = [[read(labels[r][u]) if u in labels[r] else None for u in units] for r in raters]
        names = sorted({name for row in rows for name in row if name is not None})
        numbers = {name: number for number, name in enumerate(names)}
        return np.array([[MISSING if x is None else numbers[x] for x in row] for row in rows]), names

    variables = []
    for code in codes:
        matrix, names = values(lambda failure, code=code: "yes" if code in failure.categories else "no")  # type: ignore[misc]
        variable = _variable(code, matrix, max(2, len(names)), resample)
        yes = names.index("yes") if "yes" in names else MISSING - 1
        given = {rater: row[row != MISSING] for rater, row in zip(raters, matrix, strict=True)}
        shares = {rater: float(np.mean(own == yes)) for rater, own in given.items() if len(own)}
        variables.append(variable.model_copy(update={"shares": shares}))
    primary, names = values(_primary)
    variables.append(_variable("primary", primary, len(names), resample))
    blame, blames = values(lambda failure: failure.blame)
    variables.append(_variable("blame", blame, len(blames), resample))
    pairs = tuple(
        _pair(labels, units, (raters[a], raters[b]), primary[[a, b]], names, resample)
        for a, b in combinations(range(len(raters)), 2)
    )
    alone = sum(count == 1 for count in known.values())
    return Agreement(
        raters=raters, units=len(units), tasks=resample.tasks, alone=alone, variables=tuple(variables), pairs=pairs
    )


def krippendorff_alpha(coincidences: Array) -> Array:
    """Return the nominal α of coincidences [..., k, k] (Krippendorff 2004); NaN where only one value was used."""
    total = coincidences.sum(axis=(-2, -1))
    by_value = coincidences.sum(axis=-1)
    agreed = np.trace(coincidences, axis1=-2, axis2=-1)
    chance = (by_value * (by_value - 1)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        disorder = 1 - chance / (total * (total - 1))
        alpha: Array = np.where(disorder > 1e-12, 1 - (1 - agreed / total) / disorder, np.nan)
    return alpha


def cohen_kappa(confusions: Array) -> Array:
    """Return Cohen's κ of confusion matrices [..., k, k] (Cohen 1960); NaN where chance alone explains all."""
    total = confusions.sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.trace(confusions, axis1=-2, axis2=-1) / total
        chance = (confusions.sum(axis=-1) * confusions.sum(axis=-2)).sum(axis=-1) / total**2
        kappa: Array = np.where(1 - chance > 1e-12, (observed - chance) / (1 - chance), np.nan)
    return kappa


def fleiss_kappa(agreed: Array, by_value: Array, units: Array, raters: int) -> Array:
    """Return Fleiss' κ (1971) from sums over units: per-unit agreement [...], value counts [..., k], units [...]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = agreed / units
        chance = ((by_value / (units * raters)[..., None]) ** 2).sum(axis=-1)
        kappa: Array = np.where(1 - chance > 1e-12, (observed - chance) / (1 - chance), np.nan)
    return kappa


def _variable(name: str, matrix: Codes, k: int, resample: Resample) -> Variable:
    """Measure agreement on one variable; ``matrix`` [raters, units] holds values below ``k`` or missing."""
    counts = np.stack([(matrix == value).sum(axis=0) for value in range(k)], axis=1).astype(np.float64)
    answers = counts.sum(axis=1)
    shared = answers > 1
    scale = np.where(shared, 1 / np.maximum(answers - 1, 1), 0.0)
    together = (counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(k)) * scale[:, None, None]
    agreed = np.where(shared, (counts * (counts - 1)).sum(axis=1) / np.maximum(answers * (answers - 1), 1), 0.0)
    raters = len(matrix)
    full = (answers == raters).astype(np.float64)
    return Variable(
        name=name,
        units=int(shared.sum()),
        observed=resample.share(agreed, shared.astype(np.float64)),
        alpha=resample.interval(krippendorff_alpha, together),
        cohen=_cohen(_confusions(matrix, k), resample) if raters == 2 else None,
        fleiss=None
        if raters == 2
        else resample.interval(
            lambda a, b, n: fleiss_kappa(a, b, n, raters), agreed * full, counts * full[:, None], full, of=full
        ),
        fleiss_units=None if raters == 2 else int(full.sum()),
    )


def _pair(
    labels: Labels, units: Sequence[str], raters: tuple[str, str], matrix: Codes, names: list[str], resample: Resample
) -> RaterPair:
    confusions = _confusions(matrix, len(names))
    table = confusions.sum(axis=0).astype(int)
    confusion = {
        row: {column: int(table[a, b]) for b, column in enumerate(names) if table[a, b]}
        for a, row in enumerate(names)
        if table[a].any()
    }
    first, second = (labels[rater] for rater in raters)
    both = [(first[u].step, second[u].step) if u in first and u in second else (None, None) for u in units]
    known = np.array([a is not None and b is not None for a, b in both], dtype=np.float64)
    apart = np.array([abs(a - b) if a is not None and b is not None else np.inf for a, b in both])
    steps = {near: resample.share((apart <= near).astype(np.float64), known) for near in STEPS}
    return RaterPair(
        raters=raters,
        units=int(confusions.sum()),
        cohen=_cohen(confusions, resample),
        steps=steps,
        step_units=int(known.sum()),
        confusion=confusion,
    )


def _cohen(confusions: Array, resample: Resample) -> Interval:
    return resample.interval(cohen_kappa, confusions, of=confusions.sum(axis=(1, 2)))


def _confusions(matrix: Codes, k: int) -> Array:
    """Return the one-hot confusion of two raters by unit, [units, k, k]; zeros where one is silent."""
    confusions = np.zeros((matrix.shape[1], k, k))
    shared = (matrix != MISSING).all(axis=0)
    confusions[np.flatnonzero(shared), matrix[0, shared], matrix[1, shared]] = 1
    return confusions


def _primary(failure: Failure) -> str:
    return category_label(sorted(failure.primary))
