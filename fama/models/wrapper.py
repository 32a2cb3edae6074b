"""A model in front of another one: what requests are written by is forwarded in one place."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fama.models.base import ChatModel, ChatReply, ChatRequest
from fama.models.prefix import continues_prefill

#: Said of a setting that a model of helpers and selection does not have: budgets count on the limit of each question.
OWN_LENGTH = "{}.max_tokens: the most tokens of an answer are its question's own"


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


class SampledModel(ModelWrapper):
    """Asks every request with sampling of its own; ``stated`` are the fields of ``Sampling`` that hold for all.

    Questions are written for temperature 0, which some models refuse.
    """

    def __init__(self, model: ChatModel, stated: Mapping[str, Any]) -> None:
        super().__init__(model)
        self.stated = dict(stated)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer a request with that sampling.

        Raises:
            ModelError: as the model behind it.
        """
        return await super().complete(replace(request, sampling=replace(request.sampling, **self.stated)))
