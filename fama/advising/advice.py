"""The answer of an advisor: a subset of helpers, their notes, and the messages with the notes placed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fama.advising.session import Session
from fama.agents.strategies.base import Chat, Placement, place_note
from fama.episodes.records import Decision, LedgerRow, Message, Note, RejectedNote, ToolSpec, total_tokens
from fama.models.prefill import Prefill, place_prefill


@dataclass(frozen=True)
class Usage:
    """Cost of an advice: the calls of helpers and selection, tokens of the notes, and wall time in seconds."""

    ledger: tuple[LedgerRow, ...]
    note_tokens: int
    seconds: float

    @property
    def tokens(self) -> int | None:
        """Return input plus output tokens of all calls; None where those of one are unknown."""
        return total_tokens(self.ledger)


@dataclass(frozen=True)
class Advice:
    """One decision of an advisor, before the agent's own request.

    ``decision`` is the record that a run would log. ``history`` is the conversation that was read, with the policy as
    its system message; ``decision.message_index`` is the place of the coming message in it. ``probabilities`` are the
    selector's belief per helper, empty where it was not asked. ``session`` is the conversation's state for its next
    turn. ``chat`` holds the caller's messages as OpenAI dicts, without a note.
    """

    decision: Decision
    text: str
    """All notes in one line; empty without one."""
    probabilities: Mapping[str, float]
    usage: Usage
    session: Session
    history: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    chat: tuple[Chat, ...]
    placement: Placement
    prefill: Prefill

    @property
    def subset(self) -> tuple[str, ...]:
        """Return the helpers that were asked, in pool order."""
        return self.decision.subset

    @property
    def notes(self) -> tuple[Note, ...]:
        """Return the notes that passed their check."""
        return self.decision.notes

    @property
    def rejected(self) -> tuple[RejectedNote, ...]:
        """Return the notes that failed their check, with the reasons."""
        return self.decision.rejected

    @property
    def opening(self) -> str:
        """Return what a reply is made to begin with; empty where no note opens the assistant's turn.

        Some servers repeat it at the start of the reply: ``fama.advising.repeated_notes`` takes it off.
        """
        return place_note([dict(message) for message in self.chat[-1:]], self.text, self.placement)

    @property
    def extra_body(self) -> dict[str, Any]:
        """Return the fields that the request's body needs beside the messages, for vLLM to continue the note."""
        return place_prefill([], self.opening, self.prefill) if self.opening else {}

    def messages(self) -> list[dict[str, Any]]:
        """Return a new list of the caller's messages with the notes placed as a run places them."""
        chat = [dict(message) for message in self.chat]
        opening = place_note(chat, self.text, self.placement)
        if opening:
            place_prefill(chat, opening, self.prefill)
        return chat
