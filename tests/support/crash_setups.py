"""SCRIPTED worlds for the crash driver; what is slow is done once, when this is imported."""

import os
import zlib
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from fama.errors import ModelError
from fama.models.base import ChatReply, ChatRequest
from fama.models.scripted import SCRIPTED, ScriptedModel
from tests.support.scripted_backbone import quitter

TASKS = 6
_QUITTER = quitter("scripted:quitter", "shop", {"train": TASKS})

_OUTCOMES = (
    *("outcomes", "model.name=scripted:quitter", "domain=shop", "split=train", f"tasks={TASKS}"),
    *("per_task=2", "subsets=[[TSA], [Verifier]]"),
)

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
    """Run a small command in the driver: what its children need is loaded, and each costs a fraction of a second."""
    import torch

    from fama.cli import main

    torch.set_num_threads(1)  # a child has no other thread
    SCRIPTED.add("quitter", _QUITTER)
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        command = _training(Path(folder)) if kind == "training" else _OUTCOMES
        assert main([*command, "--out", f"{folder}/out"]) == 0
    SCRIPTED.remove("quitter")


def _training(folder: Path) -> list[str]:
    from fama.episodes.outcome_table import write_outcomes
    from training.data.synthetic import make_tasks, outcome_rows

    write_outcomes(folder / "outcomes.parquet", outcome_rows(make_tasks(8)), {"synthetic": True})
    quick = ("trainer.wandb=disabled", "vectors={source: hashed, buckets: 16, components: 2}", "linear.folds=2")
    return ["train", "kind=linear", f"data.outcomes=[{folder / 'outcomes.parquet'}]", *quick]
