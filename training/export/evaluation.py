"""Evaluation of a router on validation and held-out examples."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fama.intervals import Interval, clustered_mean
from fama.selection.decision_rule import Floats
from fama.selection.router.router import Router
from fama.selection.router.scores import split_heads
from fama.subsets import flagged, subset_label
from training.data.examples import Example
from training.prediction_metrics import brier, log_loss


@dataclass(frozen=True)
class RouterEvaluation:
    """The router on its validation split. ``chosen`` counts states by the chosen subset.

    Rows count by their weight in every measure. ``matched`` is the success of rows whose executed subset is the
    router's choice; None where there is none. Where rows say their propensity (``drawn``), those that do not are left
    out of it, and the others are weighted by 1 / propensity, too.
    """

    rows: int
    tasks: int
    metrics: dict[str, Interval]
    chosen: dict[str, int]
    matched: Interval | None
    matched_rows: int
    drawn: bool


def measure_held_out(
    router: Router, examples: Sequence[Example], context_free: Floats | None, predicts: bool
) -> RouterEvaluation | None:
    """Measure the router on held-out domains and backbones, calibrated elsewhere; None where nothing is held out.

    ``predicts``: it predicts success.
    """
    if not examples:
        return None
    outcomes = [example for example in examples if example.subset is not None and example.success is not None]
    logits = executed_logits(router, outcomes) / router.manifest.calibration.temperature if predicts else None
    return evaluate_router(router, examples, outcomes, logits, context_free)


def executed_logits(router: Router, examples: Sequence[Example]) -> Floats:
    """Return uncalibrated success logits of the executed subsets."""
    return np.array([float(router.raw_scores(e.features)(np.array([e.subset])).logit[0]) for e in examples])


def evaluate_router(
    router: Router,
    validation: Sequence[Example],
    outcomes: Sequence[Example],
    logits: Floats | None,
    context_free: Floats | None,
) -> RouterEvaluation:
    """Measure log loss and Brier score beside the context-free model's, the chosen subsets and their success if run.

    ``logits`` are those of the outcomes' success; None where the router predicts none.
    """
    pool, seed = router.manifest.pool, router.manifest.seed
    choices = {features: router.choose(features).members for features in {e.features for e in validation}}
    names = Counter(subset_label(flagged(members, pool)) for members in choices.values())
    metrics: dict[str, Interval] = {}
    matched = None
    tasks = [example.task for example in outcomes]
    if outcomes and logits is not None:
        success = np.array([float(bool(example.success)) for example in outcomes])
        weights = np.array([example.weight for example in outcomes])
        loss = log_loss(logits, success)
        metrics["log loss"] = clustered_mean(loss, tasks, seed, weights)
        metrics["Brier score"] = clustered_mean(brier(logits, success), tasks, seed, weights)
        if context_free is not None:
            quadratic = split_heads(context_free, len(pool))
            plain = quadratic(np.array([example.subset for example in outcomes])).logit
            other = log_loss(plain, success)
            metrics["log loss of the context-free model"] = clustered_mean(other, tasks, seed, weights)
            metrics["log loss, router − context-free model"] = clustered_mean(loss - other, tasks, seed, weights)
    drawn = any(example.propensity for example in outcomes)
    agreeing = [e for e in outcomes if choices[e.features] == e.subset and (e.propensity or not drawn)]
    if agreeing:
        weights = np.array([example.weight / (example.propensity or 1.0) for example in agreeing])
        reached = np.array([float(bool(example.success)) for example in agreeing])
        matched = clustered_mean(reached, [e.task for e in agreeing], seed, weights)
    rows, chosen = len(outcomes), dict(names.most_common())
    return RouterEvaluation(rows, len(set(tasks)), metrics, chosen, matched, len(agreeing), drawn)
