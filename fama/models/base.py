"""The chat-model contract: one request, one reply, one ledger row per call."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from fama.episodes.records import LedgerRow, ToolCall


@dataclass(frozen=True)
class Sampling:
    """Sampling of a reply. ``max_tokens`` counts output tokens."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChatRequest:
    """One call. ``messages`` are plain OpenAI dicts.

    ``prefill`` opens the assistant's reply; the reply's text starts with it. ``role`` goes into the
    ledger. ``trial`` keeps cached replies of different trials apart.
    """

    messages: tuple[dict[str, Any], ...]
    role: str
    sampling: Sampling = Sampling()
    seed: int = 0
    tools: tuple[dict[str, Any], ...] = ()
    json_schema: dict[str, Any] | None = None
    prefill: str = ""
    trial: int = 0


@dataclass(frozen=True)
class ChatReply:
    """One reply. ``text`` includes the request's prefill. ``usage`` has the request's role."""

    text: str
    usage: LedgerRow
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    reasoning: str = ""
    raw: dict[str, Any] = field(default_factory=dict)


class ChatModel(Protocol):
    """Anything that answers a chat request."""

    @property
    def name(self) -> str:
        """The model's name, as it goes into ledgers."""
        ...

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer a request.

        Raises:
            ModelError: the endpoint failed after all retries.
        """
        ...
