"""Mine the episodes of a folder: resumable, several at once, one record per finished episode."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fama
from fama.agents.runs.run_config import check_unchanged, run_prompts, write_config
from fama.agents.runs.stage import Stage, connected
from fama.config import dump_settings
from fama.episodes.jsonl import RecordStore
from fama.episodes.records import Episode
from fama.episodes.store import EpisodeStore
from fama.execution.jobs import run_pool
from fama.helpers.pool import build_pool
from fama.mining.bench import Bench
from fama.mining.episode import Mined, mine_episode
from fama.mining.records import REPAIRS, Repair
from fama.mining.search.base import SEARCHES
from fama.mining.settings import MineSettings
from fama.mining.source import Source, choose_episodes, open_source, refusal
from fama.mining.world import Refused
from fama.models.base import ChatModel
from fama.provenance import git_commit
from fama.selection.base import SelectorContext

#: Settings that may change between a part of a run and the next: which episodes, and how many at once.
FREE = frozenset({"failures", "solved", "tasks", "concurrency"})


@dataclass(frozen=True)
class MinedFolder:
    """The records of a folder, finished now or before; ``refused`` are lines about episodes that could not be mined."""

    records: tuple[Repair, ...]
    refused: tuple[str, ...]


async def mine_folder(
    folder: Path,
    mine: MineSettings,
    out: Path,
    *,
    model: ChatModel | None = None,
    helper_model: ChatModel | None = None,
    told: Callable[[Repair], None] = lambda record: None,
) -> MinedFolder:
    """Mine a folder of episodes into ``out``: ``repairs.jsonl``, and ``episodes.jsonl`` with the executed repairs.

    What ``out`` already holds is not mined again. Anything that stops the run, finished episodes stay, and calls of
    unfinished ones are in the response cache. ``told`` gets each record as it is written. Models that are given
    answer in place of the settings'.

    Raises:
        BadInput: the folder cannot be mined, ``out`` was written with other settings, or a setting is unknown.
        FamaError: the model cannot be reached.
    """
    source = open_source(folder, mine, out)
    helpers = build_pool(source.settings.helpers)
    SEARCHES.load(mine.search)
    content = _provenance(source, mine)
    check_unchanged(out, content, FREE)
    chosen = choose_episodes(source, mine)
    repairs = RecordStore(out / REPAIRS, Repair)
    store = EpisodeStore(out)
    size = store.size()
    done = {record.episode_id for record in repairs.read()}
    refused = list(chosen.refused)
    todo = [episode for episode in chosen.episodes if episode.id not in done]
    if todo:
        stored = store.ids()
        async with connected(source.settings, model, helper_model) as (backbone, for_helpers, for_user):
            context = SelectorContext(helpers, for_helpers, None, None, source.settings.seed)
            stage = Stage(source.settings, source.benchmark, backbone, for_user, context, content)
            bench = Bench(stage, mine)

            async def one(episode: Episode) -> Mined | str:
                if episode.backbone != backbone.name:
                    return refusal(episode, f"of the backbone {episode.backbone}, here is {backbone.name}")
                try:
                    return await mine_episode(bench, episode, source.split_of(episode.task_id))
                except Refused as fault:
                    return refusal(episode, str(fault))

            def finish(episode: Episode, result: Mined | str) -> None:
                if isinstance(result, str):
                    refused.append(result)
                    return
                if result.repaired is not None and result.repaired.id not in stored:
                    store.append(result.repaired)
                repairs.append(result.record)
                told(result.record)

            with store.alone(size):
                write_config(out, content)
                await run_pool(todo, one, finish, mine.concurrency)
    return MinedFolder(tuple(repairs.read()), tuple(refused))


def _provenance(source: Source, mine: MineSettings) -> dict[str, Any]:
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
