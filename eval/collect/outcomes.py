"""Outcome tables of randomised helper subsets: what routers are trained on and policies are judged by."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from eval.collect.designs import as_executed, design, draw_subsets, draws_of
from fama.agents.runs.plan import Planned, load_benchmark, select_tasks
from fama.agents.runs.run_config import FREE, settings_from
from fama.agents.runs.runner import run_planned
from fama.config import dump_settings
from fama.episodes.outcome_table import OutcomeRow, episodes_to_rows, write_outcomes
from fama.episodes.spending import SPENT, spent_on_episodes
from fama.episodes.store import EpisodeStore
from fama.errors import BadInput
from fama.helpers.pool import build_pool
from fama.provenance import git_commit
from fama.randomness import generator
from fama.settings import OutcomesSettings, SelectorSettings
from fama.subsets import split_subset, subset_label

TABLE = "outcomes.parquet"
#: Key of a table's metadata: subsets per task and trial, by which propensities are those of execution.
_DRAWS = "draws"


class WrittenTable(NamedTuple):
    """The table's path and rows, and how many episodes were planned, are there and ended in an error.

    An error before anything was visible is no row. ``draws`` are the subsets drawn for each task and trial, ``fewer``
    the tasks and trials that were executed with fewer.
    """

    path: Path
    rows: list[OutcomeRow]
    planned: int
    episodes: int
    errors: int
    draws: int
    fewer: int


def plan_outcomes(settings: OutcomesSettings, tasks: Sequence[str], pool: Sequence[str]) -> list[Planned]:
    """Return the episodes of a table: every task's first draw, then every task's second, trial after trial.

    An interrupted table so holds about as many subsets of every task. A task's draws depend on the
    seed, the task and the trial alone, so tasks and trials can be added later.

    Raises:
        BadInput: see ``eval.collect.designs.design``.
    """
    candidates = design(pool, settings.subsets, settings.per_task)
    place = (settings.benchmark, settings.domain)
    plan: list[Planned] = []
    for trial in range(settings.trials):
        drawn = {
            task: draw_subsets(candidates, generator(settings.seed, "outcomes", *place, task, trial)) for task in tasks
        }
        for turn in range(min(settings.per_task, len(candidates))):
            plan += [Planned(task, trial, _arm(*drawn[task][turn])) for task in tasks]
    return plan


async def run_outcomes(
    settings: OutcomesSettings,
    out: Path,
    *,
    command: str,
    progress: bool | None = None,
) -> WrittenTable:
    """Run the plan into ``out`` and write the table; whatever stops the run, the finished part is written.

    Raises:
        BadInput: the settings name something unknown, or ``out`` was written with other settings.
        FamaError: the model cannot be reached.
    """
    world = load_benchmark(settings)
    pool = tuple(build_pool(settings.helpers))
    plan = plan_outcomes(settings, select_tasks(settings, world), pool)
    candidates = design(pool, settings.subsets, settings.per_task)
    drawn, draws = {subset_label(one.subset): one.propensity for one in candidates}, draws_of(candidates)
    metadata = {
        "config": dump_settings(settings),
        "command": command,
        "commit": git_commit(),
        "benchmark": settings.benchmark,
        "benchmark_version": world.version(settings.domain),
        "planned": len(plan),
        _DRAWS: draws,
    }

    def write() -> tuple[list[OutcomeRow], int]:
        store = EpisodeStore(out)
        executed = Counter(episode.key.pair for episode in store.read())
        rows = as_executed(episodes_to_rows(store.read(), pool, drawn), draws, executed)
        spent = spent_on_episodes("outcome table", TABLE, chain(store.aside(), store.read()))
        stated = spent.model_dump(include={"tokens", "seconds"})
        write_outcomes(out / TABLE, rows, {**metadata, SPENT: stated})
        return rows, sum(count < draws for count in executed.values())

    try:
        done = await run_planned(settings, plan, out, benchmark=world, progress=progress, may_change=FREE)
    except BadInput:
        raise  # the folder is another run's, or in use: its table stays as it is
    except BaseException:
        if EpisodeStore(out).path.exists():
            write()
        raise
    counted = done.overall
    rows, fewer = write()
    return WrittenTable(out / TABLE, rows, len(plan), counted.episodes, counted.status.get("error", 0), draws, fewer)


def with_executed(rows: Sequence[OutcomeRow], metadata: Mapping[str, Any]) -> list[OutcomeRow]:
    """Return the rows of a table with propensities ``as_executed``, which tables of before did not hold.

    Those of a table that does not say how its subsets were drawn are as they are.
    """
    config = metadata.get("config")
    if _DRAWS in metadata or not rows or not isinstance(config, dict):
        return list(rows)
    try:
        settings = settings_from(config, OutcomesSettings)
        draws = draws_of(design(split_subset(rows[0].pool), settings.subsets, settings.per_task))
    except (ValueError, BadInput):
        return list(rows)
    return as_executed(rows, draws)


def _arm(subset: tuple[str, ...], propensity: float) -> SelectorSettings:
    return SelectorSettings(
        name="fixed",
        label=subset_label(subset),
        options={"subset": list(subset), "propensity": propensity},
    )
