"""Many episodes into one folder: resumable, several at once, with a progress bar."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fama.agents.loop import run_episode
from fama.agents.plan import Planned, episode_id, load_benchmark, select_tasks
from fama.agents.progress import Progress
from fama.agents.provenance import FREE, check_unchanged, prompt_hashes, provenance, write_config
from fama.agents.settings import ExperimentSettings, SelectorSettings
from fama.agents.setup import EpisodeSetup
from fama.agents.summary import RunSummary, Tally, summarise
from fama.envs.base import Benchmark, UserModel
from fama.episodes.records import Episode, Failure
from fama.episodes.store import EpisodeStore, read_episodes
from fama.errors import BadInput, FamaError
from fama.files import write_atomically
from fama.hashing import content_hash
from fama.helpers.pool import build_pool
from fama.models.base import ChatModel, Sampling
from fama.randomness import derive_seed
from fama.selection.base import SELECTORS, Selector, SelectorContext
from fama.selection.budget import RunBudget, check_budget, spent_tokens
from fama.state import EpisodeKey

__all__ = ["Planned", "episode_id", "load_benchmark", "run_planned", "select_tasks"]

SUMMARY = "summary.json"


async def run_planned(
    settings: ExperimentSettings,
    plan: Sequence[Planned],
    out: Path,
    *,
    benchmark: Benchmark | None = None,
    model: ChatModel | None = None,
    helper_model: ChatModel | None = None,
    failures: Mapping[str, Failure] | None = None,
    outcomes: str | None = None,
    progress: bool | None = None,
    may_change: frozenset[str] = FREE,
) -> RunSummary:
    """Run the plan in its order; writes ``episodes.jsonl``, ``config.json`` and ``summary.json`` into ``out``.

    What the folder already holds is skipped, except errors, which are run again. Whatever stops the
    run, finished episodes stay. ``failures`` (by task id) put selectors on the retrospective track;
    ``outcomes`` is an outcome table for selectors that learn from one. ``progress`` None shows the bar
    on terminals only. Settings named in ``may_change`` may differ from those of an earlier part of the run.

    Raises:
        BadInput: the folder was written with other settings, another process is running in it, or something the plan
            names is unknown.
        FamaError: the model cannot be reached.
    """
    benchmark = benchmark or load_benchmark(settings)
    helpers = build_pool(settings.helpers)
    check_budget(settings.budget, helpers)
    for name in {planned.selector.name for planned in plan}:
        SELECTORS.load(name)
    content = provenance(settings, benchmark.version(settings.domain), prompt_hashes(settings.strategy))
    check_unchanged(out, content, may_change)
    store = EpisodeStore(out)
    past = _Past.of(store)
    todo = _todo(plan, content["config_hash"], past.finished)
    if todo:
        async with _models(settings, model, helper_model) as (backbone, for_helpers, for_user):
            context = SelectorContext(helpers, for_helpers, failures, outcomes, settings.seed)
            budget = RunBudget(settings.budget, past.spent)
            run = _Runner(settings, benchmark, backbone, for_user, context, content, budget)
            jobs = [run.setup(id_, planned) for id_, planned in todo.items()]
            with store.alone(past.size):
                write_config(out, content)
                store.set_aside(past.errors & todo.keys())
                with Progress(len(todo) + len(past.finished), past.tally, progress) as bar:
                    try:
                        await _work(jobs, settings, store, bar)
                    finally:
                        _write_summary(out, store, len(plan), content)
    with store.alone(store.size()):
        return _write_summary(out, store, len(plan), content)


class _Past(NamedTuple):
    """What a folder already holds."""

    finished: set[str]
    errors: set[str]
    spent: int
    tally: Tally
    size: int

    @classmethod
    def of(cls, store: EpisodeStore) -> "_Past":
        size = store.size()
        finished: set[str] = set()
        errors: set[str] = set()
        tally = Tally()
        spent = sum(map(spent_tokens, store.aside()))
        for episode in read_episodes(store.path) if store.path.exists() else ():
            spent += spent_tokens(episode)
            if episode.outcome.status == "error":
                errors.add(episode.id)
            else:
                finished.add(episode.id)
                tally.add(episode)
        return cls(finished, errors, spent, tally, size)


@dataclass
class _Runner:
    """What the episodes of a run share."""

    settings: ExperimentSettings
    benchmark: Benchmark
    model: ChatModel
    user: ChatModel | None
    context: SelectorContext
    content: Mapping[str, Any]
    budget: RunBudget

    def __post_init__(self) -> None:
        wanted = self.settings.demonstrations
        self._demonstrations = list(self.benchmark.demonstrations(self.settings.domain))[:wanted]
        self._selectors: dict[str, Selector] = {}

    def setup(self, id_: str, planned: Planned) -> EpisodeSetup:
        """One episode, with seeds that do not depend on the arm, so that arms are paired."""
        settings, task = self.settings, (planned.task_id, planned.trial)
        place = (settings.benchmark, settings.domain, *task)
        return EpisodeSetup(
            id=id_,
            key=EpisodeKey(
                benchmark=settings.benchmark,
                domain=settings.domain,
                task_id=planned.task_id,
                trial=planned.trial,
                backbone=self.model.name,
                strategy=settings.strategy,
            ),
            environment=partial(
                self.benchmark.environment, settings.domain, planned.task_id, *self._player(planned.trial)
            ),
            model=self.model,
            selector=self._selector(planned.selector),
            arm=planned.selector.arm,
            budget=self.budget.episode(),
            seeds={
                "environment": derive_seed(settings.seed, "environment", *place),
                "model": derive_seed(settings.seed, "model", *place),
                "selector": derive_seed(settings.seed, "selector", *place, planned.selector.arm),
            },
            helpers=self.context.helpers,
            helper_model=self.context.model,
            demonstrations=self._demonstrations,
            benchmark_version=self.benchmark.version(self.settings.domain),
            prompt_hashes=self.content["prompts"],
            config_hash=self.content["config_hash"],
        )

    def _player(self, trial: int) -> tuple[UserModel, ...]:
        """Who plays the user, when that is a model."""
        wanted = self.settings.user_model
        if self.user is None or wanted is None:
            return ()
        return (UserModel(self.user, Sampling(wanted.temperature, wanted.top_p, wanted.max_tokens), trial),)

    def _selector(self, wanted: SelectorSettings) -> Selector:
        key = content_hash([wanted.name, wanted.options])
        if key not in self._selectors:
            try:
                self._selectors[key] = SELECTORS.load(wanted.name)(self.context, **wanted.options)
            except TypeError as error:
                raise BadInput(f"selector {wanted.arm!r}: options: {error}; mend its options") from error
        return self._selectors[key]


def _todo(plan: Sequence[Planned], settings_hash: str, finished: set[str]) -> dict[str, Planned]:
    by_id = {episode_id(planned, settings_hash): planned for planned in plan}
    return {id_: planned for id_, planned in by_id.items() if id_ not in finished}


async def _work(jobs: Sequence[EpisodeSetup], settings: ExperimentSettings, store: EpisodeStore, bar: Progress) -> None:
    waiting: Iterator[EpisodeSetup] = iter(jobs)
    broken = 0

    async def worker() -> None:
        nonlocal broken
        for setup in waiting:
            episode = await run_episode(setup, settings)
            store.append(episode)
            bar.add(episode)
            broken = broken + 1 if _unanswered(episode) else 0
            if broken and broken == settings.stop_after:
                raise FamaError(
                    f"{broken} episodes in a row got no answer from the model ({episode.outcome.reason}); what was "
                    "finished is kept: mend the server, then the same command goes on (stop_after=0 never stops)"
                )

    workers = [asyncio.create_task(worker()) for _ in range(max(1, settings.concurrency))]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _unanswered(episode: Episode) -> bool:
    """Whether the model's server failed before it had answered anything."""
    return (episode.outcome.status, episode.outcome.boundary) == ("error", "model") and not episode.ledger


@asynccontextmanager
async def _models(
    settings: ExperimentSettings, model: ChatModel | None, helper_model: ChatModel | None
) -> AsyncIterator[tuple[ChatModel, ChatModel, ChatModel | None]]:
    from fama.models.connect import connect

    async with AsyncExitStack() as stack:
        if model is None:
            model = await stack.enter_async_context(connect(settings.model))
        if helper_model is None and settings.helper_model is not None:
            helper_model = await stack.enter_async_context(connect(settings.helper_model))
        user = None if settings.user_model is None else await stack.enter_async_context(connect(settings.user_model))
        yield model, helper_model or model, user


def _write_summary(out: Path, store: EpisodeStore, planned: int, content: Mapping[str, Any]) -> RunSummary:
    stored: Iterator[Episode] = read_episodes(store.path) if store.path.exists() else iter(())
    about = {key: content[key] for key in ("config_hash", "package_version", "git_commit")}
    summary = summarise(stored, planned, **about)
    write_atomically(out / SUMMARY, summary.model_dump_json(indent=2) + "\n")
    return summary
