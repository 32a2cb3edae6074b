"""Learn then test (Angelopoulos et al. 2021, arXiv 2110.01052): a threshold with a guarantee, or too few data.

Policies are ordered by the predicted loss that they accept: at threshold t the router's choice stands where its
predicted success is at most t below that of all helpers, else all helpers are used (``max_predicted_loss``). The loss
of a policy is the success of all helpers minus its own, estimated on logged subsets by 1 / propensity: of each task the
mean over trials of the sum over the subsets that were drawn. An episode that ended in an error has no success: with
all helpers it counts as one, with the router's choice as none, so that what is certified holds whatever it would be.
Policies are tested in order at the same level (fixed-sequence testing), each by the empirical Bernstein bound (Maurer
and Pontil 2009, arXiv 0907.3740), which holds for any number of tasks; the last one before the first failure is
certified.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fama.errors import BadInput
from fama.selection.decision_rule import Floats, largest
from fama.selection.router.manifest import Guarantee
from fama.selection.router.router import Router
from fama.subsets import exclusive_groups, join_subset, one_form_each
from training.data.examples import Example
from training.settings import GuaranteeSettings


class Certified(NamedTuple):
    """The index of the last policy that passed and its bound; None where the first one failed."""

    place: int | None
    bound: float | None


def check_all_helpers(rows: Sequence[Example], pool: Sequence[str], tables: Sequence[str]) -> None:
    """Refuse tables without the subset of all helpers: nothing would be lost against it.

    Args:
        rows: all executed subsets.
        pool: the helpers.
        tables: paths of the outcome tables.

    Raises:
        BadInput: names the table.
    """
    everyone = largest(len(pool), exclusive_groups(pool))
    drawn = [row for row in rows if row.propensity]
    for table in sorted({row.table for row in drawn} - {row.table for row in drawn if row.subset == everyone}):
        path = tables[table] if table < len(tables) else "data.outcomes"
        raise BadInput(
            f"guarantee: {path} has no row with all helpers ({join_subset(one_form_each(pool))}) that was drawn at "
            "random, so nothing tells what they reach; add this subset to its `subsets`, or set guarantee to null"
        )


def certify(router: Router, examples: Sequence[Example], settings: GuaranteeSettings) -> Guarantee:
    """Return what these tasks, which nothing was fitted on, certify about a calibrated router."""
    rows = [e for e in examples if e.subset is not None and e.propensity]
    tasks = sorted({example.task for example in rows})
    found = Guarantee(
        epsilon=settings.epsilon,
        confidence=settings.confidence,
        tasks=len(tasks),
        errors=sum(row.success is None for row in rows),
    )
    if len(tasks) < 2:
        return found
    least = min(float(example.propensity or 1.0) for example in rows)
    thresholds = sorted(settings.thresholds)  # the most careful first
    losses = _losses(router, rows, thresholds)
    place = {task: n for n, task in enumerate(tasks)}
    owner = np.array([place[example.task] for example in rows])
    # a design draws several subsets for each trial of a task, each with its own propensity: the sum over them is one
    # estimate, and a task's is the mean over its trials, not over its rows
    trials = {(one.task, one.table, one.strategy, one.backbone, one.trial) for one in rows}
    counts = np.bincount([place[task] for task, *_ in trials], minlength=len(tasks))
    means = np.stack([np.bincount(owner, weights=column) / counts for column in losses.T], axis=1)
    passed = first_passes(means, 2.0 / least, settings.epsilon, 1.0 - settings.confidence)
    if passed.place is None:
        needed = tasks_to_guarantee(float(means[:, -1].var()), 2.0 / least, settings.epsilon, 1.0 - settings.confidence)
        return found.model_copy(update={"needed": needed})
    return found.model_copy(update={"threshold": thresholds[passed.place], "bound": passed.bound})


def first_passes(losses: Floats, width: float, epsilon: float, delta: float) -> Certified:
    """Test policies in a fixed sequence, in the order of the columns.

    Args:
        losses: estimated loss of every policy on every task, shape (tasks, policies), independent over tasks.
        width: largest minus smallest possible loss of a task.
        epsilon: loss that is allowed.
        delta: probability with which a policy that loses more may be certified.
    """
    last = Certified(None, None)
    for place, column in enumerate(losses.T):
        bound = upper_bound(column, width, delta)
        if bound > epsilon:
            break
        last = Certified(place, bound)
    return last


def upper_bound(values: Floats, width: float, delta: float) -> float:
    """Return the empirical Bernstein bound of values within ``width``: above the mean with probability ≥ 1 − δ."""
    count, log = len(values), math.log(2.0 / delta)
    return float(
        values.mean() + math.sqrt(2.0 * values.var(ddof=1) * log / count) + 7.0 * width * log / (3.0 * (count - 1))
    )


def tasks_to_guarantee(variance: float, width: float, epsilon: float, delta: float) -> int:
    """Return the tasks from which a policy without any loss would pass, to one digit or two."""
    log = math.log(2.0 / delta)
    low, high = 2, 10**9
    while low < high:
        middle = (low + high) // 2
        slack = math.sqrt(2.0 * variance * log / middle) + 7.0 * width * log / (3.0 * (middle - 1))
        low, high = (low, middle) if slack <= epsilon else (middle + 1, high)
    digits = 10 ** max(len(str(low)) - 2, 0)
    return int(math.ceil(low / digits) * digits)


def _losses(router: Router, rows: Sequence[Example], thresholds: Sequence[float]) -> Floats:
    """Return the estimated loss of every row at every threshold, shape (rows, thresholds)."""
    everyone = largest(len(router.manifest.pool), exclusive_groups(router.manifest.pool))
    choices = {
        features: [router.choose(features, max_predicted_loss=threshold).members for threshold in thresholds]
        for features in dict.fromkeys(example.features for example in rows)
    }
    losses = np.zeros((len(rows), len(thresholds)))
    for row, example in enumerate(rows):
        weight = 1.0 / float(example.propensity or 1.0)
        theirs = weight * (example.subset == everyone) * (example.success is not False)
        losses[row] = [
            theirs - weight * (example.subset == choice) * bool(example.success) if choice != everyone else 0.0
            for choice in choices[example.features]
        ]
    return losses
