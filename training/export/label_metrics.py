"""Evaluation of a router on labelled failures: what it chooses, and which category it names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fama.intervals import Interval, clustered_mean
from fama.selection.router.router import Router
from fama.subsets import flagged
from training.data.examples import Example


@dataclass(frozen=True)
class LabelMeasured:
    """Shares of labelled failures, by measure, with 95 % intervals over tasks; empty where there are none."""

    rows: int
    tasks: int
    metrics: dict[str, Interval]


def measure_labels(router: Router, validation: Sequence[Example], train: Sequence[Example]) -> LabelMeasured:
    """Measure the router's choices and categories on labelled failures, beside the commonest of the training ones.

    A failure is addressed where a chosen helper covers one of its primary categories.
    """
    labelled = [example for example in validation if example.coverage is not None and any(example.coverage)]
    named = [example for example in validation if example.categories is not None and any(example.categories)]
    pool, seed = router.manifest.pool, router.manifest.seed
    metrics: dict[str, Interval] = {}
    if labelled:
        tasks = [example.task for example in labelled]
        chosen = [flagged(router.choose(example.features).members, pool) for example in labelled]
        covering = [flagged(example.coverage or (), pool) for example in labelled]
        shared = [len({*a} & {*b}) for a, b in zip(chosen, covering, strict=True)]
        metrics["failures that a chosen helper addresses"] = clustered_mean(
            np.array([float(count > 0) for count in shared]), tasks, seed
        )
        if some := [place for place, subset in enumerate(chosen) if subset]:
            metrics["chosen helpers that address the failure"] = clustered_mean(
                np.array([shared[place] / len(chosen[place]) for place in some]), [tasks[place] for place in some], seed
            )
    counts = np.array([e.categories for e in train if e.categories is not None], dtype=np.float64).sum(axis=0)
    if named and router.labels is not None and np.any(counts):
        tasks = [example.task for example in named]
        true = np.array([example.categories for example in named], dtype=np.float64)
        likeliest = [int(router.categories(example.features).argmax()) for example in named]
        common = int(counts.argmax())
        metrics["the likeliest category is right"] = clustered_mean(true[range(len(named)), likeliest], tasks, seed)
        metrics[f"always {router.manifest.categories[common]}, the commonest of training, is right"] = clustered_mean(
            true[:, common], tasks, seed
        )
    seen = {id(example): example.task for example in (*labelled, *named)}
    return LabelMeasured(len(seen), len(set(seen.values())), metrics)
