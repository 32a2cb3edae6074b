"""The contract of a router kind in training: settings and examples in, arrays and their description out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from fama.errors import BadInput
from fama.selection.decision_rule import Floats
from fama.selection.router.embedder import Embedder
from fama.selection.router.features import PromptPart
from fama.selection.router.kinds.checks import Arrays, Float32Array
from fama.selection.router.manifest import EncoderShape, KnnShape, NetworkShape, PriorShape, VectorShape
from fama.settings import Settings
from training.data.splits import Split
from training.registry import ROUTER_TRAINERS
from training.settings import TrainSettings

FittedArrays = dict[str, Float32Array]


@dataclass(frozen=True)
class FitTask:
    """The data of one training and where it runs.

    ``hidden`` are parts of the state that the examples do not show. ``work`` is a folder for logs and for the state
    that ``ckpt`` (``last`` or a path) resumes. ``embedder`` may hold vectors of earlier trainings on the same frozen
    encoder.
    """

    settings: TrainSettings
    split: Split
    work: Path
    hidden: tuple[PromptPart, ...] = ()
    ckpt: str | None = None
    embedder: Embedder | None = None

    @property
    def with_outcomes(self) -> bool:
        """Outcomes are learned."""
        return bool(self.settings.losses.outcome or self.settings.losses.decision)

    @property
    def with_labels(self) -> bool:
        """Labelled failures are learned."""
        return bool(self.settings.losses.coverage or self.settings.losses.categories)


@dataclass(frozen=True)
class HeadFit:
    """Fitted heads for outcomes or for labels.

    ``tried`` has the cross-validated loss of every setting, ``shape`` describes the arrays of nearest neighbours,
    ``strength`` is the chosen shrinkage, ``trees`` are LightGBM models by name.
    """

    arrays: FittedArrays
    tried: dict[str, float]
    shape: KnnShape | None = None
    strength: float = 0.0
    trees: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A fitted router: arrays, files, and the parts of the manifest that describe them.

    ``context_free`` is the model that the card compares with, None where no outcome was learned.
    ``labelled``: it has heads for categories. ``embedder`` has the frozen encoder's vectors of the training texts.
    ``shape`` is for kinds that check it themselves, such as those that are not built in.
    """

    arrays: Arrays
    context_free: Floats | None
    adapter: tuple[Mapping[str, Any], Arrays] | None = None
    encoder: EncoderShape | None = None
    network: NetworkShape | None = None
    vectors: VectorShape | None = None
    knn: KnnShape | None = None
    label_knn: KnnShape | None = None
    prior: PriorShape | None = None
    shape: dict[str, Any] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    labelled: bool = False
    embedder: Embedder | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    def with_heads(self, outcomes: HeadFit | None, labels: HeadFit | None) -> Trained:
        """Return a copy with the arrays of these heads, and their cross-validated losses as notes for the card."""
        arrays, notes = dict(self.arrays), dict(self.notes)
        for heads, loss in ((outcomes, "log loss"), (labels, "log loss of labels")):
            if heads is not None:
                arrays |= heads.arrays
                notes |= {f"cross-validated {loss}, {name}": f"{value:.4f}" for name, value in heads.tried.items()}
        return replace(self, arrays=arrays, notes=notes)


class RouterTrainer(ABC):
    """One kind of router in training. Class attributes: see ``DeclaresTraining``."""

    losses: ClassVar[frozenset[str]] = frozenset({"outcome", "coverage", "categories"})
    resumable: ClassVar[bool] = False
    warm_start: ClassVar[bool] = False
    options: ClassVar[type[Settings] | None] = None
    groups: ClassVar[frozenset[str] | None] = None

    @abstractmethod
    def fit(self, task: FitTask) -> Trained | None:
        """Fit a router; None on every process but the first.

        Raises:
            BadInput: the examples cannot be learned from.
        """

    def frozen_encoder(self, settings: TrainSettings) -> EncoderShape | None:
        """Return the frozen encoder whose vectors are fitted on, so that several trainings can share them."""
        return None

    def quieten(self) -> None:  # noqa: B027 - most kinds have nothing to silence
        """Silence the tips of the libraries that it trains with; called by command lines."""


def trainer_of(kind: str) -> RouterTrainer:
    """Return the trainer of a kind.

    Raises:
        BadInput: the kind is unknown, or its entry is no RouterTrainer.
    """
    trainer = ROUTER_TRAINERS.load(kind)()
    if not isinstance(trainer, RouterTrainer):
        raise BadInput(f"router trainer {kind!r}: {type(trainer).__name__} is no RouterTrainer; subclass it")
    return trainer
