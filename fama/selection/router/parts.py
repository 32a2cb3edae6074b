"""The parts of the routers that are no network, put together from a checkpoint's arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fama.selection.router.embedder import Embedder
from fama.selection.router.label_heads import KnnLabels, LabelLogits, LabelPredictor, linear_labels
from fama.selection.router.manifest import PriorShape, RouterManifest
from fama.selection.router.predictors import KnnPredictor, LinearPredictor, Predictor
from fama.selection.router.prior import PriorLabels, PriorPredictor
from fama.selection.router.trees import BoostingPredictor, TreeLabels
from fama.selection.router.vectors import Arrays, RawVectors, StateVectors

#: The array that every router has that was trained on outcomes.
POPULATION = "population"


@dataclass(frozen=True)
class BaselineParts:
    """What a linear, nearest-neighbour, boosting or prior router is made of."""

    manifest: RouterManifest
    arrays: Arrays
    embedder: Embedder | None
    boosters: Mapping[str, Any]

    def outcomes(self) -> Predictor:
        """Scores of subsets, as trained on outcomes.

        Raises:
            ValueError: the manifest lacks what this kind needs.
            KeyError: an array is missing.
        """
        helpers = len(self.manifest.pool)
        match self.manifest.kind:
            case "linear":
                return LinearPredictor(self._vectors(), self.arrays, helpers)
            case "boosting":
                return BoostingPredictor(self._vectors(), self.arrays, self.boosters, helpers)
            case "prior":
                return PriorPredictor(self._prior(), self.arrays, helpers)
            case _:
                if self.manifest.knn is None:
                    raise ValueError("it describes no neighbourhood")
                return KnnPredictor(self._vectors(), self.arrays, helpers, self.manifest.knn)

    def labels(self) -> LabelPredictor:
        """Categories and coverage, as trained on labelled failures.

        Raises:
            ValueError: the manifest lacks what this kind needs.
            KeyError: an array is missing.
        """
        return LabelPredictor(self._logits(), len(self.manifest.categories))

    def _logits(self) -> LabelLogits:
        match self.manifest.kind:
            case "linear":
                return linear_labels(self._vectors(), self.arrays)
            case "boosting":
                return TreeLabels(self._vectors(), self.arrays, self.boosters)
            case "prior":
                return PriorLabels(self._prior().frames, self.arrays)
            case _:
                if self.manifest.label_knn is None:
                    raise ValueError("it describes no neighbourhood of labels")
                return KnnLabels(self._vectors(), self.arrays, self.manifest.label_knn)

    def _vectors(self) -> StateVectors:
        if self.manifest.vectors is None:
            raise ValueError("it describes no state vectors")
        return StateVectors(RawVectors(self.manifest.vectors, self.embedder), self.arrays)

    def _prior(self) -> PriorShape:
        if self.manifest.prior is None:
            raise ValueError("it describes no domains")
        return self.manifest.prior
