"""The advisor: a router, a pool of helpers and a memory of conversations, for agents that run elsewhere."""

import asyncio
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from fama.advising.advice import Advice, Usage
from fama.advising.arguments import (
    Model,
    RouterOrPath,
    budget_settings,
    check_models,
    check_settings,
    is_quick,
    model_settings,
    pool_settings,
    selector_of,
    warn_of_other_notes,
)
from fama.advising.conversation import Conversation, read_conversation
from fama.advising.note_refusals import NoteRefusals
from fama.advising.session import Session, Sessions
from fama.agents.preparation import Preparation, Prepared
from fama.agents.reading.reader import Reader, shipped_reader
from fama.agents.strategies.base import Placement
from fama.episodes.keys import EpisodeKey
from fama.episodes.records import Decision, LedgerRow
from fama.episodes.state import VisibleState
from fama.execution.background import LoopThread
from fama.helpers.pool import build_pool
from fama.models.base import ChatModel, billed
from fama.models.connect import connect_helper
from fama.models.prefill import Prefill
from fama.models.prefix import AgentRequest
from fama.randomness import derive_seed, generator
from fama.selection.base import SelectorContext
from fama.selection.budget import Budget, RunBudget, check_budget
from fama.settings import BudgetSettings, Cadence, HelperSettings, ModelSettings

#: The request that is being advised on, for selectors that ask at its end.
_REQUEST: ContextVar[AgentRequest] = ContextVar("request")
#: Nobody's episode: an advisor knows no task.
_NO_EPISODE = EpisodeKey("", "", "", 0, "", "")


