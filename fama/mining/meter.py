"""Calls, tokens and seconds of mining one episode: counted per distinct request, limited before each call."""

from asyncio import Lock
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import asdict, replace

from fama.episodes.records import LedgerRow, known_total
from fama.errors import ModelError
from fama.hashing import content_hash
from fama.mining.settings import MineBudget
from fama.models.base import ChatModel, ChatReply, ChatRequest
from fama.models.wrapper import ModelWrapper


class OutOfBudget(ModelError):
    """The budget of an episode is spent; raised in place of the call."""


class Meter:
    """Ledger of one episode's mining. The same request is asked once and counts once, whoever answered it.

    Callers may ask side by side: a call is counted before it is awaited, and who asks the same meanwhile waits for it.
    Under a limit of tokens or seconds, which only an answer tells, calls are made one after another.
    """

    def __init__(self, budget: MineBudget) -> None:
        self.ran_out = False
        self._budget = budget
        self._replies: dict[str, ChatReply] = {}
        self._rows: list[LedgerRow] = []
        self._under_way = 0
        self._asking: defaultdict[str, Lock] = defaultdict(Lock)
        limits = (budget.tokens, budget.seconds)
        self._turn: Lock | nullcontext[None] = nullcontext() if limits == (None, None) else Lock()

    @property
    def calls(self) -> int:
        """Return the number of distinct requests."""
        return len(self._rows)

    @property
    def answered(self) -> bool:
        """Return whether a model has answered, and not the response cache."""
        return any(not row.cache_hit for row in self._rows)

    @property
    def tokens(self) -> int | None:
        """Return their input and output tokens; None where some are unknown."""
        return known_total(row.total_tokens for row in self._rows)

    @property
    def seconds(self) -> float:
        """Return the seconds that they took when they were first answered."""
        return round(sum(row.seconds for row in self._rows), 3)

    async def ask(self, model: ChatModel, request: ChatRequest) -> ChatReply:
        """Return the reply of a model, from memory if it was asked the same before.

        Raises:
            OutOfBudget: a limit is reached.
            ModelError: the model failed.
        """
        asked = asdict(request)
        del asked["role"]
        key = content_hash({"model": model.name, **asked}, length=40)
        async with self._asking[key]:
            known = self._replies.get(key)
            if known is not None:
                return replace(known, usage=known.usage.model_copy(update={"role": request.role, "cache_hit": True}))
            async with self._turn:
                self._check()
                self._under_way += 1
                try:
                    reply = await model.complete(request)
                finally:
                    self._under_way -= 1
                self._replies[key] = reply
                self._rows.append(reply.usage)
                return reply

    def _check(self) -> None:
        spent = {
            "calls": self.calls + self._under_way,
            "tokens": sum(row.budget_tokens for row in self._rows),
            "seconds": self.seconds,
        }
        for name, value in spent.items():
            limit = getattr(self._budget, name)
            if limit is not None and value >= limit:
                self.ran_out = True
                raise OutOfBudget(f"the budget of {limit} {name} is spent")


class Metered(ModelWrapper):
    """A model whose calls go through a meter."""

    def __init__(self, model: ChatModel, meter: Meter) -> None:
        super().__init__(model)
        self._meter = meter

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer a request.

        Raises:
            OutOfBudget: a limit is reached.
            ModelError: the model failed.
        """
        return await self._meter.ask(self._model, request)
