"""The kinds without a network: one fit each for outcomes and for labels, put together into what a checkpoint stores."""

from collections.abc import Sequence
from dataclasses import replace

from fama.selection.router.embedder import Embedder
from fama.selection.router.manifest import PriorShape, VectorShape
from fama.selection.router.trees import dump_trees
from fama.selection.router.vectors import RawVectors
from training.data.examples import Example
from training.kinds.base import Trained
from training.kinds.baselines import fit_knn, fit_linear
from training.kinds.boosting import fit_boosting
from training.kinds.context_free import OutcomeArrays, fit_population
from training.kinds.label_heads import FITTERS, LabelArrays, fit_prior_labels
from training.kinds.prior import fit_prior, frames_of
from training.kinds.state_vectors import Arrays, FittedVectors
from training.network.encoder import encoder_shape
from training.settings import TrainSettings


def train_baseline(settings: TrainSettings, train: Sequence[Example], embedder: Embedder | None = None) -> Trained:
    """Fit a linear, nearest-neighbour, boosting or prior router.

    Raises:
        BadInput: the training tasks have no outcome, or only successes or failures.
    """
    population = fit_population(OutcomeArrays(train, settings.losses)) if settings.losses.outcome else None
    empty = Trained(arrays={}, population=population, labelled=_with_labels(settings))
    if settings.kind == "prior":
        return _prior(settings, train, empty)
    shape = encoder_shape(settings.encoder, adapted=False) if settings.vectors.source == "embedding" else None
    if shape is None:
        embedder = None
    elif embedder is None:
        embedder = Embedder.load(shape, entries=100_000)
    vectors = VectorShape(source=settings.vectors.source, buckets=settings.vectors.buckets)
    used = [e for e in train if (settings.losses.outcome and e.subset is not None) or e.coverage is not None]
    fitted = FittedVectors(RawVectors(vectors, embedder), settings, used, whiten=settings.kind != "knn")
    empty = replace(empty, arrays=fitted.arrays, encoder=shape, vectors=vectors, embedder=embedder)
    return _on_vectors(settings, train, fitted, empty)


def _on_vectors(settings: TrainSettings, train: Sequence[Example], fitted: FittedVectors, found: Trained) -> Trained:
    arrays = dict(found.arrays)
    notes: dict[str, str] = {}
    trees: dict[str, str] = {}
    knn = label_knn = None
    if settings.losses.outcome:
        if settings.kind == "linear":
            heads, tried = fit_linear(settings, train, fitted)
        elif settings.kind == "knn":
            heads, knn, tried = fit_knn(settings, train, fitted)
        else:
            heads, trees, tried = fit_boosting(settings, train, fitted)
        arrays |= heads
        notes |= _notes(tried, "log loss")
    if _with_labels(settings):
        labels = FITTERS[settings.kind](settings, LabelArrays(train), fitted)
        arrays |= labels.arrays
        trees |= labels.trees
        label_knn = labels.knn
        notes |= _notes(labels.tried, "log loss of labels")
    stored = dump_trees(trees) if settings.kind == "boosting" else None
    return replace(found, arrays=arrays, notes=notes, knn=knn, label_knn=label_knn, trees=stored)


def _prior(settings: TrainSettings, train: Sequence[Example], found: Trained) -> Trained:
    frames = frames_of(train)
    arrays: Arrays = {}
    notes: dict[str, str] = {}
    strength = 0.0
    if settings.losses.outcome:
        arrays, strength, tried = fit_prior(settings, train, frames)
        notes |= _notes(tried, "log loss")
    if _with_labels(settings):
        labels = fit_prior_labels(settings, LabelArrays(train), frames)
        arrays |= labels.arrays
        notes |= _notes(labels.tried, "log loss of labels")
    return replace(
        found,
        arrays=arrays,
        notes=notes,
        prior=PriorShape(frames=frames, strength=strength, decay=settings.prior.decay),
    )


def _with_labels(settings: TrainSettings) -> bool:
    return bool(settings.losses.coverage or settings.losses.categories)


def _notes(tried: dict[str, float], what: str) -> dict[str, str]:
    return {f"cross-validated {what}, {option}": f"{loss:.4f}" for option, loss in tried.items()}
