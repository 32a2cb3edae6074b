"""The label heads of routers without a network: categories of failures, and the helpers that cover the primary ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from fama.selection.decision import Floats
from fama.selection.router.label_heads import KnnLabels, logit
from fama.selection.router.manifest import KnnShape
from fama.selection.router.prior import frame_of
from training.data.examples import Example
from training.kinds.boosting import Size, grow, largest, sizes
from training.kinds.state_vectors import Arrays, FittedVectors, Rows, tune
from training.settings import TrainSettings

#: Pseudo-rows of a label's rate, half a row each way: no rate of 0 or 1 from a finite log.
_HALF = 0.5


class LabelArrays:
    """The labelled failures as arrays: flags (n, C + H), the categories first; and their tasks."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = [e for e in examples if e.coverage is not None and e.categories is not None]
        flags = [(*(e.categories or ()), *(e.coverage or ())) for e in self.examples]
        self.flags: Floats = np.array(flags, dtype=np.float64)
        self.tasks = [example.task for example in self.examples]

    def rates(self, rows: Rows | None = None) -> Floats:
        """Smoothed rate of every label on some rows."""
        flags = self.flags if rows is None else self.flags[rows]
        rate: Floats = (flags.sum(axis=0) + _HALF) / (len(flags) + 2 * _HALF)
        return rate


@dataclass(frozen=True)
class LabelFit:
    """What a kind's label heads are stored as. ``tried`` has the cross-validated log loss of every setting."""

    arrays: Arrays
    tried: dict[str, float]
    knn: KnnShape | None = None
    strength: float = 0.0
    trees: dict[str, str] = field(default_factory=dict)


def fit_linear_labels(settings: TrainSettings, data: LabelArrays, fitted: FittedVectors) -> LabelFit:
    """A regularised logistic regression a label."""
    from sklearn.linear_model import LogisticRegression

    vectors = fitted.rows(data.examples)

    def weights(strength: float, rows: Rows) -> Floats:
        found = np.zeros((data.flags.shape[1], 1 + vectors.shape[1]))
        found[:, 0] = logit(data.rates(rows))
        for label, flags in enumerate(data.flags[rows].T):
            if strength and flags.min() != flags.max():
                model = LogisticRegression(C=1.0, max_iter=2000).fit(strength * vectors[rows], flags)
                found[label] = [model.intercept_[0], *(strength * model.coef_[0])]
        return found

    def held_out(strength: float, train: Rows) -> Floats:
        weight = weights(strength, train)
        logits: Floats = weight[:, 0] + vectors[~train] @ weight[:, 1:].T
        return logits

    options = sorted(settings.linear.strengths)
    strength, tried = tune(options, held_out, data.flags, data.tasks, settings.linear.folds, settings.seed)
    everything = np.ones(len(data.flags), dtype=np.bool_)
    return LabelFit({"label_weight": weights(strength, everything).astype(np.float32)}, tried)


def fit_knn_labels(settings: TrainSettings, data: LabelArrays, fitted: FittedVectors) -> LabelFit:
    """Smoothed rates among the nearest labelled states."""
    vectors = fitted.rows(data.examples)
    shapes = [
        KnnShape(neighbours=neighbours, strength=strength, decay=settings.knn.decay)
        for strength, neighbours in product(sorted(settings.knn.strengths)[::-1], sorted(settings.knn.neighbours)[::-1])
    ]

    def arrays_of(rows: Rows) -> Arrays:
        return {
            "label_states": vectors[rows].astype(np.float32),
            "label_flags": data.flags[rows].astype(np.float32),
            "label_rates": data.rates(rows).astype(np.float32),
        }

    def held_out(shape: KnnShape, train: Rows) -> Floats:
        near = KnnLabels(fitted.vectors, arrays_of(train), shape)
        return np.array([near.near(vector) for vector in vectors[~train]])

    shape, tried = tune(shapes, held_out, data.flags, data.tasks, settings.knn.folds, settings.seed)
    return LabelFit(arrays_of(np.ones(len(data.flags), dtype=np.bool_)), tried, knn=shape)


def fit_boosting_labels(settings: TrainSettings, data: LabelArrays, fitted: FittedVectors) -> LabelFit:
    """Trees a label, on top of its rate."""
    vectors = fitted.rows(data.examples)
    grown: dict[tuple[int, bytes], list[Any]] = {}

    def boosters(rows: Rows, size: Size) -> list[Any]:
        start = logit(data.rates(rows))
        return [
            grow(settings, vectors[rows], flags, np.full(len(flags), begin), None, size, "binary")
            if flags.min() != flags.max()
            else None
            for flags, begin in zip(data.flags[rows].T, start, strict=True)
        ]

    def held_out(size: Size, train: Rows) -> Floats:
        logits = np.tile(logit(data.rates(train)), (int((~train).sum()), 1))
        if size.rounds:
            key = size.leaves, train.tobytes()
            if key not in grown:
                grown[key] = boosters(train, largest(settings, size))
            for label, booster in enumerate(grown[key]):
                if booster is not None:
                    logits[:, label] += booster.predict(vectors[~train], raw_score=True, num_iteration=size.rounds)
        return logits

    size, tried = tune(sizes(settings), held_out, data.flags, data.tasks, settings.boosting.folds, settings.seed)
    found = boosters(np.ones(len(data.flags), dtype=np.bool_), size) if size.rounds else []
    trees = {f"label-{place}": one.model_to_string() for place, one in enumerate(found) if one is not None}
    return LabelFit({"label_bias": logit(data.rates()).astype(np.float32)}, tried, trees=trees)


def fit_prior_labels(settings: TrainSettings, data: LabelArrays, frames: Sequence[str]) -> LabelFit:
    """Rates a domain, shrunk to those of all domains."""
    frame = np.array([frames.index(frame_of(example.features)) for example in data.examples])

    def logits(strength: float, rows: Rows) -> Floats:
        pooled = data.rates(rows)
        found = np.tile(pooled, (len(frames) + 1, 1))
        for place in set(frame[rows].tolist()):
            flags = data.flags[rows & (frame == place)]
            found[place] = (flags.sum(axis=0) + strength * pooled) / (len(flags) + strength)
        return logit(found)

    def held_out(strength: float, train: Rows) -> Floats:
        rows: Floats = logits(strength, train)[frame[~train]]
        return rows

    options = sorted(settings.prior.strengths)[::-1]
    strength, tried = tune(options, held_out, data.flags, data.tasks, settings.prior.folds, settings.seed)
    everything = np.ones(len(data.flags), dtype=np.bool_)
    return LabelFit({"label_prior": logits(strength, everything).astype(np.float32)}, tried, strength=strength)


LabelFitter = Callable[[TrainSettings, LabelArrays, FittedVectors], LabelFit]
#: Kinds that read a state vector.
FITTERS: dict[str, LabelFitter] = {
    "linear": fit_linear_labels,
    "knn": fit_knn_labels,
    "boosting": fit_boosting_labels,
}
