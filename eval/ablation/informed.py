"""A yardstick on SYNTHETIC tasks: a regression that is told the hidden needs, with the routers' training rows.

Routers have to find the needs in the conversation; what even this row does not reach is for lack of rows, not for lack
of reading.
"""

from collections.abc import Sequence

import numpy as np

from eval.ablation.datasets import Test
from eval.ablation.router_measures import Sums, truth_measures
from fama.selection.decision_rule import Floats, Masks, Objective, SubsetValues, decide
from fama.selection.router.scores import sigmoid
from training.data.examples import Example
from training.data.synthetic import SyntheticTask
from training.kinds.context_free import OutcomeArrays, context_free_design, logistic
from training.settings import TrainSettings

#: The row of the regression that is told the needs, and knows the true tokens.
TOLD = "needs told"


def measure_informed(
    settings: TrainSettings, train: Sequence[Example], learned: Sequence[SyntheticTask], test: Test
) -> dict[str, Sums]:
    """Fit an intercept, helpers and pairs for all tasks, and each again for every need; measure it on the truth."""
    data = OutcomeArrays(train, settings.losses)
    names = sorted({need for task in learned for need in task.needs})
    known = {task.task_id: task for task in (*learned, *test.truth)}
    flags = {task: np.array([need in found.needs for need in names], dtype=np.float64) for task, found in known.items()}
    rows = np.stack([flags[_task(example)] for example in data.examples])
    fit = logistic(_design(data.masks, rows), data)
    decision = settings.decision
    objective = Objective(decision.lam, decision.epsilon)
    chosen = {}
    for example in test.examples:
        task = known[_task(example)]

        def scores(masks: Masks, task: SyntheticTask = task) -> SubsetValues:
            logit = fit[0] + _design(masks, np.tile(flags[task.task_id], (len(masks), 1))) @ fit[1:]
            return SubsetValues(sigmoid(logit), task.scores(masks).tokens)

        chosen[example.features] = decide(scores, data.masks.shape[1], objective).members
    return truth_measures(chosen, test.examples, test.truth, decision.lam, decision.epsilon)


def _design(masks: Masks, flags: Floats) -> Floats:
    context_free = context_free_design(masks)
    subset = np.concatenate([np.ones((len(masks), 1)), context_free], axis=1)
    crossed = (flags[:, :, None] * subset[:, None, :]).reshape(len(masks), -1)
    return np.concatenate([context_free, crossed], axis=1)


def _task(example: Example) -> str:
    return example.task.rpartition("/")[2]
