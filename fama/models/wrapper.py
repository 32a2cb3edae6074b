"""A model in front of another one: what requests are written by is forwarded in one place."""

from fama.models.base import ChatModel, ChatReply, ChatRequest
from fama.models.prefix import continues_prefill


class ModelWrapper:
    """Answers through another model and has its properties, so that callers write the same requests to both.

    A property of models beside ``name`` belongs here, too; ``tests/models/test_wrappers.py`` holds all wrappers to it.
    """

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """Return the model's name in ledgers."""
        return self._model.name

    @property
    def continues_prefill(self) -> bool:
        """Return whether the server behind it goes on from a prefill."""
        return continues_prefill(self._model)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer a request.

        Raises:
            ModelError: as the model behind it.
        """
        return await self._model.complete(request)
