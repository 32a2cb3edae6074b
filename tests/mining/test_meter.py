"""The meter's limits hold also where callers ask side by side."""

import asyncio
from collections.abc import Iterable

import pytest

from fama.episodes.records import LedgerRow
from fama.errors import ModelError
from fama.mining.meter import Meter, Metered, OutOfBudget
from fama.mining.settings import MineBudget
from fama.models.base import ChatReply, ChatRequest


class Waiting:
    """Takes a while to answer; the first ``breaks`` calls fail."""

    name = "waiting"

    def __init__(self, breaks: int = 0) -> None:
        self.asked = 0
        self._breaks = breaks

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer with ten tokens."""
        self.asked += 1
        fails = self.asked <= self._breaks
        await asyncio.sleep(0.01)
        if fails:
            raise ModelError("broken")
        row = LedgerRow(role=request.role, model=self.name, input_tokens=9, output_tokens=1, seconds=2.0)
        return ChatReply("x", row)


async def ask(
    model: Waiting, budget: MineBudget, texts: Iterable[str]
) -> tuple[Meter, list[ChatReply | BaseException]]:
    meter = Meter(budget)
    metered = Metered(model, meter)
    requests = [ChatRequest(({"role": "user", "content": text},), role="helper:x") for text in texts]
    return meter, await asyncio.gather(*map(metered.complete, requests), return_exceptions=True)


@pytest.mark.parametrize(
    ("budget", "calls"),
    [
        (MineBudget(calls=1), 1),
        (MineBudget(calls=4), 4),
        (MineBudget(calls=None, tokens=15), 2),  # 10 are below it, 20 are not
        (MineBudget(calls=None, seconds=2), 1),
        (MineBudget(calls=None), 6),
    ],
)
async def test_limits_hold_side_by_side(budget: MineBudget, calls: int) -> None:
    model = Waiting()
    meter, replies = await ask(model, budget, map(str, range(6)))
    assert meter.calls == model.asked == calls
    assert sum(isinstance(one, OutOfBudget) for one in replies) == 6 - calls
    assert meter.ran_out is (calls < 6)


async def test_equal_requests_under_way_are_one_call() -> None:
    model = Waiting()
    meter, replies = await ask(model, MineBudget(calls=1), ["same"] * 3)
    assert meter.calls == model.asked == 1
    assert [one.usage.cache_hit for one in replies if isinstance(one, ChatReply)] == [False, True, True]


async def test_who_waits_for_a_call_that_fails_asks_anew() -> None:
    model = Waiting(breaks=1)
    meter, replies = await ask(model, MineBudget(calls=1), ["same"] * 3)
    assert (meter.calls, model.asked) == (1, 2)
    assert [type(one) for one in replies] == [ModelError, ChatReply, ChatReply]
