"""Asking a model for helpers within a budget: one call, and further ones where its reply names none."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol, runtime_checkable

from fama.episodes.keys import TaskKey
from fama.episodes.records import LedgerRow
from fama.episodes.state import VisibleState
from fama.models.base import ChatModel, ChatReply, ChatRequest, billed_after
from fama.models.ends import ReplyEnd
from fama.models.prefix import prompt_tokens, shown
from fama.selection.base import Allowance, AnySelector, Costly
from fama.selection.helper_choice import NamedHelpers
from fama.subsets import Subset
from fama.text.tokens import estimate_tokens

#: Tokens that a chat template may add around the two messages of a repair.
_AROUND_REPAIR = 16


@runtime_checkable
class Repairing(Protocol):
    """A costly selector that may ask again: ``most_tokens`` is its first call, and repairs are made where room is."""

    def repair_tokens(self, state: VisibleState) -> int:
        """Return an upper estimate of the tokens that all repairs take in this state."""
        ...


@runtime_checkable
class Reserving(Protocol):
    """A selector that looks tasks up, whose call costs more for some tasks, and that chooses without one, too."""

    def tokens_for(self, task: TaskKey, allowance: Allowance) -> int:
        """Return an upper estimate of the tokens that a selection takes for this task, within the allowance."""
        ...


class Asked(NamedTuple):
    """The subset that was read, None where no reply held one; a ledger row for every call."""

    subset: Subset | None
    ledger: tuple[LedgerRow, ...]


def room_for(task: TaskKey, selector: AnySelector, state: VisibleState, allowance: Allowance) -> int | None:
    """Return the tokens that a selection may take; None where the allowance has no room for its first call."""
    cap = int(getattr(selector, "cost_cap", 0))
    if allowance.tokens is None:
        return cap
    if isinstance(selector, Reserving):
        return selector.tokens_for(task, allowance)
    if isinstance(selector, Costly):
        cap = selector.most_tokens(state)
    if cap > allowance.tokens:
        return None
    more = selector.repair_tokens(state) if isinstance(selector, Repairing) else 0
    return min(cap + more, allowance.tokens)


def call_tokens(request: ChatRequest) -> int:
    """Return an upper estimate of the tokens of a call, its reply included."""
    return prompt_tokens(request) + request.sampling.max_tokens


def repair_tokens(first_call: int, reply_tokens: int, complaint: str, repairs: int) -> int:
    """Return an upper estimate of the tokens of all repairs: each sends the replies before it again.

    Args:
        first_call: tokens of the first call, its reply included.
        reply_tokens: output tokens of a call.
        complaint: the user's words after a reply that could not be read.
        repairs: how many there are.
    """
    more = reply_tokens + estimate_tokens(complaint) + _AROUND_REPAIR
    return repairs * first_call + more * repairs * (repairs + 1) // 2


async def ask_for_helpers(
    model: ChatModel,
    request: ChatRequest,
    read: Callable[[ChatReply], NamedHelpers],
    complaint: str,
    repairs: int,
    room: int | None,
    turn: int,
) -> Asked:
    """Ask until a reply names helpers or none, the repairs are used up, or the room has no place for another one.

    Args:
        model: the model.
        request: the first call.
        read: reads a reply.
        complaint: the user's words after a reply that could not be read.
        repairs: further calls after the first.
        room: tokens that all calls may take together; None is unlimited. The first call is made in any case.
        turn: the index of the decision, for the ledger.

    Raises:
        ModelError: the endpoint failed after all retries; ``billed`` of a ``CallFailed`` holds the calls before, too.
    """
    ledger: list[LedgerRow] = []
    for attempt in range(repairs + 1):
        spent = sum(row.budget_tokens for row in ledger)
        if attempt and room is not None and spent + call_tokens(request) > room:
            break
        with billed_after(ledger):
            reply = await model.complete(request)
        named = read(reply)
        about = {
            "role": request.role,
            "turn": turn,
            "parsed": named.subset is not None,
            "truncated": reply.end is ReplyEnd.LENGTH,
            "unknown_names": named.unknown,
        }
        ledger.append(reply.usage.model_copy(update=about))
        if named.subset is not None:
            return Asked(named.subset, tuple(ledger))
        talk = ({"role": "assistant", "content": shown(reply.text)}, {"role": "user", "content": complaint})
        request = replace(request, messages=(*request.messages, *talk))
    return Asked(None, tuple(ledger))
