"""The plan of a run: its episodes and their ids."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fama.envs.base import BENCHMARKS, Benchmark
from fama.envs.mixed import MixedDomains
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.settings import ExperimentSettings, SelectorSettings, domains_of


@dataclass(frozen=True)
class Planned:
    """One episode to run: a task, a trial and an arm."""

    task_id: str
    trial: int
    selector: SelectorSettings


def load_benchmark(settings: ExperimentSettings) -> MixedDomains:
    """Return the benchmark that the settings name, which also takes their domains together.

    Raises:
        BadInput: the benchmark, its domain, the split or an option is unknown.
    """
    make = BENCHMARKS.load(settings.benchmark)
    try:
        benchmark = make(**(settings.options or {}))
    except TypeError as error:
        raise BadInput(f"options: {settings.benchmark} does not take them ({error}); remove or rename them") from error
    benchmark = MixedDomains(benchmark)
    domains = domains_of(settings.domain)
    for domain in domains:
        _one_of(settings.benchmark, "domain", domain, benchmark.domains())
    if len(set(domains)) < len(domains):
        raise BadInput(f"domain: {settings.domain} names one twice; name each once")
    known = benchmark.splits(settings.domain)
    if settings.split not in known:
        benchmark.task_ids(settings.domain, settings.split)  # says why, where there is a reason
    _one_of(settings.benchmark, "split", settings.split, known)
    return benchmark


def _one_of(benchmark: str, field: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise BadInput(f"{field}: {benchmark} has no {field} {value!r}; known: {', '.join(known)}")


def select_tasks(settings: ExperimentSettings, benchmark: Benchmark) -> tuple[str, ...]:
    """Return the ids of the tasks that the settings ask for.

    Raises:
        BadInput: an id is unknown, the split has fewer tasks than asked for, or the benchmark needs a user model.
    """
    tasks = _select(settings, benchmark)
    if settings.user_model is None:
        benchmark.environment(settings.domain, tasks[0])  # one that has no scripted user says so here
    return tasks


def _select(settings: ExperimentSettings, benchmark: Benchmark) -> tuple[str, ...]:
    available = benchmark.task_ids(settings.domain, settings.split)
    check_once(f"{settings.benchmark} {settings.domain} {settings.split}", available)
    if isinstance(settings.tasks, int):
        if not 1 <= settings.tasks <= len(available):
            raise BadInput(f"tasks: {settings.tasks} asked for, {settings.split} has 1 to {len(available)} to give")
        return tuple(available[: settings.tasks])
    for task_id in settings.tasks:
        if task_id not in available:
            benchmark.environment(settings.domain, task_id)  # ids beyond the listed ones; raises when unknown
    if not settings.tasks:
        raise BadInput("tasks: none are named; give a number or a list of ids")
    check_once("tasks", settings.tasks)
    return settings.tasks


def check_once(where: str, tasks: Sequence[str]) -> None:
    """Refuse a task that is named twice: it would count twice in one mean and once in another.

    Raises:
        BadInput: names the first one.
    """
    twice = next((task for task, times in Counter(tasks).items() if times > 1), None)
    if twice is not None:
        raise BadInput(f"{where}: task {twice!r} is named {tasks.count(twice)} times; name each task once")


def episode_id(planned: Planned, settings_hash: str) -> str:
    """Return the content hash that names an episode: task, trial, arm and settings."""
    arm = planned.selector.model_dump(mode="json")
    return content_hash([planned.task_id, planned.trial, arm, settings_hash])
