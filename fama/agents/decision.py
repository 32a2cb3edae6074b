"""One decision: prepare it by helpers' notes, ask the backbone, read its action.

A note's way to the prompt: ``Preparation.prepare`` in ``preparation.py`` (select, keep to the budget),
``collect_notes`` in ``injection.py`` (helpers write, the check passes or drops), ``place_note`` in
``strategies/base.py`` (the note goes to the end of the prompt).
"""

import logging
from dataclasses import dataclass, replace
from functools import cache, partial

from fama.agents.agent_request import agent_request
from fama.agents.preparation import Preparation
from fama.agents.setup import EpisodeSetup
from fama.agents.strategies.base import STRATEGIES, Prompt
from fama.agents.strategies.parser import ParseFailure, parse_end
from fama.envs.base import Action
from fama.episodes.records import Decision, LedgerRow
from fama.episodes.state import VisibleState
from fama.models.base import ChatReply, ChatRequest, Sampling
from fama.models.ends import ReplyEnd
from fama.randomness import derive_seed, generator
from fama.settings import ExperimentSettings, ModelSettings
from fama.text.clean import clean
from fama.text.cut import cut_text

COMPLAINT = "Format error: {reason}."
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decided:
    """The result of a decision; ``action`` is None when no reply could be parsed. ``reply_text`` is the last one."""

    action: Action | None
    reply_text: str
    decision: Decision


class Decider:
    """Makes the decisions of one episode. What is spent goes into ``ledger`` at once, so that errors keep it."""

    def __init__(self, setup: EpisodeSetup, settings: ExperimentSettings, ledger: list[LedgerRow]) -> None:
        self.strategy = STRATEGIES.load(settings.strategy)()
        self._setup = setup
        self._settings = settings
        self._ledger = ledger
        self._preparation = Preparation(
            key=setup.key,
            selector=setup.selector,
            helpers=setup.helpers,
            helper_model=setup.helper_model or setup.model,
            request=partial(agent_request, self.strategy, demonstrations=setup.demonstrations),
            budget=setup.budget,
            ledger=ledger,
            cadence=setup.cadence or settings.cadence,
            seed=setup.seeds["model"],
            rng=generator(setup.seeds["selector"], "selector"),
            concurrency=settings.helpers.concurrency,
        )

    async def decide(self, state: VisibleState, message_index: int) -> Decided:
        """Decide on the coming action.

        Raises:
            ModelError: the model of the backbone, of a helper or of the selector failed.
        """
        prepared = await self._preparation.prepare(state, message_index)
        return await self.answer(state, prepared.decision, prepared.note)

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
            written = cut_text(_written(reply), self._settings.limits.message_chars)
            prompt = prompt.repaired(written, COMPLAINT.format(reason=action.reason))
            reply = await self._ask(prompt, state, 1)
            action = self._read(reply, prompt, state)
            self._bill(reply, state.turn, action)
        reply_text = prompt.without_note(_written(reply)) or reply.reasoning
        return Decided(None if isinstance(action, ParseFailure) else action, reply_text, decision)

    async def _ask(self, prompt: Prompt, state: VisibleState, attempt: int) -> ChatReply:
        reply = await self._setup.model.complete(
            action_request(
                prompt, self._settings.model, self._setup.seeds["model"], self._setup.key.trial, state.turn, attempt
            )
        )
        return replace(reply, text=clean(reply.text), reasoning=clean(reply.reasoning))

    def _read(self, reply: ChatReply, prompt: Prompt, state: VisibleState) -> Action | ParseFailure:
        decided = parse_end(reply)
        return self.strategy.parse(reply, prompt, state.tools) if decided is None else decided

    def _bill(self, reply: ChatReply, turn: int, action: Action | ParseFailure) -> None:
        parsed = not isinstance(action, ParseFailure)
        written, limit = reply.usage.output_tokens, self._settings.model.max_tokens
        if not parsed and reply.end is ReplyEnd.LENGTH and (written is None or written >= limit):
            _tell_cut(reply.usage.model, limit)
        self._ledger.append(reply.usage.model_copy(update={"turn": turn, "parsed": parsed}))


def action_request(
    prompt: Prompt, sampling: ModelSettings, seed: int, trial: int, turn: int, attempt: int = 0
) -> ChatRequest:
    """Return the call that asks for a decision's action; ``seed`` is the episode's for its model."""
    return ChatRequest(
        messages=prompt.messages,
        role="agent",
        sampling=Sampling(sampling.temperature, sampling.top_p, sampling.max_tokens, prompt.stop),
        seed=derive_seed(seed, "decision", turn, attempt) % 2**31,
        tools=prompt.tools,
        prefill=prompt.prefill,
        trial=trial,
    )


@cache
def _tell_cut(model: str, limit: int) -> None:
    """Log, once in a process, that replies of a model are cut before they hold an action."""
    log.warning(
        "%s: a reply was cut at model.max_tokens, %d, and holds no action; raise it, to 2000 or more for a model that "
        "thinks first",
        model,
        limit,
    )


def _written(reply: ChatReply) -> str:
    """Return a reply as text: its calls where it has no words."""
    calls = (f"{call.function.name} {call.function.arguments}" for call in reply.tool_calls)
    return reply.text if reply.text.strip() else clean("\n".join(calls))
