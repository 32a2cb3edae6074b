"""SCRIPTED worlds for the crash driver; what is slow is done once, when this is imported."""

import os
import zlib
from collections.abc import Callable

from fama.errors import ModelError
from fama.models.base import ChatReply, ChatRequest
from fama.models.scripted import SCRIPTED, ScriptedModel
from tests.support.scripted_backbone import quitter

TASKS = 6
_QUITTER = quitter("scripted:quitter", "shop", {"train": TASKS})

#: One request in so many gets no answer, always the same ones, while this variable is set.
BROKEN = "FAULTS_BROKEN"


class Watched(ScriptedModel):
    """The quitter, whose every answer is an event; its server is broken where ``FAULTS_BROKEN`` says so."""

    def __init__(self, event: Callable[[], None]) -> None:
        super().__init__("scripted:quitter", lambda _: "")
        self._event = event

    async def complete(self, request: ChatRequest) -> ChatReply:
        self._event()
        share = int(os.environ.get(BROKEN, "0"))
        asked = zlib.crc32(repr(request.messages).encode())
        if share and asked % share == 0:
            raise ModelError("scripted: the server is broken")
        return await _QUITTER.complete(request)


def helpdesk(event: Callable[[], None]) -> None:
    """The embedded benchmark with the scripted backbone."""
    SCRIPTED.add("quitter", Watched(event))


def training(event: Callable[[], None]) -> None:
    """Training needs no model."""


def load(kind: str) -> None:
    """Import in the driver what its children need, so that a child costs a fraction of a second."""
    import pyarrow.parquet
    import rich.table

    import eval.collect.outcomes
    import fama.commands.run
    from fama.provenance import git_commit

    git_commit()
    assert rich.table and pyarrow.parquet and eval.collect.outcomes and fama.commands.run
    if kind == "training":
        import torch

        import training.network.fit
        import training.train

        torch.set_num_threads(1)
        assert training.network.fit and training.train
