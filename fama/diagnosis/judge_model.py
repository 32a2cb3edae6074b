"""A judge's connection: a model that is asked as its settings say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fama.models.base import ChatModel
from fama.models.connect import connect
from fama.models.wrapper import SampledModel
from fama.settings import ModelSettings


def stated_sampling(settings: ModelSettings) -> dict[str, Any]:
    """Return the sampling that settings state, their defaults left out: what is not stated is each question's own.

    A model that thinks before it answers needs more tokens than a question has.
    """
    sampled = ("temperature", "top_p", "max_tokens")
    return {name: getattr(settings, name) for name in sampled if name in settings.model_fields_set}


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
        yield SampledModel(model, stated_sampling(settings))