class Advisor:
    """Gives notes before an agent's requests, as a run of this package does.

    Threads may share it: all advice is computed in one thread of the advisor's own. ``close`` it, or use it in a
    ``with`` block, to end that thread and a model's server before the program ends.

    ``failures`` counts the requests that wrapped clients sent without notes because it failed, or their endpoint
    refused them.
    """

    def __init__(
        self,
        router: RouterOrPath,
        *,
        helpers: Sequence[str] | HelperSettings | None = None,
        model: Model | None = None,
        cadence: Cadence = "turn",
        placement: Placement = "user",
        prefill: Prefill = "message",
        price: float | None = None,
        budget: BudgetSettings | Mapping[str, Any] | int | None = None,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        sessions: int = 4096,
        benchmark: str = "",
        domain: str = "",
    ) -> None:
        """Load the router and the helpers, and connect to the model.

        Args:
            router: folder of a checkpoint, name of a registered selector such as ``all`` or ``rule``, or a selector.
            helpers: the pool as in a run, names with or without a form; the router's own or all six when None.
            model: of helper agents and of prompted selection: settings, their keys, or a name of them; None where notes
                are templates and the router asks no model.
            cadence: when the router is asked.
            placement: where notes go: the end of the last turn, a ``system`` turn, or the opening of the reply
                (``assistant``, the default of a run), which many endpoints with function calling do not continue.
            prefill: how the agent's endpoint is given the opening of its reply, for placement ``assistant``: llama.cpp
                and most others by a last ``message``, vLLM by a ``flag`` beside it, OpenAI's own in ``words``.
            price: λ, the success probability that 1,000 tokens are worth; the router's own when None.
            budget: hard limits in tokens, ``run`` over all conversations; a number limits each decision.
            seed: of random draws and of helper agents' requests.
            options: further options of the selector, as ``selector.options`` of a run.
            sessions: requests whose sessions are remembered at most; the oldest is forgotten first.
            benchmark: with ``domain``, whose file may state what the tools do; a tool's schema can state it instead.
            domain: see ``benchmark``.

        Raises:
            BadInput: something is unknown, does not fit the router, or needs a model and none is given.
            FamaError: the model cannot be reached.
        """
        check_settings(cadence, placement, prefill, sessions, benchmark, domain)
        pool = pool_settings(helpers, router)
        self._helpers = build_pool(pool)
        warn_of_other_notes(router, pool)
        wanted = model_settings(model)
        check_models(self._helpers, wanted is not None)
        limits = budget_settings(budget)
        check_budget(limits, self._helpers)
        self._cadence, self._placement, self._prefill = cadence, placement, prefill
        self._concurrency, self._seed = pool.concurrency, seed
        self._benchmark, self._domain = benchmark, domain
        self._run_budget = RunBudget(limits)
        self._sessions = Sessions(sessions)
        self.failures = 0
        #: Of the endpoints of wrapped clients.
        self.refusals = NoteRefusals()
        self._thread = LoopThread("the advisor")
        self._finalizer = weakref.finalize(self, self._thread.close)
        try:
            self._model = self._thread.wait(self._connect(wanted))
            context = SelectorContext(
                self._helpers, self._model, seed=seed, request=lambda state: _REQUEST.get(), cadence=cadence
            )
            self._selector = selector_of(router, context, price, options or {})
            self._reader = shipped_reader(pool.reading) if self._helpers else None
            self._is_quick = self._model is None and is_quick(router, self._selector, self._helpers)
        except BaseException:
            self.close()
            raise

    def advise(
        self,
        messages: Iterable[Any],
        tools: Iterable[Any] | None = None,
        policy: str | None = None,
        session: Session | None = None,
        ledger: list[LedgerRow] | None = None,
    ) -> Advice:
        """Return the notes for the agent's coming request; waits for them.

        A request whose last message is the assistant's gets none: its reply goes on with words of the caller's own.

        Args:
            messages: OpenAI chat messages, dicts or objects of the SDK; never changed.
            tools: OpenAI tool definitions.
            policy: the agent's instructions; the system messages at the beginning when None.
            session: of the conversation's latest advice; looked up by the messages when None.
            ledger: gets the calls of helpers and selection, those of an advice that fails, too.

        Raises:
            BadInput: messages or tools do not have the form of OpenAI's.
            ModelError: the model of a helper or of the selector failed.
        """
        return self._thread.wait(self._advise(messages, tools, policy, session, ledger))

    async def advise_async(
        self,
        messages: Iterable[Any],
        tools: Iterable[Any] | None = None,
        policy: str | None = None,
        session: Session | None = None,
        ledger: list[LedgerRow] | None = None,
    ) -> Advice:
        """Return the notes for the agent's coming request; see ``advise``. Cancelling it cancels helpers' calls.

        Raises:
            BadInput: messages or tools do not have the form of OpenAI's.
            ModelError: the model of a helper or of the selector failed.
        """
        return await asyncio.wrap_future(self._thread.submit(self._advise(messages, tools, policy, session, ledger)))

    async def advise_here(
        self, messages: Iterable[Any], tools: Iterable[Any] | None = None, ledger: list[LedgerRow] | None = None
    ) -> Advice:
        """Return the notes as ``advise_async`` does, computed on the running loop where that takes milliseconds.

        For servers, whose requests else wait for two threads that take turns. Only one loop may ask in this way. Advice
        of a router with an encoder, of a model and of plug-ins, and the reading of new user turns by meaning are still
        computed in the advisor's thread.

        Raises:
            BadInput: messages or tools do not have the form of OpenAI's.
            ModelError: the model of a helper or of the selector failed.
        """
        if not self._is_quick:
            return await self.advise_async(messages, tools, ledger=ledger)
        self._thread.check_open()
        return await self._advise(messages, tools, None, None, ledger, here=True)

    def take_back(self, advice: Advice) -> None:
        """Forget the notes of an advice that the agent never saw, such as one that its endpoint refused.

        The next advice takes them for notes that were not given, and no budget counts them.
        """
        after, tokens = advice.session, advice.usage.note_tokens
        noted = tuple(note for note in after.noted if note[0] < advice.decision.turn)
        self._sessions.exchange(after, replace(after, noted=noted, spent=after.spent - tokens))
        self._run_budget.spent -= tokens

    def close(self) -> None:
        """End the advisor's thread and what it serves; later calls raise, a second ``close`` does nothing."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _connect(self, model: ModelSettings | ChatModel | None) -> ChatModel | None:
        if not isinstance(model, ModelSettings):
            return model
        return await self._thread.stack.enter_async_context(connect_helper(model))

    async def _advise(
        self,
        messages: Iterable[Any],
        tools: Iterable[Any] | None,
        policy: str | None,
        session: Session | None,
        ledger: list[LedgerRow] | None,
        here: bool = False,
    ) -> Advice:
        started = time.perf_counter()
        conversation = read_conversation(messages, tools, policy)
        before, place = conversation.prefixes()
        known = session or self._sessions.find(before) or Session(key=place)
        failed = self._sessions.failed(place)
        if failed is not None:
            known = replace(known, held=failed.held, spent=max(known.spent, failed.spent))
        # A request that is repeated does not see the notes that it got before.
        known = replace(known, noted=tuple(note for note in known.noted if note[0] < conversation.turn))
        _REQUEST.set(conversation.request())
        ledger = [] if ledger is None else ledger
        first = len(ledger)
        budget = Budget(self._run_budget)
        budget.episode_spent = known.spent
        preparation = self._preparation(conversation, known, budget, ledger)
        try:
            if conversation.is_begun():
                prepared = _unasked(conversation)
            else:
                state = self._state(conversation, known)
                if self._reader is not None:
                    away, reading = here and not self._reader.is_quick(state), _read(self._reader, state)
                    state = await (asyncio.wrap_future(self._thread.submit(reading)) if away else reading)
                prepared = await preparation.prepare(state, len(conversation.history))
        except BaseException as error:
            preparation.spend(billed(error), conversation.turn)  # the others' calls are booked already
            spent = Session(known.key, known.noted, preparation.held, budget.episode_spent, failed=True)
            self._sessions.keep(place, spent)
            raise
        finally:
            budget.release()
        given = tuple((conversation.turn, note) for note in prepared.decision.notes)
        after = Session(known.key, (*known.noted, *given), preparation.held, budget.episode_spent)
        self._sessions.keep(place, after)
        return Advice(
            decision=prepared.decision,
            text=prepared.note,
            probabilities=prepared.probabilities,
            usage=Usage(
                tuple(ledger[first:]),
                sum(note.tokens for note in prepared.decision.notes),
                time.perf_counter() - started,
            ),
            session=after,
            history=conversation.history,
            tools=conversation.tools,
            chat=conversation.chat,
            placement=self._placement,
            prefill=self._prefill,
        )

    def _preparation(
        self, conversation: Conversation, session: Session, budget: Budget, ledger: list[LedgerRow]
    ) -> Preparation:
        return Preparation(
            key=_NO_EPISODE,
            selector=self._selector,
            helpers=self._helpers,
            helper_model=self._model,
            request=lambda state: conversation.request(),
            budget=budget,
            ledger=ledger,
            cadence=self._cadence,
            seed=derive_seed(self._seed, "advisor", session.key),
            rng=generator(self._seed, "advisor", session.key, conversation.turn),
            concurrency=self._concurrency,
            held=session.held,
        )

    def _state(self, conversation: Conversation, session: Session) -> VisibleState:
        """Return what is seen of a conversation, without the readings of its user turns."""
        return VisibleState(
            policy=conversation.policy,
            tools=conversation.tools,
            messages=conversation.messages(),
            turn=conversation.turn,
            noted=session.noted,
            benchmark=self._benchmark,
            domain=self._domain,
        )


async def _read(reader: Reader, state: VisibleState) -> VisibleState:
    """Return the state with the readings of its user turns; while a long turn is read, other requests go on."""
    for _ in reader.steps(state):
        await asyncio.sleep(0)
    return replace(state, readings=reader.read(state))


def _unasked(conversation: Conversation) -> Prepared:
    """Return the decision of a request that gets no notes: nobody was asked."""
    decision = Decision(
        turn=conversation.turn, message_index=len(conversation.history), propensity=1.0, selection="by_cadence"
    )
    return Prepared(decision, "", {})
