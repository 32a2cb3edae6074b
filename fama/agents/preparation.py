"""Everything of a decision before the backbone is asked: select helpers, keep to the budget, write notes.

A run's loop and an advisor of agents that run elsewhere prepare decisions by this code alone.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fama.agents.injection import Notes, collect_notes
from fama.dialogue.pending import change_ahead
from fama.episodes.keys import EpisodeKey
from fama.episodes.records import Decision, LedgerRow, SelectionState, budget_tokens
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.helpers.base import Helper, on_prefix
from fama.models.base import ChatModel
from fama.models.prefix import AgentRequest
from fama.selection.asking import room_for
from fama.selection.base import AnySelector, Selection, select_for
from fama.selection.budget import Budget
from fama.selection.health import state_of
from fama.settings import Cadence
from fama.subsets import in_pool_order


class Prepared(NamedTuple):
    """A decision before its action, its notes as one line, and the selector's belief in every helper."""

    decision: Decision
    note: str
    probabilities: Mapping[str, float]


class _Chosen(NamedTuple):
    subset: tuple[str, ...]
    dropped: tuple[str, ...]
    propensity: float | None
    state: SelectionState
    probabilities: Mapping[str, float]


class _Selected(NamedTuple):
    selection: Selection
    state: SelectionState


@dataclass
class Preparation:
    """Prepares the decisions of one episode. What is spent goes into ``ledger`` at once, so that errors keep it.

    ``helper_model`` answers helpers in their LLM form. ``request`` gives the agent's own request in a state, before any
    note. ``seed`` is of the helpers' requests, ``rng`` the selector's stream. ``held`` is the selection that cadence
    ``episode`` keeps.
    """

    key: EpisodeKey
    selector: AnySelector
    helpers: Mapping[str, Helper]
    helper_model: ChatModel | None
    request: Callable[[VisibleState], AgentRequest]
    budget: Budget
    ledger: list[LedgerRow]
    cadence: Cadence
    seed: int
    rng: random.Random
    concurrency: int
    held: Selection | None = None

    async def prepare(self, state: VisibleState, message_index: int) -> Prepared:
        """Select helpers for the coming decision and collect their notes.

        Raises:
            ModelError: the model of a helper or of the selector failed.
        """
        start = time.perf_counter()
        self.budget.open_decision()
        chosen = await self._choose(state)
        notes = await self._notes(state, chosen.subset)
        decision = Decision(
            turn=state.turn,
            message_index=message_index,
            subset=chosen.subset,
            propensity=chosen.propensity,
            notes=notes.passed,
            rejected=notes.rejected,
            dropped=chosen.dropped,
            selection=chosen.state,
            seconds=round(time.perf_counter() - start, 4),
        )
        return Prepared(decision, notes.text, chosen.probabilities)

    async def _choose(self, state: VisibleState) -> _Chosen:
        if self.cadence == "change" and not change_ahead(state):
            return _Chosen((), (), 1.0, "by_cadence", {})
        selection = self.held
        how: SelectionState = "by_cadence"
        if selection is None:
            selection, how = await self._select(state)
            if self.cadence == "episode":
                self.held = selection
        subset = in_pool_order(selection.subset, tuple(self.helpers))
        fitted = self.budget.fit(subset, self.helpers, selection.probabilities, self._prefix_tokens(state, subset))
        # The subset that is executed counts; a budget's cut was not drawn.
        propensity = None if fitted.dropped else selection.propensity
        return _Chosen(fitted.subset, fitted.dropped, propensity, how, selection.probabilities)

    async def _select(self, state: VisibleState) -> _Selected:
        allowance = self.budget.allowance()
        room = room_for(self.key.task, self.selector, state, allowance)
        if room is None:
            return _Selected(Selection(subset=(), probabilities={}, propensity=None), "unaffordable")
        self.budget.reserve(room)
        selection = await select_for(self.key, self.selector, state, allowance, self.rng)
        self.spend(selection.ledger, state.turn)
        self.budget.release()
        if strangers := sorted(set(selection.subset) - set(self.helpers)):
            pool = ", ".join(self.helpers) or "none"
            raise BadInput(
                f"selector {self.selector.name}: chose {strangers[0]!r}, which is not in the pool; known: {pool}"
            )
        return _Selected(selection, state_of(selection.ledger))

    async def _notes(self, state: VisibleState, subset: tuple[str, ...]) -> Notes:
        rows: list[LedgerRow] = []
        try:
            notes = await collect_notes(
                state,
                subset,
                self.helpers,
                self.helper_model,
                self.seed,
                rows,
                self.key.trial,
                self.request(state) if any(on_prefix(self.helpers[name]) for name in subset) else None,
                self.concurrency,
            )
        finally:
            self.spend(tuple(rows), state.turn)
            self.budget.release()
        self.budget.charge(sum(note.tokens for note in notes.passed))
        return notes

    def _prefix_tokens(self, state: VisibleState, subset: tuple[str, ...]) -> int:
        """Return the most tokens that the agent's request has, where a budget and a helper make it matter; else 0."""
        riding = any(on_prefix(self.helpers[name]) for name in subset)
        limited = self.budget.allowance().tokens is not None
        return self.request(state).most_tokens() if riding and limited else 0

    def spend(self, rows: tuple[LedgerRow, ...], turn: int) -> None:
        """Book calls of helpers or of the selector that were made for a decision."""
        self.ledger += [row if row.turn is not None else row.model_copy(update={"turn": turn}) for row in rows]
        self.budget.charge(budget_tokens(rows, "helper") + budget_tokens(rows, "selector"))
