"""The prior router: the success of every executed subset and the rate of every label, domain by domain."""

from collections.abc import Sequence

import numpy as np

from fama.selection.decision_rule import Floats
from fama.selection.router.kinds.label_heads import logit
from fama.selection.router.kinds.prior import PriorPredictor, frame_of
from fama.selection.router.manifest import PriorShape
from training.data.examples import Example
from training.kinds.base import FitTask, FittedArrays, HeadFit, RouterTrainer, Trained
from training.kinds.context_free import OutcomeArrays, fit_context_free, fit_success_heads
from training.kinds.label_arrays import LabelArrays
from training.kinds.state_vectors import Rows, tune
from training.settings import TrainSettings


class PriorTrainer(RouterTrainer):
    """Counts rates per domain; their shrinkage to all domains by cross-validation over tasks."""

    groups = frozenset({"prior"})

    def fit(self, task: FitTask) -> Trained:
        """Fit the context-free model, then the rates per domain."""
        settings, train = task.settings, task.split.train
        context_free = fit_context_free(OutcomeArrays(train, settings.losses)) if task.with_outcomes else None
        frames = frames_of(train)
        outcomes = fit_outcomes(settings, train, frames) if task.with_outcomes else None
        labels = fit_labels(settings, LabelArrays(train), frames) if task.with_labels else None
        strength = outcomes.strength if outcomes is not None else 0.0
        shape = PriorShape(frames=frames, strength=strength, decay=settings.prior.decay)
        draft = Trained(arrays={}, context_free=context_free, labelled=task.with_labels, prior=shape)
        return draft.with_heads(outcomes, labels)


def frames_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """Return the domains of the examples, by their policy and tools, sorted."""
    return tuple(sorted({frame_of(features) for features in {example.features for example in examples}}))


def fit_outcomes(settings: TrainSettings, examples: Sequence[Example], frames: Sequence[str]) -> HeadFit:
    """Choose the strength for outcomes, and store the executed cells."""
    data = OutcomeArrays(examples, settings.losses)
    helpers = data.masks.shape[1]
    frame = np.array([frames.index(frame_of(example.features)) for example in data.examples])

    def held_out(strength: float, train: Rows) -> Floats:
        arrays = _cells(data, frame, train) | {"population": fit_success_heads(data, train).astype(np.float32)}
        prior = PriorPredictor(
            PriorShape(frames=tuple(frames), strength=strength, decay=settings.prior.decay), arrays, helpers
        )
        logits = [prior.of_frame(int(frame[row]))(data.masks[row : row + 1]).logit[0] for row in np.flatnonzero(~train)]
        return np.array(logits)

    options = sorted(settings.prior.strengths)[::-1]
    folds = settings.prior.folds
    strength, tried = tune(options, held_out, data.success, data.tasks, folds, settings.seed, weights=data.shares)
    arrays = _cells(data, frame, np.ones(len(frame), dtype=np.bool_))
    arrays |= {"population": fit_context_free(data).astype(np.float32)}
    return HeadFit(arrays, tried, strength=strength)


def _cells(data: OutcomeArrays, frame: np.ndarray[tuple[int], np.dtype[np.int64]], rows: Rows) -> FittedArrays:
    groups: dict[tuple[int, bytes], list[int]] = {}
    for row in np.flatnonzero(rows):
        groups.setdefault((int(frame[row]), data.masks[row].tobytes()), []).append(int(row))
    cells = [(key[0], members) for key, members in sorted(groups.items())]
    known = ~np.isnan(data.log_tokens)
    tokens = [_mean(np.nan_to_num(data.log_tokens[rows]), data.shares[rows] * known[rows]) for _, rows in cells]
    return {
        "cell_frame": np.array([place for place, _ in cells], dtype=np.float32),
        "cell_masks": np.array([data.masks[members[0]] for _, members in cells], dtype=np.float32),
        "cell_rows": np.array([data.shares[members].sum() for _, members in cells], dtype=np.float32),
        "cell_success": np.array([_mean(data.success[at], data.shares[at]) for _, at in cells], dtype=np.float32),
        "cell_log_tokens": np.array(tokens, dtype=np.float32),
    }


def _mean(values: Floats, weights: Floats) -> float:
    """Return the weighted mean; NaN where nothing weighs anything."""
    return float((values * weights).sum() / weights.sum()) if weights.any() else np.nan


def fit_labels(settings: TrainSettings, data: LabelArrays, frames: Sequence[str]) -> HeadFit:
    """Choose the strength for labels, and store the rates per domain."""
    frame = np.array([frames.index(frame_of(example.features)) for example in data.examples])

    def logits(strength: float, rows: Rows) -> Floats:
        pooled = data.rates(rows)
        rates = np.tile(pooled, (len(frames) + 1, 1))
        for place in set(frame[rows].tolist()):
            here = rows & (frame == place)
            rates[place] = (data.counts(here) + strength * pooled) / (data.weights[here].sum() + strength)
        return logit(rates)

    def held_out(strength: float, train: Rows) -> Floats:
        rows: Floats = logits(strength, train)[frame[~train]]
        return rows

    options = sorted(settings.prior.strengths)[::-1]
    folds = settings.prior.folds
    strength, tried = tune(options, held_out, data.flags, data.tasks, folds, settings.seed, weights=data.weights)
    everything = np.ones(len(data.flags), dtype=np.bool_)
    return HeadFit({"label_prior": logits(strength, everything).astype(np.float32)}, tried, strength=strength)
