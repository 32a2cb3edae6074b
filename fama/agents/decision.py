"""One decision: select helpers, keep to the budget, write notes, ask the backbone, read its action.

A note's way to the prompt: ``Decider.decide`` here, ``collect_notes`` in ``injection.py`` (helpers write, the check
passes or drops), ``place_note`` in ``strategies/base.py`` (the note goes to the end of the prompt).
"""

import time
from dataclasses import dataclass, replace
from typing import NamedTuple

from fama.agents.injection import Notes, collect_notes
from fama.agents.request import agent_request
from fama.agents.setup import EpisodeSetup
from fama.agents.strategies.base import STRATEGIES, Prompt
from fama.agents.strategies.parser import ParseFailure, parse_end
from fama.dialogue.pending import change_ahead
from fama.envs.base import Action
from fama.episodes.records import Decision, LedgerRow, SelectionState, budget_tokens
from fama.episodes.state import VisibleState
from fama.helpers.base import on_prefix
from fama.models.base import ChatReply, ChatRequest, Sampling
from fama.models.prefix import AgentRequest
from fama.randomness import derive_seed, generator
from fama.selection.asking import room_for
from fama.selection.base import Selection, select_for
from fama.selection.health import state_of
from fama.settings import ExperimentSettings
from fama.subsets import in_pool_order
from fama.text.clean import clean

COMPLAINT = "Format error: {reason}."


@dataclass(frozen=True)
class Decided:
    """The result of a decision; ``action`` is None when no reply could be parsed. ``reply_text`` is the last one."""

    action: Action | None
    reply_text: str
    decision: Decision


class _Chosen(NamedTuple):
    subset: tuple[str, ...]
    dropped: tuple[str, ...]
    propensity: float | None
    state: SelectionState


class _Selected(NamedTuple):
    selection: Selection
    state: SelectionState


