"""The chat-model contract: one request, one reply, one ledger row per call."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from fama.episodes.records import LedgerRow, ToolCall
from fama.errors import ModelError
from fama.models.ends import ReplyEnd, read_end
from fama.text.markup import read_markup


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
    """One reply. ``text`` includes the request's prefill. ``usage`` has the request's role.

    ``finish_reason`` is the server's word for the end. A ``refused`` reply's text is the refusal. ``unread`` names
    parts of the content that are no text; they stand in ``text`` as JSON.
    """

    text: str
    usage: LedgerRow
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    reasoning: str = ""
    raw: dict[str, Any] = field(default_factory=dict)
    refused: bool = False
    unread: tuple[str, ...] = ()

    @property
    def end(self) -> ReplyEnd:
        """Return how the reply ended."""
        return ReplyEnd.REFUSAL if self.refused else read_end(self.finish_reason)

    @property
    def words(self) -> str:
        """Return the text without thoughts and control tokens; empty where a thought has no end."""
        return read_markup(self.text).words


class CallFailed(ModelError):
    """A call that failed after all its tries. ``billed`` holds what the server reported as spent on them."""

    def __init__(self, message: str, billed: tuple[LedgerRow, ...] = ()) -> None:
        super().__init__(message)
        self.billed = billed


def billed(error: BaseException | None) -> tuple[LedgerRow, ...]:
    """Return what the failed call behind an error was billed; nothing if none is behind it."""
    while error is not None:
        if isinstance(error, CallFailed):
            return error.billed
        error = error.__cause__
    return ()


@contextmanager
def billed_after(ledger: Iterable[LedgerRow]) -> Iterator[None]:
    """Add the calls before a call to what it was billed where it fails: nobody else knows of them then."""
    try:
        yield
    except CallFailed as error:
        error.billed = (*ledger, *error.billed)
        raise


class ChatModel(Protocol):
    """Anything that answers a chat request."""

    @property
    def name(self) -> str:
        """Return the model's name, as it goes into ledgers."""
        ...

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer a request.

        Raises:
            ModelError: the endpoint failed after all retries.
        """
        ...
