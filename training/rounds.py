"""Rounds of correction: run the router on training tasks, mine what it still fails, train again on all of it.

The states that a trained router meets are not those of the plain agent; a round adds the ones it went wrong in
(dataset aggregation, Ross, Gordon and Bagnell 2011, with executed repairs as the expert).
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fama.agents.runs.plan import Planned, load_benchmark, select_tasks
from fama.agents.runs.runner import run_planned
from fama.config import dump_settings
from fama.errors import BadInput, FamaError
from fama.files import write_atomically
from fama.helpers.pool import forms_of, told_forms
from fama.mining.mined_folder import read_repairs
from fama.mining.records import split_of
from fama.mining.runner import mine_folder
from fama.models.base import ChatModel
from fama.selection.router.checkpoint import read_manifest
from fama.selection.router.checkpoint_files import MANIFEST, WORK
from fama.selection.router.manifest import RouterManifest
from fama.settings import RunSettings, SelectorSettings, hashed_form
from training.correction import CorrectionSettings
from training.data.load import load_examples
from training.settings import RepairSource, TrainSettings
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

    @property
    def trained(self) -> bool:
        """Return whether the router is there, so that it is not trained again."""
        return (self.folder / _SETTINGS).is_file() and (self.router / MANIFEST).is_file()


def train_in_rounds(
    settings: TrainSettings,
    out: Path,
    command: str = "",
    *,
    model: ChatModel | None = None,
    told: Callable[[str], None] = log.info,
) -> RouterManifest | None:
    """Train ``settings.rounds`` times into ``out``; every round but the last is followed by a run and its mining.

    A round that is finished is not repeated; an interrupted one goes on where it stopped, unless a later round has
    learned from it: what is in its folders then stays as it is. ``model`` answers in place of the settings', ``told``
    gets a line when a part begins and for each mined episode.

    Raises:
        BadInput: data or settings cannot be used, or ``out`` holds rounds of other settings.
        FamaError: the model cannot be reached.
    """
    if settings.correction is None:
        raise ValueError("settings.correction is missing")
    _check_forms(settings.correction, settings.data.repairs)
    sources, last = settings.data.repairs, f"round {settings.rounds} of {settings.rounds}"
    for number in range(1, settings.rounds):
        one = _round(out, number)
        told(f"round {number} of {settings.rounds}: {'going on from' if one.trained else 'training'} {one.router}")
        _train_once(_learning_from(settings, sources), one, command)
        learned_from = (_round(out, number + 1).folder / _SETTINGS).is_file()
        if not learned_from and not asyncio.run(_correct(settings.correction, one, model, told)):
            log.warning("%s: the router failed nothing that could be mined; no further round", one.run)
            last = f"no round after {number}"
            break
        sources = (*sources, RepairSource(repairs=str(one.repairs), episodes=str(one.run)))
    told(f"{last}: training {out}")
    return train(_learning_from(settings, sources), out, command)


def _check_forms(correction: CorrectionSettings, sources: Sequence[RepairSource]) -> None:
    """Check that what a round will mine can be learned from beside the repairs that are there: before hours of runs."""
    helpers = correction.mine.helpers or correction.run.helpers
    forms = forms_of(helpers)
    for source in sources:
        mined = read_repairs(Path(source.repairs))
        if mined.records and mined.forms != forms:
            raise BadInput(
                f"correction: would be mined with {told_forms(forms)}, {source.repairs} with "
                f"{told_forms(mined.forms)}; make correction.run.helpers (or correction.mine.helpers) and data.repairs "
                "agree"
            )


def _round(out: Path, number: int) -> Round:
    return Round(out / WORK / f"round-{number}")


def _learning_from(settings: TrainSettings, sources: tuple[RepairSource, ...]) -> TrainSettings:
    return settings.model_copy(update={"data": settings.data.model_copy(update={"repairs": sources})})


def _train_once(settings: TrainSettings, one: Round, command: str) -> None:
    """Train the router of a round, unless it is there: the round's episodes are of this very router."""
    path = one.folder / _SETTINGS
    wanted = {"settings": _lasting(settings), "data_hash": load_examples(settings).digest()}
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if stored is not None and {key: stored[key] for key in wanted} != wanted:
        raise BadInput(f"{path}: a round of other settings or data is here; give another --out, or remove {one.folder}")
    if not one.trained:
        train(settings, one.router, command)
    files = {name: file.sha256 for name, file in read_manifest(one.router).files.items()}
    if stored is None:
        write_atomically(path, json.dumps({**wanted, "files": files}, sort_keys=True, indent=2) + "\n")
    elif stored["files"] != files:
        raise BadInput(f"{one.router}: is not the router whose episodes are in {one.run}; remove {one.folder}")


def _lasting(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings that a round depends on: without paths of data, which have a hash, and without means."""
    tree = hashed_form(dump_settings(settings))
    tree = {key: value for key, value in tree.items() if key not in ("rounds", "trainer")}
    run = {key: value for key, value in tree["correction"]["run"].items() if key not in ("concurrency", "executor")}
    mine = {key: value for key, value in tree["correction"]["mine"].items() if key not in ("concurrency", "executor")}
    return {
        **tree,
        "data": {key: value for key, value in tree["data"].items() if key != "repairs"},
        "correction": {"run": run, "mine": mine},
    }


async def _correct(
    correction: CorrectionSettings, one: Round, model: ChatModel | None, told: Callable[[str], None]
) -> bool:
    """Run the round's router on training tasks and mine its episodes; return whether there is anything to learn."""
    arm = SelectorSettings(name="learned", options={"checkpoint": str(one.router)})
    run = RunSettings.model_validate({**dump_settings(correction.run), "selector": arm})
    benchmark = load_benchmark(run)
    tasks = select_tasks(run, benchmark)
    splits = [(name, benchmark.task_ids(run.domain, name)) for name in benchmark.splits(run.domain)]
    if test := [task for task in tasks if split_of(task, splits) == "test"]:
        raise BadInput(f"correction.run.tasks: {test[0]} is a test task; a router does not learn from it")
    told(f"running it on {len(tasks)} training tasks, into {one.run}")
    await run_planned(run, [Planned(task, n, arm) for n in range(run.trials) for task in tasks], one.run, model=model)
    told(f"mining what it fails, into {one.repairs}")
    mined = await mine_folder(
        one.run, correction.mine, one.repairs, model=model, told=lambda repair: told(repair.in_a_line())
    )
    for line in mined.refused:
        log.warning("%s", line)
    if mined.failed or (mined.refused and not mined.records):
        raise FamaError(
            f"{one.run}: {mined.failed or 'none'} of its episodes could {'not ' * bool(mined.failed)}be mined, for the "
            "reasons above; once they are gone, the same command goes on from here"
        )
    return bool(mined.records)
