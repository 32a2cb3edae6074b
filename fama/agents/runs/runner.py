"""Many episodes into one folder: resumable, several at once, with a progress bar."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fama.agents.loop import run_episode
from fama.agents.runs.plan import Planned, episode_id, load_benchmark
from fama.agents.runs.progress import Progress
from fama.agents.runs.ray_jobs import EpisodeJob, EpisodeRecipe, check_remote, remote_episodes
from fama.agents.runs.run_config import FREE, check_unchanged, earlier_prompts, provenance, run_prompts, write_config
from fama.agents.runs.stage import Stage, opened_stage
from fama.agents.runs.summary import RunSummary, Tally, summarise_run
from fama.envs.base import Benchmark
from fama.episodes.records import Episode, Failure
from fama.episodes.store import EpisodeStore
from fama.errors import FamaError
from fama.execution.jobs import run_pool
from fama.files import write_atomically
from fama.helpers.pool import build_pool
from fama.models.base import ChatModel
from fama.models.wrapper import OWN_LENGTH
from fama.selection.base import SELECTORS
from fama.selection.budget import RunBudget, check_budget, spent_tokens
from fama.settings import ExperimentSettings

SUMMARY = "summary.json"

log = logging.getLogger(__name__)


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
    beside: Mapping[str, Any] | None = None,
    opening: Callable[[], None] = lambda: None,
) -> RunSummary:
    """Run the plan in its order; write ``episodes.jsonl``, ``config.json`` and ``summary.json`` into ``out``.

    What the folder already holds is skipped, except errors, which are run again. Anything that stops the
    run, finished episodes stay. ``failures`` (by task id) put selectors on the retrospective track;
    ``outcomes`` is an outcome table for selectors that learn from one. ``progress`` None shows the bar
    on terminals only. Settings named in ``may_change`` may differ from those of an earlier part of the run; ``beside``
    goes into ``config.json`` as well. ``opening`` is called before the first episode, once nothing is refused any more.
    Models that are given answer in this process; Ray workers connect to what the settings name.

    Raises:
        BadInput: the folder was written with other settings, another process is running in it, or something the plan
            names is unknown.
        FamaError: the model cannot be reached.
    """
    benchmark = benchmark or load_benchmark(settings)
    check_budget(settings.budget, build_pool(settings.helpers))
    if settings.executor == "ray":
        check_remote(settings)
    selectors = {planned.selector.name for planned in plan}
    for name in selectors:
        SELECTORS.load(name)
    _check_helper_model(settings, selectors)
    content = provenance(settings, benchmark.version(settings.domain), run_prompts(settings))
    check_unchanged(out, content, may_change)
    content["prompts"] = {**earlier_prompts(out), **content["prompts"]}
    store = EpisodeStore(out)
    store.refuse_packed()
    past = _Past.of(store)
    todo = _todo(plan, content["config_hash"], past.finished)
    if todo:
        async with opened_stage(
            settings,
            benchmark,
            content,
            model=model,
            helper_model=helper_model,
            failures=failures,
            outcomes=outcomes,
        ) as stage:
            for planned in todo.values():
                stage.selector(planned.selector)  # what an arm lacks is said before anything is written
            jobs = (EpisodeJob(id_, planned) for id_, planned in todo.items())
            budget = RunBudget(settings.budget, past.spent)
            with store.alone(past.size):
                write_config(out, {**content, **(beside or {})})
                opening()
                store.set_aside(past.errors & todo.keys())
                with Progress(len(todo) + len(past.finished), past.tally, progress) as bar:
                    try:
                        with _executor(stage, budget) as run:
                            writer = _Writer(store, bar, settings.stop_after, past.attempts)
                            await run_pool(jobs, run, writer, settings.concurrency)
                    finally:
                        _write_summary(out, store, len(plan), content)
    with store.alone(store.size()):
        return _write_summary(out, store, len(plan), content)


def _check_helper_model(settings: ExperimentSettings, selectors: Collection[str]) -> None:
    """Warn of a model for helpers and selection that nobody asks, and of what is not its own."""
    if settings.helper_model is not None and settings.helper_model.changed("max_tokens"):
        log.warning("%s; it has no effect", OWN_LENGTH.format("helper_model"))
    traits = [SELECTORS.traits(name) for name in selectors]
    if settings.helper_model is None or settings.helpers.written_by_models or all(each.plain for each in traits):
        return
    if not any(each.asks_model for each in traits):
        log.warning("helper_model: every note is a template, and no arm asks a model; it has no effect")


class _Past(NamedTuple):
    """The episodes that a folder already holds; ``attempts`` counts those of each id that ended in an error."""

    finished: set[str]
    errors: set[str]
    spent: int
    tally: Tally
    size: int
    attempts: Counter[str]

    @classmethod
    def of(cls, store: EpisodeStore) -> "_Past":
        size = store.size()
        finished: set[str] = set()
        errors: set[str] = set()
        tally = Tally()
        spent = 0
        attempts: Counter[str] = Counter()
        for episode in store.aside():
            spent += spent_tokens(episode)
            attempts[episode.id] += 1
        for episode in store.read():
            spent += spent_tokens(episode)
            if episode.outcome.status == "error":
                errors.add(episode.id)
                attempts[episode.id] += 1
            else:
                finished.add(episode.id)
                tally.add(episode)
        return cls(finished, errors, spent, tally, size, attempts)


def _todo(plan: Sequence[Planned], settings_hash: str, finished: set[str]) -> dict[str, Planned]:
    by_id = {episode_id(planned, settings_hash): planned for planned in plan}
    return {id_: planned for id_, planned in by_id.items() if id_ not in finished}


@contextmanager
def _executor(stage: Stage, budget: RunBudget) -> Iterator[Callable[[EpisodeJob], Awaitable[Episode]]]:
    """Yield the function that runs one episode: in this process, or as a Ray task."""
    settings, context = stage.settings, stage.context
    if settings.executor == "ray":
        recipe = EpisodeRecipe(settings, stage.content, context.failures, context.outcomes)
        with remote_episodes(recipe, stage, budget) as run:
            yield run
    else:
        yield lambda job: run_episode(stage.setup(job.id, job.planned, budget.episode()), settings)


class _Writer:
    """The one writer of a run: stores each finished episode, and stops the run when its server is gone."""

    def __init__(self, store: EpisodeStore, bar: Progress, stop_after: int, attempts: Mapping[str, int]) -> None:
        self._store, self._bar, self._stop_after, self._attempts = store, bar, stop_after, attempts
        self._broken = 0

    def __call__(self, job: EpisodeJob, episode: Episode) -> None:
        self._store.append(episode.model_copy(update={"attempt": self._attempts.get(episode.id, 0) + 1}))
        self._bar.add(episode)
        self._broken = self._broken + 1 if _unanswered(episode) else 0
        if self._broken and self._broken == self._stop_after:
            raise FamaError(
                f"{self._broken} episodes in a row got no answer from the model ({episode.outcome.reason}); what was "
                "finished is kept: fix the server, then the same command goes on (stop_after=0 never stops)"
            )


def _unanswered(episode: Episode) -> bool:
    """Return whether the server of the model, or of the one that plays the user, failed before any answer.

    What failed calls cost is no answer, nor is one from the response cache or from the other of the two.
    """
    boundary = episode.outcome.boundary
    if episode.outcome.status != "error" or boundary not in ("model", "user"):
        return False
    answers = (row for row in episode.ledger if row.parsed and not row.cache_hit)
    return not any((row.role == "user") == (boundary == "user") for row in answers)


def _write_summary(out: Path, store: EpisodeStore, planned: int, content: Mapping[str, Any]) -> RunSummary:
    about = {key: content[key] for key in ("config_hash", "package_version", "git_commit")}
    summary = summarise_run(store.read(), planned, **about)
    write_atomically(out / SUMMARY, summary.model_dump_json(indent=2) + "\n")
    return summary
