"""Episodes as ACEBench's result files, so that its own ``eval_main.py`` can score them.

An episode holds what was said and called, ACEBench's files the end state of its apps: the calls are played again.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from fama.envs.base import BENCHMARKS, Benchmark
from fama.envs.episode_replay import play_again
from fama.episodes.exporters.names import distinct_names
from fama.episodes.records import Episode
from fama.errors import BadInput
from fama.files import write_atomically


def export_episodes(episodes: Iterable[Episode], folder: Path) -> list[Path]:
    """Write ``result_all/result_en/MODEL/data_<category>_result.json`` and the like; returns the files.

    MODEL names backbone, strategy, selector and trial. Tasks stand in the benchmark's order; a task that ended in an
    error or was not run is missing, and ACEBench's evaluator then refuses the file.

    Raises:
        BadInput: an episode is not of ACEBench, or its checkout is not here.
    """
    files: dict[tuple[tuple[str, ...], str], list[Episode]] = defaultdict(list)
    for episode in episodes:
        if episode.benchmark != "acebench":
            raise BadInput(
                f"export to acebench: episode {episode.id} is of {episode.benchmark}; give folders of acebench"
            )
        if episode.outcome.status != "error":
            files[_model(episode), episode.domain].append(episode)
    models = distinct_names({model: model for model, _ in files})
    written = []
    benchmark = BENCHMARKS.load("acebench")() if files else None
    for (model, domain), own in files.items():
        assert benchmark is not None  # noqa: S101 - there are files
        language = "zh" if domain.endswith("-zh") else "en"
        category = domain.removesuffix("-zh")
        order = {task: place for place, task in enumerate(benchmark.task_ids(domain, "test"))}
        rows = [asyncio.run(_row(benchmark, episode)) for episode in sorted(own, key=lambda e: order[e.task_id])]
        path = folder / "result_all" / f"result_{language}" / models[model] / f"data_{category}_result.json"
        write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        written.append(path)
    return written


def _model(episode: Episode) -> tuple[str, ...]:
    parts = (episode.backbone, episode.strategy, episode.selector, str(episode.trial))
    return tuple(part or "" for part in parts)


async def _row(benchmark: Benchmark, episode: Episode) -> dict[str, object]:
    from fama.envs.acebench.world import AgentWorld, SingleWorld

    world, _ = await play_again(benchmark, episode)
    if isinstance(world, AgentWorld):
        return {"id": episode.task_id, "result": world.state, "process": list(world.process)}
    assert isinstance(world, SingleWorld)  # noqa: S101 - ACEBench has no third kind
    return {"id": episode.task_id, "result": world.answer}
