"""A loaded router and its one decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fama.selection.base import Allowance
from fama.selection.decision import Choice, Objective, Scorer, decide
from fama.selection.router.embedder import Embedder
from fama.selection.router.features import Features
from fama.selection.router.kinds.label_heads import Categories
from fama.selection.router.manifest import RouterManifest
from fama.selection.router.scores import Predictor, calibrated


@dataclass(frozen=True)
class Router:
    """A loaded checkpoint.

    ``labels`` is None where it was not trained on failure categories, ``embedder`` where it needs no encoder.
    """

    folder: Path
    manifest: RouterManifest
    predictor: Predictor
    labels: Categories | None = None
    embedder: Embedder | None = None

    def scores(self, features: Features) -> Scorer:
        """Return calibrated P(success) and tokens of any subset in a state."""
        return calibrated(self.predictor.scores(features), self.manifest.calibration.temperature)

    def objective(self) -> Objective:
        """Return the checkpoint's own λ, tie tolerance and softness."""
        return Objective(self.manifest.lam, self.manifest.epsilon, self.manifest.softness)

    def choose(
        self,
        features: Features,
        allowance: Allowance | None = None,
        *,
        objective: Objective | None = None,
        costs: Sequence[int] | None = None,
        max_predicted_loss: float | None = None,
    ) -> Choice:
        """Choose a subset in a state, among the checkpoint's candidates. Nothing else turns its scores into a subset.

        Args:
            features: the state, or the whole failed episode that a retrospective router reads.
            allowance: tokens that helpers may still spend; None is unlimited.
            objective: another λ, tie tolerance and softness than the checkpoint's.
            costs: tokens that each helper may spend at most, in pool order; None counts nothing.
            max_predicted_loss: use all helpers where the choice is predicted to lose more success against them than
                this; None never does.
        """
        return decide(
            self.scores(features),
            len(self.manifest.pool),
            objective or self.objective(),
            costs,
            None if allowance is None else allowance.tokens,
            self.manifest.candidate_masks(),
            max_predicted_loss,
        )
