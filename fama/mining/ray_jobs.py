"""Mined episodes as Ray tasks: what a worker needs, and what is said when it dies."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from fama.agents.runs.plan import load_benchmark
from fama.agents.runs.ray_jobs import check_same
from fama.episodes.records import Episode
from fama.execution.jobs import WorkerLost
from fama.execution.ray_tasks import ray_tasks
from fama.mining.bench import opened_bench
from fama.mining.episode import Mined, try_episode
from fama.mining.settings import MineSettings
from fama.mining.source import Refusal, refusal_line
from fama.settings import RunSettings


class MineJob(NamedTuple):
    """One episode to mine; ``split`` is that of its task, None where no split lists it."""

    episode: Episode
    split: str | None


@dataclass(frozen=True)
class MineRecipe:
    """A worker's input: the settings of every execution, mining's own, and the content of ``config.json``."""

    settings: RunSettings
    mine: MineSettings
    content: Mapping[str, Any]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Callable[[MineJob], Awaitable[Mined | Refusal]]]:
        """Connect the models; yield the function that mines one episode, or says why it cannot be mined.

        Raises:
            FamaError: the worker's code or benchmark is not the driver's, or a model does not answer.
        """
        benchmark = load_benchmark(self.settings)
        check_same(self.settings, benchmark, self.content)
        async with opened_bench(self.settings, benchmark, self.mine, self.content) as bench:
            yield lambda job: try_episode(bench, job.episode, job.split)


@contextmanager
def remote_mining(recipe: MineRecipe) -> Iterator[Callable[[MineJob], Awaitable[Mined | Refusal]]]:
    """Yield a function that mines one episode as a Ray task; one whose workers died is left for another run."""
    with ray_tasks(recipe, recipe.mine.concurrency) as task:

        async def run(job: MineJob) -> Mined | Refusal:
            try:
                return await task(job)
            except WorkerLost as error:
                return Refusal(refusal_line(job.episode, str(error)), passing=True)

        yield run
