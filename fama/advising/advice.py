"""The answer of an advisor: a subset of helpers, their notes, and the messages with the notes placed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fama.advising.session import Session
from fama.agents.strategies.base import Chat, Placement
from fama.episodes.records import Decision, LedgerRow, Message, Note, RejectedNote, ToolSpec


@dataclass(frozen=True)
class Usage:
    """Cost of an advice: the calls of helpers and selection, tokens of the notes, and wall time in seconds.

    ``tokens`` is None where a call's tokens are unknown.
    """

    ledger: tuple[LedgerRow, ...]
    tokens: int | None
    note_tokens: int
    seconds: float


@dataclass(frozen=True)
class Advice:
    """One decision of an advisor, before the agent's own request.

    ``decision`` is the record that a run would log. ``history`` is the conversation that was read, with the policy as
    its system message; ``decision.message_index`` indexes it. ``probabilities`` are per helper, empty where nobody was
    asked. ``session`` is the conversation's state for its next turn.
    """

    decision: Decision
    probabilities: Mapping[str, float]
    usage: Usage
    session: Session
    history: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    placement: Placement
    chat: tuple[Chat, ...]
    """The caller's messages as OpenAI dicts, without a note."""

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
    def text(self) -> str:
        """Return all notes in one line; empty without one."""
        raise NotImplementedError

    def messages(self) -> list[dict[str, Any]]:
        """Return a new list of the caller's messages with the notes placed as a run places them."""
        raise NotImplementedError
