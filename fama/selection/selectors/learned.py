"""The selector behind a trained router's checkpoint, of any kind. Loads torch only when it is built."""

import copy
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from fama.episodes.keys import EpisodeKey
from fama.episodes.state import VisibleState
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.helpers.base import on_prefix
from fama.selection.base import Allowance, AnySelector, Selection, SelectorContext
from fama.selection.budget import helper_cap
from fama.selection.decision_rule import Objective
from fama.selection.router.checkpoint import check_runtime, load_router
from fama.selection.router.features import Features
from fama.selection.router.kinds.base import ROUTER_KINDS
from fama.selection.router.retrospective import FailedTask, failed_features, failed_task
from fama.selection.router.router import Router
from fama.selection.traits import SelectorTraits, declare
from fama.settings import Cadence
from fama.subsets import in_pool_order

log = logging.getLogger(__name__)

#: States whose texts are encoded together, fewer than a cache of texts can hold.
_TOGETHER = 64


class RouterSelector:
    """Chooses what a router chooses, within the allowance; ``max_predicted_loss`` is that of ``Router.choose``."""

    def __init__(
        self,
        router: Router,
        context: SelectorContext,
        objective: Objective,
        max_predicted_loss: float | None = None,
    ) -> None:
        self.name = ROUTER_KINDS.load(router.manifest.kind).selector
        self.router = router
        self.objective = objective
        self.max_predicted_loss = max_predicted_loss
        self.order = tuple(context.helpers)
        self._helpers = [context.helpers[name] for name in router.manifest.pool]
        self._request = context.request if any(map(on_prefix, self._helpers)) else None

    def at(self, lam: float) -> Self:
        """Return the same router where 1,000 tokens are worth the success probability ``lam``, without a guarantee."""
        other = copy.copy(self)
        other.objective = replace(self.objective, lam=lam)
        other.max_predicted_loss = None
        return other

    def choose(
        self, features: Features, allowance: Allowance, started: float, state: VisibleState | None = None
    ) -> Selection:
        """Choose by features; deterministic, spends no LLM token. ``started`` is when the choice began.

        Within an allowance, helpers that ask at the end of the agent's request in ``state`` cost that request, too.
        """
        manifest = self.router.manifest
        prefix = 0
        if state is not None and allowance.tokens is not None and self._request is not None:
            prefix = self._request(state).most_tokens()
        choice = self.router.choose(
            features,
            allowance,
            objective=self.objective,
            costs=[helper_cap(helper, prefix) for helper in self._helpers],
            max_predicted_loss=self.max_predicted_loss,
        )
        members = [name for name, flag in zip(manifest.pool, choice.members, strict=True) if flag]
        probabilities = dict(zip(manifest.pool, choice.probabilities, strict=True))
        return Selection(
            subset=in_pool_order(members, self.order),
            probabilities={name: probabilities[name] for name in self.order},
            propensity=1.0,
            seconds=time.perf_counter() - started,
        )


class LearnedSelector(RouterSelector):
    """Reads the visible state."""

    track: str = "prospective"

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Choose for the coming decision."""
        started = time.perf_counter()
        return self.choose(self.router.featurise(state), allowance, started, state)

    def select_many(self, states: Sequence[VisibleState], allowance: Allowance | None = None) -> list[Selection]:
        """Choose in many states; texts that they share, or that wait to be encoded, go through the encoder together."""
        allowance = allowance or Allowance()
        selections: list[Selection] = []
        for start in range(0, len(states), _TOGETHER):
            some = states[start : start + _TOGETHER]
            features = [self.router.featurise(state) for state in some]
            if self.router.embedder is not None:
                texts = {segment.text: None for one in features for segment in one.segments}
                self.router.embedder.embed(list(texts))
            selections += [
                self.choose(one, allowance, time.perf_counter(), state)
                for one, state in zip(features, some, strict=True)
            ]
        return selections


class FailedEpisodeSelector(RouterSelector):
    """Reads the plain agent's failed episode of the task instead; chooses no helper for a task without one."""

    track: str = "retrospective"

    def __init__(
        self,
        router: Router,
        context: SelectorContext,
        objective: Objective,
        max_predicted_loss: float | None,
        failed: Mapping[FailedTask, Features],
    ) -> None:
        super().__init__(router, context, objective, max_predicted_loss)
        self.failed = failed

    async def select_keyed(
        self, key: EpisodeKey, state: VisibleState, allowance: Allowance, rng: random.Random
    ) -> Selection:
        """Choose for running the task again."""
        started = time.perf_counter()
        features = self.failed.get(failed_task(key))
        if features is None:
            return Selection((), dict.fromkeys(self.order, 0.0), seconds=time.perf_counter() - started)
        return self.choose(features, allowance, started, state)


