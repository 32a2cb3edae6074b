"""The selector behind a trained router's checkpoint, of any kind. Loads torch only when it is built."""

import copy
import random
import time
from dataclasses import replace
from pathlib import Path

from fama.errors import BadInput
from fama.selection.base import Allowance, Selection, Selector, SelectorContext, in_pool_order
from fama.selection.budget import helper_cap
from fama.selection.decision import Objective, decide
from fama.selection.router.checkpoint import Router, check_runtime, load_router
from fama.selection.router.scores import calibrated
from fama.selection.router.segments import featurise
from fama.state import VisibleState

_NAMES = {"encoder": "learned", "linear": "linear", "knn": "knn"}


class LearnedSelector:
    """Maximises P(success) − λ · tokens / 1000 as its router predicts them, within the allowance."""

    track = "prospective"

    def __init__(self, router: Router, context: SelectorContext, objective: Objective) -> None:
        self.name = _NAMES[router.manifest.kind]
        self.router = router
        self.objective = objective
        self.order = tuple(context.helpers)
        self.costs = [helper_cap(context.helpers[name]) for name in router.manifest.pool]

    def at(self, lam: float) -> "LearnedSelector":
        """The same router where 1,000 tokens are worth the success probability ``lam``."""
        other = copy.copy(self)
        other.objective = replace(self.objective, lam=lam)
        return other

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Choose for the coming decision; deterministic, spends no LLM token."""
        started = time.perf_counter()
        manifest = self.router.manifest
        scores = self.router.predictor.scores(featurise(state))
        choice = decide(
            calibrated(scores, manifest.calibration.temperature),
            len(manifest.pool),
            self.objective,
            self.costs,
            allowance.tokens,
            manifest.candidate_masks(),
        )
        members = [name for name, flag in zip(manifest.pool, choice.members, strict=True) if flag]
        probabilities = dict(zip(manifest.pool, choice.probabilities, strict=True))
        return Selection(
            subset=in_pool_order(members, self.order),
            probabilities={name: probabilities[name] for name in self.order},
            propensity=1.0,
            seconds=time.perf_counter() - started,
        )


def build(
    context: SelectorContext,
    checkpoint: str | Path | None = None,
    lam: float | None = None,
    epsilon: float | None = None,
    encoder: str | None = None,
    **options: object,
) -> Selector:
    """Load a checkpoint as a selector.

    Args:
        context: the run's pool of helpers.
        checkpoint: folder that ``fama train`` wrote.
        lam: success probability that 1,000 tokens are worth; the checkpoint's own when None.
        epsilon: values that differ by at most this are tied; the checkpoint's own when None.
        encoder: folder or name of the encoder, where it is not to be found under the stored name.
        options: none; an unknown one fails.

    Raises:
        BadInput: an option is missing, unknown or no number, or the checkpoint cannot be used here.
    """
    if options:
        raise BadInput(f"learned: unknown option {sorted(options)[0]!r}; known: checkpoint, encoder, epsilon, lam")
    if not checkpoint:
        raise BadInput("learned: options.checkpoint is missing; give the folder that `fama train` wrote")
    for name, value in (("lam", lam), ("epsilon", epsilon)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
            raise BadInput(f"learned: options.{name} is {value!r}; give a number of at least 0")
    router = load_router(Path(checkpoint), encoder)
    check_runtime(router, tuple(context.helpers))
    manifest = router.manifest
    objective = Objective(
        lam=manifest.lam if lam is None else float(lam),
        epsilon=manifest.epsilon if epsilon is None else float(epsilon),
        softness=manifest.softness,
    )
    return LearnedSelector(router, context, objective)
