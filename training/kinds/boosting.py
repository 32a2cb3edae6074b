"""Gradient-boosted trees (LightGBM) on top of the population model: outcome heads, and how trees are grown."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fama.randomness import derive_seed
from fama.selection.decision import Floats
from fama.selection.router.predictors import split_heads
from fama.selection.router.trees import SUCCESS, TOKENS
from training.data.examples import Example
from training.kinds.baselines import population_of
from training.kinds.context_free import OutcomeArrays, fit_population, fit_tokens
from training.kinds.state_vectors import Arrays, FittedVectors, Rows, tune
from training.settings import TrainSettings


class Size(NamedTuple):
    """Trees, and leaves of each."""

    rounds: int
    leaves: int


def sizes(settings: TrainSettings) -> list[Size]:
    """What is tried, the smallest first; no tree at all comes once."""
    options = settings.boosting
    found = {Size(rounds, leaves if rounds else 2) for rounds in options.rounds for leaves in options.leaves}
    return sorted(found)


def largest(settings: TrainSettings, size: Size) -> Size:
    """As many trees of this size as are ever tried: fewer are its first ones."""
    return Size(max(1, *settings.boosting.rounds), size.leaves)


def grow(
    settings: TrainSettings,
    design: Floats,
    target: Floats,
    start: Floats,
    weights: Floats | None,
    size: Size,
    objective: str,
) -> Any:
    """A booster of that size that starts from the scores ``start``; the same on every run, on one thread."""
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


def fit_boosting(
    settings: TrainSettings, examples: Sequence[Example], fitted: FittedVectors
) -> tuple[Arrays, dict[str, str], dict[str, float]]:
    """Arrays and boosters of a boosting router's outcome heads, and the log loss of every number of trees tried."""
    data = OutcomeArrays(examples, settings.losses)
    vectors = fitted.rows(data.examples)
    design = np.concatenate([vectors, data.masks.astype(np.float64)], axis=1)
    options, folds = sizes(settings), settings.boosting.folds
    grown: dict[tuple[str, int, bytes], tuple[Any, Floats]] = {}

    def success(train: Rows, size: Size) -> tuple[Any, Floats]:
        start = split_heads(population_of(data, train), data.masks.shape[1])(data.masks).logit
        arguments = design[train], data.success[train], start[train], data.weights[train]
        return grow(settings, *arguments, size, "binary"), start

    def tokens(train: Rows, size: Size) -> tuple[Any, Floats]:
        start = _log_tokens(data, train)
        known = train & ~np.isnan(data.log_tokens)
        arguments = design[known], data.log_tokens[known], start[known], data.weights[known]
        return grow(settings, *arguments, size, "regression"), start

    def held_out(head: str, size: Size, train: Rows) -> Floats:
        key = head, size.leaves, train.tobytes()
        if key not in grown:
            grown[key] = (success if head == SUCCESS else tokens)(train, largest(settings, size))
        booster, start = grown[key]
        more = booster.predict(design[~train], raw_score=True, num_iteration=size.rounds) if size.rounds else 0.0
        predicted: Floats = start[~train] + more
        return predicted

    best, tried = tune(
        options, lambda size, train: held_out(SUCCESS, size, train), data.success, data.tasks, folds, settings.seed
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
        )
        if best.rounds:
            trees[TOKENS] = tokens(everything, best)[0].model_to_string()
    return {"population": fit_population(data).astype(np.float32)}, trees, tried


def _log_tokens(data: OutcomeArrays, train: Rows) -> Floats:
    """The population's log tokens of every row, fitted on some."""
    members = data.masks.astype(np.float64)
    heads = fit_tokens(members, data, train)
    found: Floats = heads[0] + members @ heads[1:]
    return found
