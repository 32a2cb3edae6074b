"""Mine the episodes of a folder: resumable, several at once, one record per finished episode."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fama
from fama.agents.runs.ray_jobs import check_remote
from fama.agents.runs.run_config import check_unchanged, run_prompts, write_config
from fama.config import dump_settings
from fama.episodes.jsonl import RecordStore
from fama.episodes.store import EpisodeStore
from fama.errors import FamaError
from fama.execution.jobs import run_pool
from fama.helpers.pool import build_pool
from fama.mining.bench import opened_bench
from fama.mining.episode import Mined, try_episode
from fama.mining.ray_jobs import MineJob, MineRecipe, remote_mining
from fama.mining.records import REPAIRS, Repair
from fama.mining.search.base import SEARCHES
from fama.mining.settings import MineSettings
from fama.mining.source import MiningSource, Refusal, choose_episodes, open_source
from fama.models.base import ChatModel
from fama.provenance import git_commit

log = logging.getLogger(__name__)

#: Settings that may change between a part of a run and the next: which episodes, and how many at once.
FREE = frozenset({"failures", "solved", "tasks", "concurrency", "executor"})


@dataclass(frozen=True)
class MinedFolder:
    """The records of a folder, finished now or before; ``refused`` are lines about episodes that could not be mined.

    ``added`` counts the records of this call, ``failed`` the episodes that the same call may yet mine: no model
    answered, or a worker was lost.
    """

    records: tuple[Repair, ...]
    refused: tuple[str, ...]
    added: int
    failed: int


async def mine_folder(
    folder: Path,
    mine: MineSettings,
    out: Path,
    *,
    model: ChatModel | None = None,
    told: Callable[[Repair], None] = lambda record: None,
) -> MinedFolder:
    """Mine a folder of episodes into ``out``: ``repairs.jsonl``, and ``episodes.jsonl`` with the executed repairs.

    What ``out`` already holds is not mined again. Anything that stops the run, finished episodes stay, and calls of
    unfinished ones are in the response cache. ``told`` gets each record as it is written. Models that are given
    answer in this process in place of the settings'; Ray workers connect to what the settings name.

    Raises:
        BadInput: the folder cannot be mined, ``out`` was written with other settings, or a setting is unknown.
        FamaError: the model cannot be reached.
    """
    source = open_source(folder, mine, out)
    build_pool(source.settings.helpers)  # what the pool lacks is said before anything is written
    if mine.executor == "ray":
        check_remote(source.settings)
    SEARCHES.load(mine.search)
    content = _provenance(source, mine)
    check_unchanged(out, content, FREE)
    if mine.continuations == 1 and source.settings.model.temperature > 0:
        log.warning(
            "continuations: 1 at temperature %s: each branch is one draw, so that repairs may be luck and nothing is "
            "proven; set continuations above 1",
            source.settings.model.temperature,
        )
    chosen = choose_episodes(source, mine)
    repairs = RecordStore(out / REPAIRS, Repair)
    store = EpisodeStore(out)
    for written in (store, repairs):
        written.refuse_packed()
    size, recorded = store.size(), repairs.size()
    done = {record.episode_id for record in repairs.read()}
    refused, finished = list(chosen.refused), _Finished(_stop_after(source, mine))
    todo = [episode for episode in chosen.episodes if episode.id not in done]
    if todo:
        stored = store.ids()

        def finish(job: MineJob, result: Mined | Refusal) -> None:
            finished.count(result)
            if isinstance(result, Refusal):
                refused.append(result.line)
                return
            if result.repaired is not None and result.repaired.id not in stored:
                store.append(result.repaired)
            record = result.record.model_copy(
                update={"eligible": chosen.eligible[result.record.kind, result.record.split]}
            )
            repairs.append(record)
            told(record)

        jobs = (MineJob(episode, source.split_of(episode.task_id)) for episode in todo)
        async with _executor(source, mine, content, model) as run:
            with store.alone(size):
                repairs.check_unchanged(recorded)  # of failures without a repair nothing is in the other file
                write_config(out, content)
                await run_pool(jobs, run, finish, mine.concurrency)
    return MinedFolder(tuple(repairs.read()), tuple(refused), finished.added, finished.failed)


def _stop_after(source: MiningSource, mine: MineSettings) -> int:
    return source.settings.stop_after if mine.stop_after is None else mine.stop_after


class _Finished:
    """Counts episodes that were mined or failed; stops where so many in a row failed."""

    def __init__(self, stop_after: int) -> None:
        self.added = self.failed = self._in_a_row = 0
        self._stop_after = stop_after

    def count(self, result: Mined | Refusal) -> None:
        """Count an episode.

        Raises:
            FamaError: so many in a row failed that the server is gone; 0 never stops.
        """
        if isinstance(result, Mined):
            self.added, self._in_a_row = self.added + 1, 0
        elif result.passing:
            self.failed, self._in_a_row = self.failed + 1, self._in_a_row + 1
            if self._in_a_row == self._stop_after:
                raise FamaError(
                    f"{self._in_a_row} episodes in a row could not be mined ({result.line}); what was finished is "
                    "kept: fix the server, then the same command goes on (stop_after=0 never stops)"
                )


@asynccontextmanager
async def _executor(
    source: MiningSource,
    mine: MineSettings,
    content: Mapping[str, Any],
    model: ChatModel | None,
) -> AsyncIterator[Callable[[MineJob], Awaitable[Mined | Refusal]]]:
    """Yield the function that mines one episode: in this process, or as a Ray task."""
    if mine.executor == "ray":
        with remote_mining(MineRecipe(source.settings, mine, content)) as remote:
            yield remote
    else:
        async with opened_bench(source.settings, source.benchmark, mine, content, model) as bench:
            yield lambda job: try_episode(bench, job.episode, job.split)


def _provenance(source: MiningSource, mine: MineSettings) -> dict[str, Any]:
    """Return the content of ``config.json``: mining's settings, with pool and models as they are resolved."""
    settings = dump_settings(mine)
    run = dump_settings(source.settings)
    resolved = {key: run[key] for key in ("model", "helper_model", "user_model", "helpers")}
    return {
        "settings": {**settings, **resolved, "mined": source.config_hash},
        "config_hash": source.config_hash,
        "benchmark_version": source.benchmark.version(source.settings.domain),
        "prompts": run_prompts(source.settings),
        "package_version": fama.__version__,
        "git_commit": git_commit(),
    }
