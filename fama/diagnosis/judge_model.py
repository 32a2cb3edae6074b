"""A judge's connection: a model that is asked as its settings say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fama.models.base import ChatModel, ChatReply, ChatRequest
from fama.models.connect import connect
from fama.models.wrapper import ModelWrapper
from fama.settings import ModelSettings


def stated_sampling(settings: ModelSettings) -> dict[str, Any]:
    """Return the sampling that settings state, their defaults left out: what is not stated is each question's own."""
    sampled = ("temperature", "top_p", "max_tokens")
    return {name: getattr(settings, name) for name in sampled if name in settings.model_fields_set}


class SampledJudge(ModelWrapper):
    """Asks every question with the sampling that the settings state.

    Questions are short and asked at temperature 0. A model that thinks before it answers needs more tokens, and some
    models refuse temperature 0.
    """

    def __init__(self, model: ChatModel, settings: ModelSettings) -> None:
        super().__init__(model)
        self.stated = stated_sampling(settings)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer a request with the settings' sampling.

        Raises:
            ModelError: as the model behind it.
        """
        return await super().complete(replace(request, sampling=replace(request.sampling, **self.stated)))


@asynccontextmanager
async def connect_judge(settings: ModelSettings | None) -> AsyncIterator[ChatModel | None]:
    """Yield the judge of these settings for the length of the block; None where there is none.

    Raises:
        BadInput, FamaError: as ``fama.models.connect.connect``.
    """
    if settings is None:
        yield None
        return
    async with connect(settings) as model:
        yield SampledJudge(model, settings)
