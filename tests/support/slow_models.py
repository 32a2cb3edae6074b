"""A scripted model that takes its time, so that calls overlap."""

import asyncio
from collections.abc import Callable

from fama.models.base import ChatReply, ChatRequest
from fama.models.scripted import ScriptedModel


class SlowModel(ScriptedModel):
    """Answers after ``seconds`` of the role asking (0 for others); counts how many calls were under way at most."""

    def __init__(self, reply: Callable[[ChatRequest], str | ChatReply], seconds: dict[str, float]) -> None:
        super().__init__("slow", reply)
        self.seconds = seconds
        self.requests: list[ChatRequest] = []
        self.under_way: set[str] = set()
        self.most = 0

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Wait, then answer."""
        self.requests.append(request)
        self.under_way.add(request.role)
        self.most = max(self.most, len(self.under_way))
        try:
            await asyncio.sleep(self.seconds.get(request.role, 0.0))
            return await super().complete(request)
        finally:
            self.under_way.discard(request.role)
