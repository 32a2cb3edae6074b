"""Sets of tasks: of a question, of a comparison, of its split, and of the tables that its arms learned from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.compare.arms import traits_of
from fama.envs.base import Benchmark
from fama.episodes.keys import TaskKey
from fama.episodes.outcome_table import read_columns
from fama.episodes.records import Record
from fama.hashing import content_hash
from fama.selection.router.manifest import task_hash
from fama.settings import CompareSettings, ExperimentSettings, domains_of

_NAMED = 3


class TaskSet(Record):
    """So many tasks and trials; ``ids`` is a hash of the task ids, whatever their order."""

    tasks: int
    trials: int
    ids: str


def task_set(tasks: Sequence[str], trials: int) -> TaskSet:
    """Return the set of these tasks."""
    return TaskSet(tasks=len(tasks), trials=trials, ids=content_hash(sorted(tasks)))


def task_splits(settings: ExperimentSettings, benchmark: Benchmark) -> dict[str, str]:
    """Return the tasks of the domain, each with a split that has it: those of the settings' split first, in order."""
    others = [split for split in benchmark.splits(settings.domain) if split != settings.split]
    found: dict[str, str] = {}
    for split in (settings.split, *others):
        for task in benchmark.task_ids(settings.domain, split):
            found.setdefault(task, split)
    return found


def outside_split(settings: ExperimentSettings, benchmark: Benchmark, tasks: Sequence[str]) -> list[str]:
    """Return a warning where tasks are not of the split that a comparison is named after; else none."""
    own = set(benchmark.task_ids(settings.domain, settings.split))
    outside = [task for task in tasks if task not in own]
    if not outside:
        return []
    return [f"{len(outside)} of {len(tasks)} tasks are not of the split {settings.split}: {_some(outside)}."]


def learned_from(settings: CompareSettings, tasks: Sequence[str]) -> list[str]:
    """Return a warning for each arm that learned from tasks that it is compared on, by a table or as a trained router.

    Arms that look up the compared task itself, as an oracle does, are not meant: only those that read nothing of it.
    A router that does not say which tasks it learned from, as older ones, gets none.

    Raises:
        BadInput: a table or a checkpoint cannot be read.
    """
    found = []
    for arm in settings.arms:
        traits = traits_of(arm)
        source = arm.options.get("checkpoint")
        shared: list[str] = []
        if traits.setup == "checkpoint" and isinstance(source, str):
            shared = _fitted_on(source, settings, tasks)
        elif (
            traits.setup == "outcomes" and traits.blind and (source := arm.options.get("outcomes") or settings.outcomes)
        ):
            seen = _tasks_of(str(source), arm.options)
            shared = [task for task in tasks if not seen.isdisjoint(_keys(settings, task))]
        if shared:
            found.append(
                f"{arm.arm} learned from {len(shared)} of the {len(tasks)} compared tasks, which flatters it: {source} "
                f"has {_some(shared)}."
            )
    return found


def _fitted_on(checkpoint: str, settings: CompareSettings, tasks: Sequence[str]) -> list[str]:
    """Return the tasks that a router was fitted or calibrated on."""
    from fama.selection.router.checkpoint import read_manifest

    known = set(read_manifest(Path(checkpoint)).tasks or ())
    return [task for task in tasks if any(task_hash(str(key)) in known for key in _keys(settings, task))]


def _keys(settings: CompareSettings, task: str) -> set[TaskKey]:
    """Return the keys that a compared task may have where it was learned from; older routers kept the run's own."""
    own = [TaskKey(settings.benchmark, domain, task) for domain in domains_of(settings.domain)]
    return {*own, *(key.canonical for key in own)}


def _tasks_of(path: str, options: Mapping[str, object]) -> set[TaskKey]:
    """Return the tasks in a table, in the rows that the options leave."""
    keys = ("domain", "backbone", "strategy")
    columns = read_columns(path, ["task_id", "benchmark", *keys])
    return {
        TaskKey(benchmark, values[0], task).canonical
        for task, benchmark, *values in zip(*columns.values(), strict=True)
        if all(options.get(key) in (None, value) for key, value in zip(keys, values, strict=True))
    }


def _some(tasks: Sequence[str]) -> str:
    more = len(tasks) - _NAMED
    return ", ".join(tasks[:_NAMED]) + (f" and {more} more" if more > 0 else "")
