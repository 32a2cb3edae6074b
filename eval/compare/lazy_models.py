"""Chat models that are connected only when somebody asks them something, or never."""

from contextlib import AsyncExitStack

from fama.models.base import ChatModel, ChatReply, ChatRequest
from fama.models.prefix import continues_prefill
from fama.settings import ExperimentSettings, ModelSettings


class LazyModel:
    """Connects on the first request, for as long as ``stack`` is open.

    Before that it has the properties that the settings tell; of an endpoint, whose dialect is not known yet, as of one
    that goes on from a prefill, if ``prefill`` does not say otherwise. One of ``helpers`` is asked as in a live run.
    """

    def __init__(self, settings: ModelSettings, stack: AsyncExitStack, helpers: bool = False) -> None:
        self.name = settings.name
        self._settings, self._helpers = settings, helpers
        self._stack = stack
        self._model: ChatModel | None = None

    @property
    def continues_prefill(self) -> bool:
        """Return whether the server goes on from a prefill."""
        return self._settings.prefill != "words" if self._model is None else continues_prefill(self._model)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Connect if need be, and answer.

        Raises:
            BadInput: the settings name no model that can be had.
            FamaError: no endpoint answers.
        """
        if self._model is None:
            from fama.models.connect import connect, connect_helper

            opened = connect_helper(self._settings) if self._helpers else connect(self._settings)
            self._model = await self._stack.enter_async_context(opened)
        return await self._model.complete(request)


def lazy_helper_model(settings: ExperimentSettings, stack: AsyncExitStack) -> LazyModel:
    """Return the model that helpers and prompted selection of these settings ask: one of their own, or the backbone."""
    wanted = settings.helper_model
    return LazyModel(settings.model, stack) if wanted is None else LazyModel(wanted, stack, helpers=True)


class UnconnectedModel:
    """Stands for the model while arms are only checked; never answers."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Refuse.

        Raises:
            RuntimeError: always; checking arms makes no call.
        """
        raise RuntimeError(f"{self.name} is not connected while arms are checked")
