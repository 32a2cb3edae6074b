"""A user of scripted words, for the environments whose user is a chat model."""

from fama.episodes.records import LedgerRow
from fama.models.base import ChatReply, ChatRequest


class Player:
    """Its replies in order, the last one for ever; keeps what it was asked."""

    name = "scripted:player"

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.requests: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        text = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return ChatReply(text=text, usage=LedgerRow(role=request.role, model=self.name, input_tokens=4))