class Decider:
    """Makes the decisions of one episode. What is spent goes into ``ledger`` at once, so that errors keep it."""

    def __init__(self, setup: EpisodeSetup, settings: ExperimentSettings, ledger: list[LedgerRow]) -> None:
        self.strategy = STRATEGIES.load(settings.strategy)()
        self._setup = setup
        self._settings = settings
        self._ledger = ledger
        self._rng = generator(setup.seeds["selector"], "selector")
        self._held: Selection | None = None

    async def decide(self, state: VisibleState, message_index: int) -> Decided:
        """Decide on the coming action.

        Raises:
            ModelError: the model of the backbone, of a helper or of the selector failed.
        """
        start = time.perf_counter()
        self._setup.budget.open_decision()
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
        return await self.answer(state, decision, notes.text)

    async def answer(self, state: VisibleState, decision: Decision, note: str) -> Decided:
        """Ask the backbone for the action, with the decision's notes as one line; once more where none can be read.

        Raises:
            ModelError: the backbone failed.
        """
        prompt = self.strategy.prompt(
            state.messages,
            state.policy,
            state.tools,
            self._setup.demonstrations,
            note,
            self._settings.placement,
        )
        reply = await self._ask(prompt, state, 0)
        action = self._read(reply, prompt, state)
        self._bill(reply, state.turn, action)
        if isinstance(action, ParseFailure):
            prompt = prompt.repaired(_written(reply), COMPLAINT.format(reason=action.reason))
            reply = await self._ask(prompt, state, 1)
            action = self._read(reply, prompt, state)
            self._bill(reply, state.turn, action)
        reply_text = _written(reply).removeprefix(prompt.note_prefix) or reply.reasoning
        return Decided(None if isinstance(action, ParseFailure) else action, reply_text, decision)

    async def _choose(self, state: VisibleState) -> _Chosen:
        if self._settings.cadence == "change" and not change_ahead(state):
            return _Chosen((), (), 1.0, "by_cadence")
        selection = self._held
        how: SelectionState = "by_cadence"
        if selection is None:
            selection, how = await self._select(state)
            if self._settings.cadence == "episode":
                self._held = selection
        subset = in_pool_order(selection.subset, tuple(self._setup.helpers))
        fitted = self._setup.budget.fit(
            subset, self._setup.helpers, selection.probabilities, self._prefix_tokens(state, subset)
        )
        # The subset that is executed counts; a budget's cut was not drawn.
        return _Chosen(fitted.subset, fitted.dropped, None if fitted.dropped else selection.propensity, how)

    async def _select(self, state: VisibleState) -> _Selected:
        selector, budget = self._setup.selector, self._setup.budget
        allowance = budget.allowance()
        room = room_for(selector, state, allowance)
        if room is None:
            return _Selected(Selection(subset=(), probabilities={}, propensity=None), "unaffordable")
        budget.reserve(room)
        selection = await select_for(self._setup.key, selector, state, allowance, self._rng)
        self._spend(selection.ledger, state.turn)
        budget.release()
        return _Selected(selection, state_of(selection.ledger))

    async def _notes(self, state: VisibleState, subset: tuple[str, ...]) -> Notes:
        rows: list[LedgerRow] = []
        model = self._setup.helper_model or self._setup.model
        try:
            notes = await collect_notes(
                state,
                subset,
                self._setup.helpers,
                model,
                self._setup.seeds["model"],
                rows,
                self._setup.key.trial,
                self._request(state) if any(on_prefix(self._setup.helpers[name]) for name in subset) else None,
                self._settings.helpers.concurrency,
            )
        finally:
            self._spend(tuple(rows), state.turn)
            self._setup.budget.release()
        self._setup.budget.charge(sum(note.tokens for note in notes.passed))
        return notes

    def _request(self, state: VisibleState) -> AgentRequest:
        return agent_request(self.strategy, state, self._setup.demonstrations)

    def _prefix_tokens(self, state: VisibleState, subset: tuple[str, ...]) -> int:
        """Return the most tokens that the agent's request has, where a budget and a helper make it matter; else 0."""
        riding = any(on_prefix(self._setup.helpers[name]) for name in subset)
        limited = self._setup.budget.allowance().tokens is not None
        return self._request(state).most_tokens() if riding and limited else 0

    def _spend(self, rows: tuple[LedgerRow, ...], turn: int) -> None:
        self._ledger += [row if row.turn is not None else row.model_copy(update={"turn": turn}) for row in rows]
        self._setup.budget.charge(budget_tokens(rows, "helper") + budget_tokens(rows, "selector"))

    async def _ask(self, prompt: Prompt, state: VisibleState, attempt: int) -> ChatReply:
        sampling = self._settings.model
        reply = await self._setup.model.complete(
            ChatRequest(
                messages=prompt.messages,
                role="agent",
                sampling=Sampling(sampling.temperature, sampling.top_p, sampling.max_tokens, prompt.stop),
                seed=derive_seed(self._setup.seeds["model"], "decision", state.turn, attempt) % 2**31,
                tools=prompt.tools,
                prefill=prompt.prefill,
                trial=self._setup.key.trial,
            )
        )
        return replace(reply, text=clean(reply.text), reasoning=clean(reply.reasoning))

    def _read(self, reply: ChatReply, prompt: Prompt, state: VisibleState) -> Action | ParseFailure:
        decided = parse_end(reply)
        return self.strategy.parse(reply, prompt, state.tools) if decided is None else decided

    def _bill(self, reply: ChatReply, turn: int, action: Action | ParseFailure) -> None:
        parsed = not isinstance(action, ParseFailure)
        self._ledger.append(reply.usage.model_copy(update={"turn": turn, "parsed": parsed}))


def _written(reply: ChatReply) -> str:
    """Return a reply as text: its calls where it has no words."""
    calls = (f"{call.function.name} {call.function.arguments}" for call in reply.tool_calls)
    return reply.text if reply.text.strip() else clean("\n".join(calls))
