"""The prior router: success rates per domain; it ignores the conversation.

A domain is known by its policy and tools; a router never reads which task or benchmark it is in.
"""

from collections.abc import Sequence

import numpy as np

from fama.hashing import content_hash
from fama.selection.decision_rule import Floats
from fama.selection.router.features import Features
from fama.selection.router.kinds.base import RouterKind
from fama.selection.router.kinds.checks import Arrays, check_places, check_shapes
from fama.selection.router.kinds.label_heads import LabelPredictor
from fama.selection.router.kinds.neighbourhood import Neighbourhood, residuals
from fama.selection.router.manifest import KnnShape, PriorShape
from fama.selection.router.scores import StateScores, split_heads
from fama.selection.traits import SelectorTraits


class PriorRouter(RouterKind):
    """Rates of success and labels per domain."""

    title = "rates per domain; it ignores the conversation"
    selector = "prior"
    traits = SelectorTraits(setup="checkpoint", lead=4)
    unknown = frozenset({"cell_log_tokens"})

    def outcomes(self) -> "PriorPredictor":
        """Return the predictor of success and tokens."""
        if self._shape().strength <= 0.0:
            raise ValueError("its rates are smoothed by nothing")
        arrays, cells = self.stored.arrays, len(self.stored.arrays["cell_frame"])
        names = ("cell_frame", "cell_rows", "cell_success", "cell_log_tokens")
        check_shapes(arrays, {**dict.fromkeys(names, (cells,)), "cell_masks": (cells, self.stored.helpers)})
        check_places(arrays, "cell_frame", len(self._shape().frames))
        return PriorPredictor(self._shape(), arrays, self.stored.helpers)

    def labels(self) -> LabelPredictor:
        """Return the predictor of categories and coverage."""
        frames, categories = self._shape().frames, len(self.stored.manifest.categories)
        check_shapes(self.stored.arrays, {"label_prior": (len(frames) + 1, categories + self.stored.helpers)})
        return LabelPredictor(PriorLabels(frames, self.stored.arrays), categories)

    def _shape(self) -> PriorShape:
        if self.stored.manifest.prior is None:
            raise ValueError("it describes no domains")
        return self.stored.manifest.prior


def frame_of(features: Features) -> str:
    """Return 16 hex digits that stand for the policy and the tools of a state."""
    return content_hash([(s.kind, s.text) for s in features.segments if s.kind in ("policy", "tool")])[:16]


class PriorPredictor:
    """The success rate of every subset in the state's domain, smoothed over like subsets and to all domains.

    Arrays, one entry per executed (domain, subset): ``cell_frame``, ``cell_masks`` (n, H), ``cell_rows``
    (their weight), ``cell_success`` (mean), ``cell_log_tokens`` (mean, NaN unknown); and ``population`` (O,).
    """

    def __init__(self, shape: PriorShape, arrays: Arrays, helpers: int) -> None:
        self.frames = {name: place for place, name in enumerate(shape.frames)}
        self.shape = KnnShape(neighbours=0, strength=shape.strength, decay=shape.decay)
        self.frame = np.asarray(arrays["cell_frame"]).astype(np.int64)
        self.masks = np.asarray(arrays["cell_masks"]) > 0.5
        self.rows = np.asarray(arrays["cell_rows"], dtype=np.float64)
        self.context_free = split_heads(np.asarray(arrays["population"], dtype=np.float64), helpers)
        self.success_residual, self.token_residual = residuals(
            self.context_free(self.masks), arrays["cell_success"], arrays["cell_log_tokens"]
        )

    def scores(self, features: Features) -> StateScores:
        """Return success logits and log tokens of any subset in this state's domain."""
        return self.of_frame(self.frames.get(frame_of(features), -1))

    def of_frame(self, frame: int) -> StateScores:
        """Return the scores in a domain by its place; −1 is one without training rows."""
        here = self.frame == frame
        return Neighbourhood(
            self.rows[here],
            self.masks[here],
            self.success_residual[here],
            self.token_residual[here],
            self.context_free,
            self.shape,
        )


class PriorLabels:
    """Label logits of the state's domain: ``label_prior`` (domains + 1, C + H), the last for unknown ones."""

    def __init__(self, frames: Sequence[str], arrays: Arrays) -> None:
        self.frames = {name: place for place, name in enumerate(frames)}
        self.logits = np.asarray(arrays["label_prior"], dtype=np.float64)

    def __call__(self, features: Features) -> Floats:
        """Return the logits in this state's domain."""
        row: Floats = self.logits[self.frames.get(frame_of(features), -1)]
        return row
