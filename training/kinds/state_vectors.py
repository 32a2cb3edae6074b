"""What the routers without a network share: state vectors, and the choice of a setting by folds over tasks."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fama.randomness import derive_seed
from fama.selection.decision import Floats
from fama.selection.router.checkpoint import Array
from fama.selection.router.features import Features
from fama.selection.router.vectors import RawVectors, StateVectors
from training.data.examples import Example
from training.metrics import log_loss
from training.settings import TrainSettings

Arrays = dict[str, Array]
Rows = NDArray[np.bool_]
S = TypeVar("S")
Loss = Callable[[Floats, Floats], Floats]


class FittedVectors:
    """State vectors fitted on training states: ``states`` (m, k + E), distinct ones, and where each example's is."""

    def __init__(self, raw: RawVectors, settings: TrainSettings, examples: Sequence[Example], whiten: bool) -> None:
        states = list(dict.fromkeys(example.features for example in examples))
        self.arrays = _projection(raw, states, settings.vectors.components, settings.seed, whiten)
        self.vectors = StateVectors(raw, self.arrays)
        self.states: Floats = np.stack([self.vectors(state) for state in states])
        self._place = {state: i for i, state in enumerate(states)}

    def places(self, examples: Sequence[Example]) -> NDArray[np.int64]:
        """Row of ``states`` of every example, shape (n,)."""
        return np.array([self._place[example.features] for example in examples], dtype=np.int64)

    def rows(self, examples: Sequence[Example]) -> Floats:
        """Vector of every example, shape (n, k + E)."""
        found: Floats = self.states[self.places(examples)]
        return found


def _projection(raw: RawVectors, states: Sequence[Features], components: int, seed: int, whiten: bool) -> Arrays:
    from sklearn.decomposition import PCA

    texts = np.stack([raw(state) for state in states])
    evidence = np.array([state.evidence for state in states], dtype=np.float64)
    count = max(1, min(components, len(states) - 1, texts.shape[1]))
    pca = PCA(count, svd_solver="randomized", random_state=derive_seed(seed, "pca") % 2**32).fit(texts)
    spread = np.sqrt(np.maximum(pca.explained_variance_, 1e-12)) if len(states) > 1 else np.ones(count)
    scale = spread if whiten else np.full(count, max(float(np.sqrt((spread**2).sum())), 1e-6))
    deviation = evidence.std(axis=0)
    narrow = 1.0 if whiten else float(np.sqrt(max(int((deviation > 1e-9).sum()), 1)))
    return {
        "text_mean": pca.mean_.astype(np.float32),
        "text_components": pca.components_.astype(np.float32),
        "text_scale": np.maximum(scale, 1e-6).astype(np.float32),
        "evidence_mean": evidence.mean(axis=0).astype(np.float32),
        "evidence_scale": (np.where(deviation > 1e-9, deviation, 1.0) * narrow).astype(np.float32),
    }


def tune(
    options: Sequence[S],
    held_out: Callable[[S, Rows], Floats],
    targets: Floats,
    tasks: Sequence[str],
    folds: int,
    seed: int,
    loss: Loss = log_loss,
) -> tuple[S, dict[str, float]]:
    """The option with the smallest loss over folds of tasks; of equals the first, which is the most shrunken.

    Args:
        options: what to try.
        held_out: predictions of an option that is fitted on the rows of a mask, for the other rows.
        targets: shape (n,) or (n, K); NaN is unknown.
        tasks: the task of every row; a task is never on both sides.
        folds: how many.
        seed: of the folds.
        loss: of predictions and targets, entry by entry.
    """
    count = max(2, min(folds, len(set(tasks))))
    fold_of = {task: derive_seed(seed, "fold", task) for task in set(tasks)}
    ranked = {task: rank % count for rank, task in enumerate(sorted(fold_of, key=lambda t: (fold_of[t], t)))}
    fold = np.array([ranked[task] for task in tasks])
    losses = []
    for option in options:
        predicted = np.zeros(targets.shape)
        for held in range(count):
            if (fold == held).any() and (fold != held).any():
                predicted[fold == held] = held_out(option, fold != held)
        losses.append(float(np.nanmean(loss(predicted, targets))))
    best = int(np.argmin(losses))
    return options[best], {str(option): loss for option, loss in zip(options, losses, strict=True)}
