"""The boosting router: gradient-boosted trees (LightGBM) on top of the context-free model and of label rates."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fama.randomness import derive_seed
from fama.selection.decision_rule import Floats
from fama.selection.router.kinds.boosting import SUCCESS, TOKENS, TREES, dump_trees
from fama.selection.router.kinds.label_heads import logit
from fama.selection.router.scores import split_heads
from training.data.examples import Example
from training.kinds.base import FitTask, HeadFit, Trained
from training.kinds.context_free import OutcomeArrays, fit_context_free, fit_success_heads, fit_tokens
from training.kinds.label_arrays import LabelArrays
from training.kinds.state_vectors import FittedVectors, Rows, VectorTrainer, fit_vectors, tune
from training.settings import TrainSettings


class BoostingTrainer(VectorTrainer):
    """Grows trees on state vectors; their number and size by cross-validation over tasks."""

    groups = frozenset({"vectors", "boosting"})

    def fit(self, task: FitTask) -> Trained:
        """Fit state vectors, then grow the trees on them."""
        fitted, draft = fit_vectors(task, self.frozen_encoder(task.settings))
        train = task.split.train
        outcomes = fit_outcomes(task.settings, train, fitted) if task.with_outcomes else None
        labels = fit_labels(task.settings, LabelArrays(train), fitted) if task.with_labels else None
        trees = {name: text for heads in (outcomes, labels) if heads is not None for name, text in heads.trees.items()}
        return replace(draft.with_heads(outcomes, labels), files={TREES: dump_trees(trees)})


class Size(NamedTuple):
    """Trees, and leaves of each."""

    rounds: int
    leaves: int


def sizes(settings: TrainSettings) -> list[Size]:
    """Return the sizes to try, the smallest first; no tree at all comes once."""
    options = settings.boosting
    return sorted({Size(rounds, leaves if rounds else 2) for rounds in options.rounds for leaves in options.leaves})


def largest_trees(settings: TrainSettings, size: Size) -> Size:
    """Return as many trees of this size as are ever tried: fewer are its first ones."""
    return Size(max(1, *settings.boosting.rounds), size.leaves)


def grow(
    settings: TrainSettings,
    design: Floats,
    target: Floats,
    start: Floats,
    weights: Floats,
    size: Size,
    objective: str,
) -> Any:
    """Grow a booster of that size that starts from the scores ``start``; the same on every run, on one thread."""
    import lightgbm

    options = settings.boosting
    data = lightgbm.Dataset(design, target, weight=weights, init_score=start, free_raw_data=True)
    parameters = {
        "objective": objective,
        "learning_rate": options.rate,
        "num_leaves": size.leaves,
        "min_data_in_leaf": options.least,
        "lambda_l2": 1.0,
        "feature_pre_filter": False,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": derive_seed(settings.seed, "boosting") % 2**31,
        "verbosity": -1,
    }
    return lightgbm.train(parameters, data, num_boost_round=size.rounds)


def fit_outcomes(settings: TrainSettings, examples: Sequence[Example], fitted: FittedVectors) -> HeadFit:
    """Grow trees for success and for log tokens, on top of the context-free model."""
    data = OutcomeArrays(examples, settings.losses)
    vectors = fitted.rows(data.examples)
    design = np.concatenate([vectors, data.masks.astype(np.float64)], axis=1)
    options, folds = sizes(settings), settings.boosting.folds
    grown: dict[tuple[str, int, bytes], tuple[Any, Floats]] = {}

    def success(train: Rows, size: Size) -> tuple[Any, Floats]:
        start = split_heads(fit_success_heads(data, train), data.masks.shape[1])(data.masks).logit
        arguments = design[train], data.success[train], start[train], data.weights[train]
        return grow(settings, *arguments, size, "binary"), start

    def tokens(train: Rows, size: Size) -> tuple[Any, Floats]:
        start = _log_tokens(data, train)
        known = train & ~np.isnan(data.log_tokens)
        if not known.any():
            return None, start
        arguments = design[known], data.log_tokens[known], start[known], data.weights[known]
        return grow(settings, *arguments, size, "regression"), start

    def held_out(head: str, size: Size, train: Rows) -> Floats:
        key = head, size.leaves, train.tobytes()
        if key not in grown:
            grown[key] = (success if head == SUCCESS else tokens)(train, largest_trees(settings, size))
        booster, start = grown[key]
        predicted: Floats = start[~train]
        if size.rounds and booster is not None:
            predicted = predicted + booster.predict(design[~train], raw_score=True, num_iteration=size.rounds)
        return predicted

    best, tried = tune(
        options,
        lambda size, train: held_out(SUCCESS, size, train),
        data.success,
        data.tasks,
        folds,
        settings.seed,
        weights=data.shares,
    )
    everything = np.ones(len(data.success), dtype=np.bool_)
    trees = {SUCCESS: success(everything, best)[0].model_to_string()} if best.rounds else {}
    if (~np.isnan(data.log_tokens)).sum() > 2 * settings.boosting.least:
        best, _ = tune(
            options,
            lambda size, train: held_out(TOKENS, size, train),
            data.log_tokens,
            data.tasks,
            folds,
            settings.seed,
            loss=lambda predicted, target: (predicted - target) ** 2,
            weights=data.shares,
        )
        if best.rounds:
            trees[TOKENS] = tokens(everything, best)[0].model_to_string()
    return HeadFit({"population": fit_context_free(data).astype(np.float32)}, tried, trees=trees)


def _log_tokens(data: OutcomeArrays, train: Rows) -> Floats:
    """Return the context-free log tokens of every row, fitted on some."""
    members = data.masks.astype(np.float64)
    heads = fit_tokens(members, data, train)
    log_tokens: Floats = heads[0] + members @ heads[1:]
    return log_tokens


def fit_labels(settings: TrainSettings, data: LabelArrays, fitted: FittedVectors) -> HeadFit:
    """Grow trees per label, on top of its rate."""
    vectors = fitted.rows(data.examples)
    grown: dict[tuple[int, bytes], list[Any]] = {}

    def boosters(rows: Rows, size: Size) -> list[Any]:
        start = logit(data.rates(rows))
        return [
            grow(settings, vectors[rows], flags, np.full(len(flags), begin), data.weights[rows], size, "binary")
            if flags.min() != flags.max()
            else None
            for flags, begin in zip(data.flags[rows].T, start, strict=True)
        ]

    def held_out(size: Size, train: Rows) -> Floats:
        logits = np.tile(logit(data.rates(train)), (int((~train).sum()), 1))
        if size.rounds:
            key = size.leaves, train.tobytes()
            if key not in grown:
                grown[key] = boosters(train, largest_trees(settings, size))
            for label, booster in enumerate(grown[key]):
                if booster is not None:
                    logits[:, label] += booster.predict(vectors[~train], raw_score=True, num_iteration=size.rounds)
        return logits

    folds = settings.boosting.folds
    size, tried = tune(sizes(settings), held_out, data.flags, data.tasks, folds, settings.seed, weights=data.weights)
    final = boosters(np.ones(len(data.flags), dtype=np.bool_), size) if size.rounds else []
    trees = {f"label-{place}": one.model_to_string() for place, one in enumerate(final) if one is not None}
    return HeadFit({"label_bias": logit(data.rates()).astype(np.float32)}, tried, trees=trees)
