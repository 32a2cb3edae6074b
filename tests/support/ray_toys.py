"""Plug-ins of the Ray workers in tests: a backbone that leaves a trace, and dies when it is told."""

import os
import signal
from pathlib import Path

from fama.models.base import ChatReply, ChatRequest
from fama.models.scripted import SCRIPTED, ScriptedModel
from tests.support.scripted_backbone import opening, quitter

#: Environment variable with the folder of the traces.
FOLDER = "FAMA_TEST_TRACES"
DOMAIN, SPLIT, TASKS = "shop", "train", 10


class Mortal(ScriptedModel):
    """Plays like ``quitter``. ``started.log`` gets a line per episode; a file ``kill`` there kills the process once.

    ``kill`` holds the first words of the episode in whose third decision that happens.
    """

    def __init__(self) -> None:
        self._player = quitter("scripted:mortal", DOMAIN, {SPLIT: TASKS})
        self._openings = {opening(DOMAIN, task, 0) for task in task_ids()}
        super().__init__("scripted:mortal", lambda _: "")

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The reference action, unless the process dies before it."""
        folder = Path(os.environ[FOLDER])
        turns = [str(message["content"]) for message in request.messages]
        start = max(place for place, turn in enumerate(turns) if turn in self._openings)
        if start == len(turns) - 1:
            with (folder / "started.log").open("a", encoding="utf-8") as log:
                log.write(f"{_node()}\t{turns[start]!r}\n")
        kill = folder / "kill"
        if len(turns) - start > 4 and kill.exists() and kill.read_text(encoding="utf-8") == turns[start]:
            kill.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return await self._player.complete(request)


def task_ids() -> list[str]:
    """The tasks that the backbone knows."""
    from fama.envs.helpdesk.benchmark import Helpdesk

    return list(Helpdesk().task_ids(DOMAIN, SPLIT)[:TASKS])


def register() -> None:
    """Make the backbone known as ``scripted:mortal``; Ray calls this in each worker's process."""
    SCRIPTED.add("mortal", Mortal())


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else "driver"
