"""Annotators against a reference: precision, recall and F1 by category, beside two context-free baselines."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from eval.stats.resampling import Resample
from fama.episodes.records import Failure, Record
from fama.errors import BadInput
from fama.intervals import Array, Interval

What = Literal["primary", "categories"]


class Scored(Record):
    """One category. ``positives`` failures have it in the reference; ``told`` have it by the annotator.

    ``majority`` is the F1 of always naming the reference's most frequent category, ``random`` of naming each category
    with the reference's share, ignoring the failure (expected counts). Both know these shares and nothing else.
    """

    category: str
    positives: int
    told: int
    precision: Interval
    recall: Interval
    f1: Interval
    majority: Interval
    random: Interval


class Against(Record):
    """An annotator against the reference on the ``units`` failures that both label; ``macro`` is the mean F1."""

    labeller: str
    reference: str
    units: int
    tasks: int
    categories: tuple[Scored, ...]
    macro: Interval
    macro_majority: Interval
    macro_random: Interval


#: sums [..., 4, categories] of hits, told, true and units, and the most frequent category → [..., categories]
_Statistic = Callable[[Array, int], Array]


def against(
    labels: Mapping[str, Failure],
    reference: Mapping[str, Failure],
    names: tuple[str, str],
    codes: Sequence[str],
    what: What = "primary",
    draws: int = 2000,
) -> Against:
    """Score the labels of ``names[0]`` against those of ``names[1]``, category by category.

    Intervals are of 95 %, over tasks. A category that the reference never uses has no recall and no F1, and is left out
    of the macro mean.

    Raises:
        BadInput: the two label no failure in common.
    """
    units = sorted(set(labels) & set(reference))
    if not units:
        raise BadInput(f"{names[0]} and {names[1]} label no failure in common; were they given the same episodes?")
    resample = Resample([str(reference[unit].key) for unit in units], draws, 0, "reference")

    def marks(source: Mapping[str, Failure]) -> Array:
        return np.array([[float(code in getattr(source[unit], what)) for code in codes] for unit in units])

    assigned, true = marks(labels), marks(reference)
    counts = np.stack([assigned * true, assigned, true, np.ones_like(true)], axis=1)  # [units, 4, categories]
    common = int(true.sum(axis=0).argmax())
    used = [place for place in range(len(codes)) if true[:, place].any()]

    def of(statistic: _Statistic, place: int) -> Interval:
        return resample.interval(lambda sums: statistic(sums, common)[..., place], counts)

    def mean(statistic: _Statistic) -> Interval:
        return resample.interval(lambda sums: _mean(statistic(sums, common)[..., used]), counts)

    return Against(
        labeller=names[0],
        reference=names[1],
        units=len(units),
        tasks=resample.tasks,
        categories=tuple(
            Scored(
                category=code,
                positives=int(true[:, place].sum()),
                told=int(assigned[:, place].sum()),
                precision=resample.share(counts[:, 0, place], counts[:, 1, place]),
                recall=resample.share(counts[:, 0, place], counts[:, 2, place]),
                f1=of(_f1, place),
                majority=of(_majority, place),
                random=of(_random, place),
            )
            for place, code in enumerate(codes)
        ),
        macro=mean(_f1),
        macro_majority=mean(_majority),
        macro_random=mean(_random),
    )


def _f1(sums: Array, common: int) -> Array:
    return _defined(2 * sums[..., 0, :], sums[..., 1, :] + sums[..., 2, :], sums)


def _majority(sums: Array, common: int) -> Array:
    """Score naming the common category everywhere: its hits are its positives, the others have none."""
    assigned = np.zeros_like(sums[..., 2, :])
    assigned[..., common] = sums[..., 3, common]
    hits = np.where(assigned > 0, sums[..., 2, :], 0.0)
    return _defined(2 * hits, assigned + sums[..., 2, :], sums)


def _random(sums: Array, common: int) -> Array:
    """Score naming a category with its true share: expected hits are n·share², so that F1 is the share."""
    return _defined(sums[..., 2, :], sums[..., 3, :], sums)


def _defined(over: Array, under: Array, sums: Array) -> Array:
    """Return the ratio where the reference has the category at all."""
    return np.where(sums[..., 2, :] > 0, _ratio(over, under), np.nan)


def _ratio(over: Array, under: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(under > 0, over / under, np.nan)


def _mean(values: Array) -> Array:
    """Return the mean over the last axis of what is defined; NaN where nothing is."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))
