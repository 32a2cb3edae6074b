"""Check the repairs of a folder: resumable, several failures at once, one grid per failure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.mine_check.grid import open_helpers, run_grid
from eval.mine_check.records import Grid
from eval.mine_check.settings import MineCheckSettings
from fama.agents.runs.run_config import FREE, as_told_in, check_unchanged, run_prompts, write_config
from fama.episodes.jsonl import RecordStore
from fama.episodes.records import Episode
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.execution.jobs import run_pool
from fama.mining.bench import opened_bench
from fama.mining.mined_folder import RepairFolder
from fama.mining.probes import Refused
from fama.mining.records import Repair
from fama.mining.settings import MineSettings
from fama.mining.source import MiningSource, open_source, refusal_line
from fama.models.base import ChatModel
from fama.subsets import Subset

GRIDS = "grids.jsonl"
#: Settings of mining that say which episodes were mined and how they were searched; the grid does not depend on them.
_OF_MINING = FREE | {"failures", "solved", "search", "exact", "budget", "share"}


@dataclass(frozen=True)
class CheckedFolder:
    """Failures with their grids, in the order of the repairs; ``refused`` are lines about those without one."""

    checked: tuple[tuple[Repair, Grid], ...]
    refused: tuple[str, ...]


@dataclass(frozen=True)
class _Job:
    record: Repair
    log: Episode
    open: Subset


async def check_repairs(
    episodes: Path,
    repairs: RepairFolder,
    out: Path,
    settings: MineCheckSettings,
    *,
    model: ChatModel | None = None,
    helper_model: ChatModel | None = None,
    told: Callable[[Repair, Grid], None] = lambda record, grid: None,
) -> CheckedFolder:
    """Run the grids of a folder's mined failures into ``out/grids.jsonl``; what is there already is not run again.

    Raises:
        BadInput: the repairs are not of these episodes or cannot be run again here, or ``out`` belongs to others.
        FamaError: the model cannot be reached.
    """
    mine = _mine_settings(repairs, settings)
    source = open_source(episodes, mine, out)
    _check_same(episodes, repairs, source)
    check_unchanged(out, dict(repairs.content), _OF_MINING)
    failed = [record for record in repairs.records if record.kind == "failed"][: settings.failures]
    if not failed:
        raise BadInput(f"{repairs.path}: no mined failure to check; mine failed episodes first")
    jobs, refused = _jobs(failed, episodes, settings.largest)
    store = RecordStore(out / GRIDS, Grid)
    size = store.size()
    grids = {grid.episode_id: grid for grid in store.read()}

    def missing(job: _Job) -> bool:
        return job.log.id not in grids or grids[job.log.id].open != job.open

    def finish(job: _Job, result: Grid | str) -> None:
        if isinstance(result, str):
            refused.append(result)
            return
        store.append(result)
        grids[job.log.id] = result
        told(job.record, result)

    todo = [job for job in jobs if missing(job)]
    if todo:
        async with opened_bench(source.settings, source.benchmark, mine, repairs.content, model, helper_model) as bench:
            here = bench.stage.model.name

            async def one(job: _Job) -> Grid | str:
                if job.record.backbone != here:
                    return _line(job.log, f"of the backbone {job.record.backbone}, here is {here}")
                try:
                    return await run_grid(bench, job.record, job.log)
                except Refused as fault:
                    return _line(job.log, str(fault))

            with store.alone(size):
                write_config(out, dict(repairs.content))
                await run_pool(todo, one, finish, settings.concurrency)
    return CheckedFolder(tuple((job.record, grids[job.log.id]) for job in jobs if not missing(job)), tuple(refused))


def _jobs(failed: Sequence[Repair], episodes: Path, largest: int) -> tuple[list[_Job], list[str]]:
    """Return the failures whose grids are to be there, and a line about each of the others."""
    logs = {log.id: log for log in read_episodes(episodes)}
    jobs: list[_Job] = []
    refused: list[str] = []
    for record in failed:
        log = logs.get(record.episode_id)
        if log is None:
            refused.append(f"{record.key}, trial {record.trial}: not checked: {episodes} has no such episode any more")
            continue
        left = open_helpers(record, len(log.decisions))
        if len(left) > largest:
            refused.append(_line(log, f"{len(left)} helpers are left open, more than largest={largest}; raise it"))
        else:
            jobs.append(_Job(record, log, left))
    return jobs, refused


def _mine_settings(repairs: RepairFolder, settings: MineCheckSettings) -> MineSettings:
    """Return the settings of mining with the way to the model as asked; the cache may have moved with its folder.

    Raises:
        BadInput: the repairs are shares of several continuations, or of an arm with helpers.
    """
    mine = repairs.mine
    if mine.continuations > 1:
        raise BadInput(
            f"{repairs.path}: mined with continuations={mine.continuations}, so outcomes are shares; only "
            "repairs of single runs (temperature 0) can be held against a grid"
        )
    if mine.base == "selector":
        raise BadInput(f"{repairs.path}: mined from an arm with helpers; only repairs of the plain agent have a grid")
    route = mine.model.model_copy(update=settings.model.model_dump(exclude_none=True))
    moved = repairs.path / "cache"
    if settings.model.cache is None and moved.is_dir() and not (route.cache and Path(route.cache).is_dir()):
        route = route.model_copy(update={"cache": str(moved)})
    return mine.model_copy(update={"model": route})


def _check_same(episodes: Path, repairs: RepairFolder, source: MiningSource) -> None:
    content: Mapping[str, Any] = repairs.content
    if content.get("config_hash") != source.config_hash:
        raise BadInput(f"{episodes}: not the episodes that {repairs.path} was mined from; give the folder of that run")
    prompts = content.get("prompts") or {}
    if prompts != as_told_in(prompts, run_prompts(source.settings)):
        raise BadInput(f"{repairs.path}: a prompt of the helpers has changed since; mine the episodes again")


def _line(log: Episode, fault: str) -> str:
    return refusal_line(log, fault).replace("not mined", "not checked")
