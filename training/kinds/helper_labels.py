"""Multi-label targets of helpers, and a one-vs-rest logistic regression on them, for kinds that classify helpers.

The labels come from the same examples that the other kinds learn from:

- **Labelled failures**: the helpers that cover the failure's primary categories (``Example.coverage``), and the
  categories themselves.
- **Outcome tables**: per state the helpers of the best executed subset: highest mean success, then fewest mean tokens,
  then fewest helpers; no helper where no subset succeeded. Unknown tokens come after all known ones. A subset that was
  not run in a state is not compared, and a state in which fewer than two were run has no label.
- **Repairs**: the helpers that the minimal repair asks at a decision, none elsewhere (``Example.repairing``, whose
  unknown ones have no label). No outcome is compared here: interventions are too few per decision to rank subsets.

Where failures and outcomes are both learned from, both give labels of helpers; the categories of an outcome row are
unknown and enter no fit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from fama.errors import BadInput
from fama.selection.decision_rule import Floats
from fama.selection.router.features import Features
from fama.selection.router.kinds.label_heads import logit
from fama.settings import Settings
from training.data.examples import Example, Flags
from training.kinds.base import FitTask, HeadFit
from training.kinds.label_arrays import LabelArrays
from training.kinds.state_vectors import Rows, tune
from training.settings import Strength


class HeadOptions(Settings):
    """Settings of the classifiers."""

    strengths: tuple[Strength, ...] = Field(default=(1.0,), min_length=1)
    """Inverse regularisation of the logistic regressions (scikit-learn's C); the best by folds over tasks."""
    folds: int = Field(default=5, ge=2)
    balanced: bool = False
    """Weigh the states with and without a helper alike, for helpers that are rarely needed."""


@dataclass(frozen=True)
class HelperLabels:
    """States with their labels, one row each: flags (n, C + H), NaN where unknown, and weights (n,) of mean 1.

    ``categories`` is C, 0 where no failures are learned from.
    """

    states: tuple[Features, ...]
    tasks: tuple[str, ...]
    flags: Floats
    weights: Floats
    categories: int


def helper_labels(task: FitTask) -> HelperLabels:
    """Return the labels of the training examples.

    Raises:
        BadInput: no example has a label, no label differs between states, or the settings ask for what such a kind
            cannot do.
    """
    settings, train = task.settings, task.split.train
    if settings.guarantee is not None:
        raise BadInput(f"guarantee: a {settings.kind} router predicts no success; set guarantee to null")
    if settings.losses.inverse_propensity:
        raise BadInput(
            f"losses.inverse_propensity: a {settings.kind} router learns from the best subsets; set it to false"
        )
    rows: list[tuple[str, Features, list[float], Flags, float]] = []
    labelled = LabelArrays(train).examples if task.with_labels else []
    count = len(labelled[0].categories or ()) if labelled else 0
    for one in labelled:
        rows.append(
            (one.task, one.features, [float(flag) for flag in one.categories or ()], one.coverage or (), one.weight)
        )
    for one, flags, weight in _from_outcomes(task):
        rows.append((one.task, one.features, [np.nan] * count, flags, weight))
    if not rows:
        raise BadInput(
            "data: no state has a best subset or a repair to learn from; give tables with two subsets per task"
        )
    matrix = np.array([[*categories, *flags] for _, _, categories, flags, _ in rows], dtype=np.float64)
    if (matrix[:, count:] == matrix[0, count:]).all():
        raise BadInput("data: every training state has the same helpers as labels; a classifier needs both, add tasks")
    weights = np.array([weight for *_, weight in rows])
    return HelperLabels(
        tuple(features for _, features, *_ in rows),
        tuple(name for name, *_ in rows),
        matrix,
        weights / weights.mean(),
        count,
    )


def _from_outcomes(task: FitTask) -> Iterable[tuple[Example, Flags, float]]:
    """Yield each state that outcomes or repairs label: one of its examples, its helpers and its mean weight."""
    if not task.with_outcomes:
        return
    states: dict[tuple[str, Features, Flags | None], list[Example]] = {}
    for example in task.split.train:
        if example.subset is not None and example.success is not None:
            states.setdefault((example.task, example.features, example.repairing), []).append(example)
    for (_, _, repairing), rows in states.items():
        repairs = bool(task.settings.data.repairs)
        flags = repairing if repairs else best_subset(rows)
        # an outcome that is a share comes as two rows, so that of repairs each subset counts once
        weight = sum(row.weight for row in rows) / (len({row.subset for row in rows}) if repairs else len(rows))
        if flags is not None and weight:
            yield rows[0], flags, weight


def best_subset(rows: Sequence[Example]) -> Flags | None:
    """Return the flags of the best subset among the rows of one state; None where fewer than two subsets were run."""
    runs: dict[Flags, list[Example]] = {}
    for row in rows:
        if row.subset is not None and row.success is not None:
            runs.setdefault(row.subset, []).append(row)
    if len(runs) < 2:
        return None
    if not any(row.success for row in rows):
        return (False,) * len(next(iter(runs)))

    def rank(subset: Flags) -> tuple[float, float, int, Flags]:
        tokens = [row.tokens for row in runs[subset] if row.tokens is not None]
        weights = [row.weight for row in runs[subset]]
        success = float(np.average([bool(row.success) for row in runs[subset]], weights=weights))
        return -success, float(np.mean(tokens)) if tokens else np.inf, sum(subset), subset

    return min(runs, key=rank)


def fit_heads(design: Any, labels: HelperLabels, options: HeadOptions, seed: int) -> HeadFit:
    """Fit the classifiers on ``design`` (n, V), dense or sparse; their strength by folds over tasks.

    Returns:
        The array ``weight`` (C + H, 1 + V), the intercept first.
    """

    def held_out(strength: float, train: Rows) -> Floats:
        weight = _weights(design, labels, train, strength, options.balanced)
        logits: Floats = weight[:, 0] + design[~train] @ weight[:, 1:].T
        return logits

    tried = sorted(options.strengths)
    strength, losses = tune(tried, held_out, labels.flags, labels.tasks, options.folds, seed, weights=labels.weights)
    everything = np.ones(len(labels.flags), dtype=np.bool_)
    weight = _weights(design, labels, everything, strength, options.balanced)
    return HeadFit({"weight": weight.astype(np.float32)}, losses, strength=strength)


def _weights(design: Any, labels: HelperLabels, train: Rows, strength: float, balanced: bool) -> Floats:
    """Fit the categories on the rows that have them, the helpers on all."""
    parts = []
    for columns in (slice(0, labels.categories), slice(labels.categories, None)):
        flags = labels.flags[:, columns]
        known = train & ~np.isnan(flags).any(axis=1)
        parts.append(one_vs_rest(design[known], flags[known], labels.weights[known], strength, balanced))
    return np.concatenate(parts)


def one_vs_rest(design: Any, flags: Floats, weights: Floats, strength: float, balanced: bool = False) -> Floats:
    """Fit one logistic regression per column of flags (n, K); return the coefficients (K, 1 + V), the intercept first.

    A label that is the same in every row has its smoothed rate as the only coefficient.
    """
    from sklearn.linear_model import LogisticRegression

    heads = np.zeros((flags.shape[1], 1 + design.shape[1]))
    if not len(flags):
        return heads
    heads[:, 0] = logit((weights @ flags + 0.5) / (weights.sum() + 1.0))
    for column in np.flatnonzero(flags.min(axis=0) != flags.max(axis=0)):
        one = LogisticRegression(C=strength, max_iter=2000, class_weight="balanced" if balanced else None)
        one.fit(design, flags[:, column], sample_weight=weights)
        heads[column] = [one.intercept_[0], *one.coef_[0]]
    return heads