@declare(SelectorTraits(asks_model=False))
def build(
    context: SelectorContext,
    checkpoint: str | Path | None = None,
    lam: float | None = None,
    epsilon: float | None = None,
    encoder: str | None = None,
    guarantee: bool = False,
    taxonomy: str | None = None,
    episodes: str | Path | None = None,
    **options: object,
) -> AnySelector:
    """Load a checkpoint as a selector.

    Args:
        context: the run's pool of helpers.
        checkpoint: folder that ``fama train`` wrote.
        lam: success probability that 1,000 tokens, or of what the checkpoint weighs instead, are worth; the
            checkpoint's own when None.
        epsilon: values that differ by at most this are tied; the checkpoint's own when None.
        encoder: folder or name of the encoder, where it is not to be found under the stored name.
        guarantee: use all helpers where the checkpoint's certified threshold says so; it holds at the checkpoint's own
            λ, for one choice per episode and without a budget.
        taxonomy: the file of the user's own taxonomy that the router was trained with; the shipped one when None.
        episodes: the plain agent's episodes of the tasks, for a router that was trained on whole failed episodes
            (retrospective track).
        options: none; an unknown one fails.

    Raises:
        BadInput: an option is missing, unknown or no number, or the checkpoint cannot be used here.
    """
    if options:
        raise BadInput(
            f"learned: unknown option {sorted(options)[0]!r}; known: checkpoint, encoder, episodes, epsilon, "
            "guarantee, lam, taxonomy"
        )
    if not checkpoint:
        raise BadInput("learned: options.checkpoint is missing; give the folder that `fama train` wrote")
    for name, value in (("lam", lam), ("epsilon", epsilon)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e6
        ):
            raise BadInput(f"learned: options.{name} is {value!r}; give a number from 0 to 1,000,000")
    router = load_router(Path(checkpoint), encoder)
    check_runtime(router, tuple(context.helpers), taxonomy)
    manifest = router.manifest
    if manifest.view == "retrospective" and episodes is None:
        raise BadInput(
            f"{checkpoint}: trained on whole failed episodes, which nobody has before a decision; give the plain "
            "agent's as options.episodes (track: retrospective), or train with data.view=prospective"
        )
    if manifest.view == "prospective" and episodes is not None:
        raise BadInput(
            f"{checkpoint}: reads the state before a decision, no failed episodes; leave options.episodes out, or "
            "train with data.view=retrospective"
        )
    _check_cadence(router, context.cadence)
    own = {name: float(value) for name, value in (("lam", lam), ("epsilon", epsilon)) if value is not None}
    objective = replace(router.objective(), **own)
    max_predicted_loss = _certified_loss(router, lam, epsilon, context.cadence) if guarantee else None
    if episodes is None:
        return LearnedSelector(router, context, objective, max_predicted_loss)
    failed = failed_features(read_episodes(Path(episodes)))
    if not failed:
        raise BadInput(
            f"{episodes}: no failed episode without helpers, so that no task would get one; give the plain agent's as "
            "options.episodes"
        )
    return FailedEpisodeSelector(router, context, objective, max_predicted_loss, failed)


def _check_cadence(router: Router, cadence: Cadence | None) -> None:
    """Refuse a router that weighs the rest of an episode where it would choose for the whole; warn of the reverse."""
    trained = router.manifest.cadence
    if trained == "turn" and cadence == "episode":
        raise BadInput(
            f"{router.folder}: trained to choose before every decision, here it is asked once per episode; set "
            "cadence: turn, or train on an outcome table"
        )
    if trained == "episode" and cadence in ("turn", "change"):
        log.warning("%s: trained on first states of episodes, here it is asked at later ones, too", router.folder)


def _certified_loss(router: Router, lam: float | None, epsilon: float | None, cadence: Cadence | None) -> float:
    """Return the largest predicted loss at which the choice stands under the checkpoint's guarantee."""
    certified, place = router.manifest.guarantee, router.folder
    if certified is None:
        raise BadInput(f"{place}: trained without a guarantee; train it with guarantee.epsilon=0.05, or leave it out")
    if lam is not None or epsilon is not None:
        raise BadInput(
            "learned: a guarantee holds at the checkpoint's own lam and epsilon only; leave these options out"
        )
    if cadence in ("turn", "change"):
        raise BadInput(
            "learned: a guarantee is of one choice per episode; set cadence: episode, or leave options.guarantee out"
        )
    if certified.threshold is None:
        raise BadInput(f"{place}: {certified.tasks} tasks were too few for a guarantee; give more, or leave it out")
    return certified.threshold
