"""A loaded router and its one decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fama.episodes.state import VisibleState
from fama.selection.base import Allowance
from fama.selection.decision_rule import Choice, Floats, Masks, Objective, Scorer, decide
from fama.selection.router.embedder import Embedder
from fama.selection.router.features import Features, featurise, hide
from fama.selection.router.kinds.label_heads import Categories
from fama.selection.router.manifest import RouterManifest
from fama.selection.router.scores import Predictor, StateScores, calibrated
from fama.selection.router.turn import featurise_turn
from fama.subsets import exclusive_groups


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

    def featurise(self, state: VisibleState) -> Features:
        """Return what the router reads of a state before a decision."""
        turn = self.manifest.cadence == "turn"
        return featurise_turn(state, self.manifest.pool) if turn else featurise(state)

    def raw_scores(self, features: Features) -> StateScores:
        """Return uncalibrated success logits and log tokens of any subset in a state."""
        return self.predictor.scores(self._readable(features))

    def scores(self, features: Features) -> Scorer:
        """Return calibrated P(success) and tokens of any subset in a state."""
        return calibrated(self.raw_scores(features), self.manifest.calibration.temperature)

    def categories(self, features: Features) -> Floats:
        """Return the probability of every failure category in a state, in the taxonomy's order.

        Raises:
            ValueError: it was not trained on failure categories.
        """
        if self.labels is None:
            raise ValueError(f"{self.folder}: not trained on failure categories")
        return self.labels.categories(self._readable(features))

    @cached_property
    def _candidates(self) -> Masks | None:
        return self.manifest.candidate_masks()

    def _readable(self, features: Features) -> Features:
        return hide(features, self.manifest.hidden or ())

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
            self._candidates,
            max_predicted_loss,
            exclusive_groups(self.manifest.pool),
        )
