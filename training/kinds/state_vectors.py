"""State vectors of the kinds without a network, and the choice of a setting by folds over tasks."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fama.randomness import derive_seed
from fama.selection.decision_rule import Floats
from fama.selection.router.embedder import Embedder
from fama.selection.router.features import Features, PromptPart, hide
from fama.selection.router.kinds.checks import Float32Array
from fama.selection.router.kinds.state_vectors import RawVectors, StateVectors
from fama.selection.router.manifest import EncoderShape, VectorShape
from training.data.absent import filled
from training.data.examples import Example
from training.kinds.base import FitTask, FittedArrays, RouterTrainer, Trained
from training.kinds.context_free import OutcomeArrays, fit_context_free
from training.prediction_metrics import log_loss
from training.settings import TrainSettings

Rows = NDArray[np.bool_]
S = TypeVar("S")
Loss = Callable[[Floats, Floats], Floats]
#: Domains whose policy and tools stand in for those of states that lack one of them.
_DOMAINS = 32
_POLICY: tuple[PromptPart, ...] = ("policy",)
_TOOLS: tuple[PromptPart, ...] = ("tools",)
#: Texts of which a new embedder keeps vectors.
_TEXTS = 100_000


class FittedVectors:
    """State vectors fitted on training states: ``states`` (m, k + E), distinct ones, and where each example's is."""

    def __init__(self, raw: RawVectors, settings: TrainSettings, examples: Sequence[Example], whiten: bool) -> None:
        states = list(dict.fromkeys(example.features for example in examples))
        projection = _projection(raw, states, settings.vectors.components, settings.seed, whiten)
        self.arrays = projection | _domains(raw, states)
        self.vectors = StateVectors(raw, projection)  # a training state that lacks a part stands for strange ones
        self.states: Floats = np.stack([self.vectors(state) for state in states])
        self._place = {state: i for i, state in enumerate(states)}

    def places(self, examples: Sequence[Example]) -> NDArray[np.int64]:
        """Return the row of ``states`` of every example, shape (n,)."""
        return np.array([self._place[example.features] for example in examples], dtype=np.int64)

    def rows(self, examples: Sequence[Example]) -> Floats:
        """Return the vector of every example, shape (n, k + E)."""
        vectors: Floats = self.states[self.places(examples)]
        return vectors


class VectorTrainer(RouterTrainer):
    """A kind that is fitted on state vectors."""

    def frozen_encoder(self, settings: TrainSettings) -> EncoderShape | None:
        """Return the encoder of the state vectors; None where words are hashed."""
        if settings.vectors.source != "embedding":
            return None
        from training.network.trained_encoder import encoder_shape

        return encoder_shape(settings.encoder, adapted=False)


def fit_vectors(task: FitTask, encoder: EncoderShape | None, whiten: bool = True) -> tuple[FittedVectors, Trained]:
    """Fit state vectors on the training states; return them, and the router so far: these and the context-free model.

    Args:
        task: the training.
        encoder: the frozen encoder; None hashes words.
        whiten: give every component the same spread; False keeps distances.

    Raises:
        BadInput: the training tasks have no outcome, or only successes or failures.
    """
    settings, train = task.settings, task.split.train
    context_free = fit_context_free(OutcomeArrays(train, settings.losses)) if task.with_outcomes else None
    embedder = None
    if encoder is not None:
        embedder = task.embedder or Embedder.load(encoder, entries=_TEXTS)
    wanted = settings.vectors
    shape = VectorShape(source=wanted.source, buckets=wanted.buckets, latest=wanted.latest)
    used = [e for e in train if (task.with_outcomes and e.subset is not None) or e.coverage is not None]
    fitted = FittedVectors(RawVectors(shape, embedder, task.hidden), settings, used, whiten)
    draft = Trained(
        arrays=fitted.arrays,
        context_free=context_free,
        encoder=encoder,
        vectors=shape,
        labelled=task.with_labels,
        embedder=embedder,
    )
    return fitted, draft


def _projection(raw: RawVectors, states: Sequence[Features], components: int, seed: int, whiten: bool) -> FittedArrays:
    from sklearn.decomposition import PCA

    texts = filled(np.stack([raw(state) for state in states]))
    evidence = filled(np.stack([raw.evidence(state) for state in states]))
    count = max(1, min(components, len(states) - 1, texts.shape[1]))
    with np.errstate(invalid="ignore"):  # the share of a variance of 0, where all texts are alike
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


def _domains(raw: RawVectors, states: Sequence[Features]) -> FittedArrays:
    """Return policy, tools and their evidence of the most frequent complete domains; see ``StateVectors``."""
    complete = [state for state in states if not state.lacking]
    counts = Counter(state.frame() for state in complete)
    first = {state.frame(): state for state in reversed(complete)}
    found = [first[frame] for frame, _ in counts.most_common(_DOMAINS)]
    width = len(raw.frame(states[0]))

    def rows(vectors: Iterable[Floats], width: int) -> Float32Array:
        return np.array([*vectors], dtype=np.float32).reshape(-1, width)

    return {
        "domain_frame": rows((raw.frame(state) for state in found), width),
        "domain_policy": rows((raw.frame(hide(state, _TOOLS)) for state in found), width),
        "domain_tools": rows((raw.frame(hide(state, _POLICY)) for state in found), width),
        "domain_evidence": rows((raw.evidence(state) for state in found), len(states[0].evidence)),
    }


def _mean_loss(losses: Floats, weights: Floats) -> float:
    """Return the mean over known entries, rows weighted."""
    share = np.broadcast_to(weights.reshape(-1, *[1] * (losses.ndim - 1)), losses.shape)
    known = ~np.isnan(losses)
    return float((losses[known] * share[known]).sum() / share[known].sum())


def tune(
    options: Sequence[S],
    held_out: Callable[[S, Rows], Floats],
    targets: Floats,
    tasks: Sequence[str],
    folds: int,
    seed: int,
    *,
    weights: Floats,
    loss: Loss = log_loss,
) -> tuple[S, dict[str, float]]:
    """Return the option with the smallest loss over folds of tasks, and the loss of each; of equals the first one.

    Args:
        options: settings to try, the most shrunken first.
        held_out: predictions of an option that is fitted on the rows of a mask, for the other rows.
        targets: shape (n,) or (n, K); NaN is unknown.
        tasks: the task of every row; a task is never on both sides.
        folds: their number.
        seed: of the folds.
        weights: of the rows, shape (n,).
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
        losses.append(_mean_loss(loss(predicted, targets), weights))
    best = int(np.argmin(losses))
    return options[best], {str(option): loss for option, loss in zip(options, losses, strict=True)}
