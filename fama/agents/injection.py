"""Notes before a decision: helpers of a subset write them, the check passes or drops them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from fama.episodes.records import LedgerRow, Note, RejectedNote
from fama.episodes.state import VisibleState
from fama.helpers.base import Helper, HelperContext, HelperReply, reads_notes
from fama.helpers.note_check import check_note
from fama.models.base import ChatModel, billed
from fama.models.prefix import AgentRequest
from fama.randomness import derive_seed
from fama.text.clean import clean
from fama.text.tokens import estimate_tokens


class Notes(NamedTuple):
    """The notes that passed and those that did not."""

    passed: tuple[Note, ...]
    rejected: tuple[RejectedNote, ...]

    @property
    def text(self) -> str:
        """Return all notes in one line."""
        return " ".join(note.text for note in self.passed)


async def collect_notes(
    state: VisibleState,
    subset: Sequence[str],
    helpers: Mapping[str, Helper],
    model: ChatModel | None,
    seed: int,
    ledger: list[LedgerRow],
    trial: int = 0,
    request: AgentRequest | None = None,
    concurrency: int = 1,
) -> Notes:
    """Ask each helper of the subset; what they spend is added to ``ledger`` in the subset's order.

    A helper that reads notes sees those of the helpers before it as already given, at the state's own turn, and so
    is asked after them. The others get the state as it is, at most ``concurrency`` at the same time, so that notes do
    not depend on it. ``request`` is the agent's own request of this decision.

    Raises:
        ModelError: a helper's model failed; the ledger holds what was spent, also by helpers asked beside it.
    """
    slots = asyncio.Semaphore(concurrency)

    async def ask(name: str, seen: VisibleState) -> HelperReply:
        own_seed = derive_seed(seed, f"helper:{name}", state.turn) % 2**31
        async with slots:
            return await helpers[name].note(seen, HelperContext(model, own_seed, trial, request))

    begun = {
        name: asyncio.create_task(ask(name, state))
        for name in subset
        if concurrency > 1 and not reads_notes(helpers[name])
    }
    passed: list[Note] = []
    rejected: list[RejectedNote] = []
    try:
        for name in subset:
            if name in begun:
                reply = await begun.pop(name)
            else:
                before = tuple((state.turn, note) for note in passed) if reads_notes(helpers[name]) else ()
                reply = await ask(name, replace(state, noted=(*state.noted, *before)) if before else state)
            ledger += reply.ledger
            _sort(name, reply, helpers[name], state, passed, rejected)
    except BaseException as error:
        try:
            if begun and isinstance(error, Exception):  # whoever was asked beside the one that failed may answer yet
                await asyncio.wait(begun.values())
        finally:
            for task in begun.values():
                if not task.cancel() and not task.cancelled():  # it has ended, and is billed in any case
                    late = task.exception() or task.result()
                    ledger += late.ledger if isinstance(late, HelperReply) else billed(late)
        raise
    return Notes(tuple(passed), tuple(rejected))


def _sort(
    name: str,
    reply: HelperReply,
    helper: Helper,
    state: VisibleState,
    passed: list[Note],
    rejected: list[RejectedNote],
) -> None:
    """Add a reply's note to those that passed their check or to those that did not."""
    if reply.text is None and reply.fault is None:
        return
    text = clean(reply.text or "")
    reason = reply.fault or check_note(helper, text, state)
    if reason is None:
        passed.append(Note(helper=name, text=text, tokens=estimate_tokens(text)))
    else:
        rejected.append(RejectedNote(helper=name, text=text, reason=reason))
