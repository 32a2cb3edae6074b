"""A yardstick on SYNTHETIC tasks: a regression that is told the hidden needs, with the routers' training rows.

Routers have to find the needs in the conversation; what even this row does not reach is for lack of rows, not for lack
of reading.
"""

from collections.abc import Sequence

import numpy as np

from eval.ablation.data import Test
from eval.ablation.measures import Sums, truth_measures
from fama.selection.decision import Floats, Masks, all_masks, smallest_within
from fama.selection.router.scores import sigmoid
from training.data.examples import Example
from training.data.synthetic import SyntheticTask
from training.kinds.context_free import OutcomeArrays, logistic, population_design
from training.settings import TrainSettings

#: The row of the regression that is told the needs, and knows the true tokens.
TOLD = "needs told"


def told(
    settings: TrainSettings, train: Sequence[Example], learned: Sequence[SyntheticTask], test: Test
) -> dict[str, Sums]:
    """Measures against the truth; an intercept, helpers and pairs for all tasks, and each again for every need."""
    data = OutcomeArrays(train, settings.losses)
    names = sorted({need for task in learned for need in task.needs})
    known = {task.task_id: task for task in (*learned, *test.truth)}
    flags = {task: np.array([need in found.needs for need in names], dtype=np.float64) for task, found in known.items()}
    rows = np.stack([flags[_task(example)] for example in data.examples])
    fit = logistic(_design(data.masks, rows), data)
    masks = all_masks(data.masks.shape[1])
    decision = settings.decision
    chosen = {}
    for example in test.examples:
        task = known[_task(example)]
        logit = fit[0] + _design(masks, np.tile(flags[task.task_id], (len(masks), 1))) @ fit[1:]
        value = sigmoid(logit) - decision.lam * task.tokens / 1000.0
        chosen[example.features] = tuple(masks[smallest_within(masks, value, decision.epsilon)].tolist())
    return truth_measures(chosen, test.examples, test.truth, decision.lam, decision.epsilon)


def _design(masks: Masks, flags: Floats) -> Floats:
    population = population_design(masks)
    subset = np.concatenate([np.ones((len(masks), 1)), population], axis=1)
    crossed = (flags[:, :, None] * subset[:, None, :]).reshape(len(masks), -1)
    return np.concatenate([population, crossed], axis=1)


def _task(example: Example) -> str:
    return example.task.rpartition("/")[2]
