"""The contract of a router kind at inference, and the registry of kinds.

A kind is one class here and one in ``training.kinds``. Other distributions add kinds through the entry-point groups
``fama.router_kinds`` and ``fama.router_trainers``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from fama.registry import Registry
from fama.selection.router.embedder import Embedder
from fama.selection.router.kinds.checks import POPULATION, Arrays
from fama.selection.router.kinds.label_heads import Categories, LabelledPredictor
from fama.selection.router.manifest import RouterManifest
from fama.selection.router.scores import Predictor
from fama.selection.traits import SelectorTraits


@dataclass(frozen=True)
class StoredRouter:
    """The checked content of a checkpoint folder. ``embedder`` is None where the manifest names no encoder."""

    folder: Path
    manifest: RouterManifest
    arrays: Arrays
    embedder: Embedder | None = None

    @property
    def helpers(self) -> int:
        """Return the size of the pool."""
        return len(self.manifest.pool)


class BuiltRouter(NamedTuple):
    """The predictor of subsets, and of categories where the router learned labels."""

    predictor: Predictor
    labels: Categories | None


class RouterKind(ABC):
    """One kind of router, made from what a checkpoint stores.

    Class attributes: ``title`` names the kind on a model card, ``selector`` is the name under which arms ask for it,
    ``traits`` are that selector's, ``files`` are files of its checkpoints beside the arrays, such as boosted trees,
    ``unknown`` are the arrays in which NaN stands for an unknown number; in others it is refused. ``predicts_success``
    False: the scores rank subsets and are no probability of success, so that none is calibrated, measured or reported.
    ``encodes`` True: a state passes through an encoder of the kind's own, which takes longer than milliseconds.
    Methods raise ValueError or KeyError where the checkpoint lacks what the kind needs.
    """

    title: ClassVar[str]
    selector: ClassVar[str]
    traits: ClassVar[SelectorTraits] = SelectorTraits(setup="checkpoint", lead=5)
    files: ClassVar[tuple[str, ...]] = ()
    unknown: ClassVar[frozenset[str]] = frozenset()
    predicts_success: ClassVar[bool] = True
    encodes: ClassVar[bool] = False

    def __init__(self, stored: StoredRouter) -> None:
        self.stored = stored

    @classmethod
    def with_encoder(cls, manifest: RouterManifest, name: str) -> RouterManifest:
        """Return the manifest with the encoder under another name or in another folder, where the kind has one."""
        if manifest.encoder is None:
            return manifest
        return manifest.model_copy(update={"encoder": manifest.encoder.model_copy(update={"name": name})})

    @abstractmethod
    def outcomes(self) -> Predictor:
        """Return the predictor of success and tokens, as trained on outcomes."""

    def labels(self) -> LabelledPredictor:
        """Return the predictor of categories and coverage, as trained on labelled failures."""
        raise ValueError(f"a {self.stored.manifest.kind} router has no heads for labels")

    def build(self) -> BuiltRouter:
        """Return the predictors of this checkpoint; one of labels alone predicts subsets by their coverage."""
        labels = self.labels() if self.stored.manifest.labelled else None
        if POPULATION in self.stored.arrays or not self.predicts_success:
            return BuiltRouter(self.outcomes(), labels)
        if labels is None:
            raise ValueError("it has heads for neither outcomes nor labels")
        return BuiltRouter(labels, labels)


ROUTER_KINDS: Registry[type[RouterKind]] = Registry(
    "router_kinds",
    {
        "encoder": "fama.selection.router.kinds.encoder:EncoderRouter",
        "linear": "fama.selection.router.kinds.linear:LinearRouter",
        "knn": "fama.selection.router.kinds.knn:KnnRouter",
        "boosting": "fama.selection.router.kinds.boosting:BoostingRouter",
        "prior": "fama.selection.router.kinds.prior:PriorRouter",
        "one_vs_rest": "fama.selection.router.kinds.one_vs_rest:OneVsRestRouter",
        "setfit": "fama.selection.router.kinds.setfit:SetfitRouter",
    },
)
