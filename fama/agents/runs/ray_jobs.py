"""Episodes as Ray tasks: what a worker needs, and how one limit of tokens is kept over many workers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from fama.agents.loop import run_episode, unplayed
from fama.agents.runs.plan import Planned, load_benchmark
from fama.agents.runs.run_config import run_prompts
from fama.agents.runs.stage import Stage, opened_stage
from fama.envs.base import Benchmark
from fama.episodes.records import Episode, Failure
from fama.errors import BadInput
from fama.execution.host import other_code
from fama.execution.jobs import WorkerLost
from fama.execution.ray_tasks import check_ray, ray_tasks
from fama.models.connect import check_shared
from fama.selection.budget import RunBudget, spent_tokens
from fama.settings import ExperimentSettings


class EpisodeJob(NamedTuple):
    """One episode to run; ``left`` is its share of the run's token limit, None without one."""

    id: str
    planned: Planned
    left: int | None = None


@dataclass(frozen=True)
class EpisodeRecipe:
    """A worker's input: settings, the content of ``config.json`` and what selectors may see."""

    settings: ExperimentSettings
    content: Mapping[str, Any]
    failures: Mapping[str, Failure] | None = None
    outcomes: str | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Callable[[EpisodeJob], Awaitable[Episode]]]:
        """Connect the models; yield the function that runs one episode.

        Raises:
            FamaError: the worker's code or benchmark is not the driver's, or a model does not answer.
        """
        settings = self.settings
        benchmark = load_benchmark(settings)
        check_same(settings, benchmark, self.content)
        opened = opened_stage(settings, benchmark, self.content, failures=self.failures, outcomes=self.outcomes)
        async with opened as stage:

            async def run(job: EpisodeJob) -> Episode:
                limits = settings.budget.model_copy(update={"run": job.left})
                setup = stage.setup(job.id, job.planned, RunBudget(limits).episode())
                return await run_episode(setup, settings)

            yield run


class Purse:
    """Deals a run's token limit out to episodes that run elsewhere.

    Each gets what an episode may spend at most before it starts. When that much is not left, it waits for those
    under way; with none under way it gets the rest. So each starts as it would had they run one by one.
    """

    def __init__(self, run: RunBudget) -> None:
        self._run = run
        self._turn = asyncio.Lock()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def share(self) -> AsyncIterator[int | None]:
        """Yield the tokens of the run's limit that one more episode may take; None is unlimited."""
        limits = self._run.settings
        if limits.run is None or limits.episode is None:
            yield None
            return
        most, budget = limits.episode, self._run.episode()
        async with self._turn, self._changed:
            await self._changed.wait_for(lambda: not self._run.reserved or self._left() >= most)
            share = max(0, min(most, self._left()))
            budget.reserve(share)
        try:
            yield share
        finally:
            async with self._changed:
                budget.release()
                self._changed.notify_all()

    def book(self, episode: Episode) -> None:
        """Take off what an episode has spent."""
        self._run.spent += spent_tokens(episode)

    def _left(self) -> int:
        return (self._run.settings.run or 0) - self._run.spent - self._run.reserved


def check_same(settings: ExperimentSettings, benchmark: Benchmark, content: Mapping[str, Any]) -> None:
    """Refuse to work in a process that would not do what the asking one would; ``content`` is its ``config.json``.

    That also holds prompts of arms that were run before and are left out now.

    Raises:
        FamaError: the benchmark's version or a prompt is another here.
    """
    if benchmark.version(settings.domain) != content["benchmark_version"]:
        raise other_code("benchmark version")
    if not run_prompts(settings).items() <= content["prompts"].items():
        raise other_code("prompts")


def check_remote(settings: ExperimentSettings) -> None:
    """Refuse settings that other processes cannot follow.

    Raises:
        BadInput: Ray is not installed, a model is served in this process only, or the run's limit cannot be shared.
    """
    check_ray()
    for key in ("model", "helper_model", "user_model"):
        model = getattr(settings, key)
        if model is not None:
            check_shared(model, key, f"{key}.base_url")
    if settings.budget.run is not None and settings.budget.episode is None:
        raise BadInput("budget.run: with executor ray every episode takes its share beforehand; set budget.episode too")


@contextmanager
def remote_episodes(
    recipe: EpisodeRecipe, stage: Stage, budget: RunBudget
) -> Iterator[Callable[[EpisodeJob], Awaitable[Episode]]]:
    """Yield a function that runs one episode as a Ray task; dying workers end in a harness error."""
    settings, purse = recipe.settings, Purse(budget)
    with ray_tasks(recipe, settings.concurrency) as task:

        async def run(job: EpisodeJob) -> Episode:
            async with purse.share() as left:
                try:
                    episode = await task(job._replace(left=left))
                except WorkerLost as error:
                    episode = unplayed(stage.setup(job.id, job.planned, budget.episode()), settings, str(error))
                purse.book(episode)
            return episode

        yield run
