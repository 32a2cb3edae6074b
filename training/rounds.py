"""Rounds of correction: run the router on training tasks, mine what it still fails, train again on all of it.

The states that a trained router meets are not those of the plain agent; a round adds the ones it went wrong in
(dataset aggregation, Ross, Gordon and Bagnell 2011, with executed repairs as the expert).
"""

import asyncio
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from fama.agents.runs.plan import load_benchmark, select_tasks
from fama.agents.runs.runner import Planned, run_planned
from fama.config import dump_settings
from fama.errors import BadInput
from fama.files import write_atomically
from fama.mining.runner import mine_folder
from fama.mining.settings import MineSettings
from fama.models.base import ChatModel
from fama.selection.router.checkpoint import MANIFEST, WORK, read_manifest
from fama.selection.router.manifest import RouterManifest
from fama.settings import RunSettings, SelectorSettings
from training.settings import CorrectionSettings, RepairSource, TrainSettings
from training.train import train

log = logging.getLogger(__name__)
_SETTINGS = "settings.json"


@dataclass(frozen=True)
class Round:
    """The folders of one round of correction, under the checkpoint's ``work``."""

    folder: Path

    @property
    def router(self) -> Path:
        """Return the folder of the router that is corrected."""
        return self.folder / "router"

    @property
    def run(self) -> Path:
        """Return the folder of that router's episodes on training tasks."""
        return self.folder / "run"

    @property
    def repairs(self) -> Path:
        """Return the folder of what was mined of them."""
        return self.folder / "repairs"


def train_in_rounds(
    settings: TrainSettings, out: Path, command: str = "", *, model: ChatModel | None = None
) -> RouterManifest | None:
    """Train ``settings.rounds`` times into ``out``; every round but the last is followed by a run and its mining.

    A round that is finished is not repeated; an interrupted one goes on where it stopped. ``model`` answers in place
    of the settings'.

    Raises:
        BadInput: data or settings cannot be used, or ``out`` holds rounds of other settings.
        FamaError: the model cannot be reached.
    """
    if settings.correction is None:
        raise ValueError("settings.correction is missing")
    sources = settings.data.repairs
    for number in range(1, settings.rounds):
        one = Round(out / WORK / f"round-{number}")
        _train_once(_learning_from(settings, sources), one, command)
        asyncio.run(_correct(settings.correction, one, model))
        sources = (*sources, RepairSource(repairs=str(one.repairs), episodes=str(one.run)))
    return train(_learning_from(settings, sources), out, command)


def _learning_from(settings: TrainSettings, sources: tuple[RepairSource, ...]) -> TrainSettings:
    return settings.model_copy(update={"data": settings.data.model_copy(update={"repairs": sources})})


def _train_once(settings: TrainSettings, one: Round, command: str) -> None:
    """Train the router of a round, unless it is there: its episodes are of this very router."""
    path, wanted = one.folder / _SETTINGS, json.dumps(dump_settings(settings), sort_keys=True, indent=2) + "\n"
    if path.is_file() and (one.router / MANIFEST).is_file():
        if path.read_text(encoding="utf-8") != wanted:
            raise BadInput(f"{path}: rounds of other settings are here; give another --out, or remove {one.folder}")
        read_manifest(one.router)
        return
    log.info("%s: training", one.router)
    train(settings, one.router, command)
    write_atomically(path, wanted)


async def _correct(correction: CorrectionSettings, one: Round, model: ChatModel | None) -> None:
    arm = SelectorSettings(name="learned", options={"checkpoint": str(one.router)})
    run = RunSettings.model_validate({**dump_settings(correction.run), "cadence": "turn", "selector": arm})
    benchmark = load_benchmark(run)
    plan = [Planned(task, trial, arm) for trial in range(run.trials) for task in select_tasks(run, benchmark)]
    await run_planned(run, plan, one.run, model=model)
    mine = MineSettings.model_validate({**dump_settings(correction.mine), "base": "selector"})
    mined = await mine_folder(one.run, mine, one.repairs, model=model)
    for line in mined.refused:
        log.warning("%s", line)
