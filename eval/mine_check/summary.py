"""From repairs and their grids to shares, regrets and calls per label, with intervals over tasks."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from eval.mine_check.records import CheckedFailure, CheckSummary, Grid
from eval.stats.paired import paired_estimate
from fama.intervals import Interval, clustered_mean, clustered_share, ratio_interval, task_weights
from fama.mining.records import Repair

_DRAWS = 2000


class Measure(NamedTuple):
    """One line of the result: what is measured, over what, and whether it is a share (told in percent)."""

    name: str
    over: str
    value: Interval
    share: bool = False
    digits: int = 1


def measures(summary: CheckSummary) -> tuple[Measure, ...]:
    """Return the lines of the result in the order in which tables tell them."""
    able, both = f"{summary.repairable} repairable", "failures that both repair"
    repaired, every = f"{summary.grid_repairs} that the grid repairs", f"all {summary.failures} failures"
    return (
        Measure("mined subset is the smallest, %", repaired, summary.smallest, share=True),
        Measure("mined subset is the cheapest, %", repaired, summary.cheapest, share=True),
        Measure("success of the grid's best subset, %", able, summary.best_success, share=True),
        Measure("success of the mined subset, %", able, summary.subset_success, share=True),
        Measure("success of the mined schedule, %", able, summary.schedule_success, share=True),
        Measure("regret of the mined subset, points", able, summary.subset_regret, share=True),
        Measure("regret of the mined schedule, points", able, summary.schedule_regret, share=True),
        Measure("note tokens of the mined schedule", both, summary.schedule_tokens),
        Measure("note tokens of the grid's cheapest subset", both, summary.least_tokens),
        Measure("model calls per label, mining", every, summary.mined_calls),
        Measure("model calls per label, effect map alone", every, summary.map_calls),
        Measure("model calls per label, grid", every, summary.grid_calls),
        Measure("model calls per label, map and grid", every, summary.with_map_calls),
        Measure("calls of mining / calls of the grid", every, summary.calls_ratio, digits=2),
        Measure("calls of mining / calls of map and grid", every, summary.with_map_ratio, digits=2),
    )


def checked_failure(record: Repair, grid: Grid) -> CheckedFailure:
    """Return a failure as mined and in its grid."""
    successes = grid.successes
    size = min((len(run.subset) for run in successes), default=None)
    tokens = min((run.note_tokens for run in successes), default=None)
    mined = None if record.members is None else grid.run_of(record.members)
    solved = mined is not None and mined.outcome == "success"
    notes = record.repair
    return CheckedFailure(
        task=str(record.key),
        trial=record.trial,
        verdict=record.verdict,
        complete=record.complete,
        members=record.members,
        schedule_notes=None if notes is None else len(notes),
        schedule_tokens=None if notes is None else sum(one.note.tokens for one in notes),
        least_size=size,
        least_tokens=tokens,
        smallest=None if size is None else solved and mined is not None and len(mined.subset) == size,
        cheapest=None if tokens is None else solved and mined is not None and mined.note_tokens == tokens,
        best=bool(successes),
        subset=solved,
        schedule=record.verdict == "repaired",
        mined_calls=record.calls,
        grid=grid,
    )


def summarise_checks(failures: Sequence[CheckedFailure], seed: int = 0) -> CheckSummary:
    """Return the results over failures; ``seed`` is the bootstrap's."""
    repaired = [one for one in failures if one.best]
    able = [one for one in failures if one.best or one.schedule]
    both = [one for one in failures if one.best and one.schedule]

    def mean(rows: Sequence[CheckedFailure], value: Callable[[CheckedFailure], float]) -> Interval:
        return clustered_mean(np.array([value(one) for one in rows]), [one.task for one in rows], seed)

    return CheckSummary(
        failures=len(failures),
        tasks=len({one.task for one in failures}),
        incomplete=sum(not one.complete for one in failures),
        grid_errors=sum(run.outcome == "error" for one in failures for run in one.grid.runs),
        grid_repairs=len(repaired),
        mining_repairs=sum(one.schedule for one in failures),
        repairable=len(able),
        smallest=_share(repaired, lambda one: bool(one.smallest)),
        cheapest=_share(repaired, lambda one: bool(one.cheapest)),
        best_success=_share(able, lambda one: one.best),
        subset_success=_share(able, lambda one: one.subset),
        schedule_success=_share(able, lambda one: one.schedule),
        subset_regret=_share(able, lambda one: one.best and not one.subset),  # a subset that solves is in the grid
        schedule_regret=_regret(able, lambda one: one.best - one.schedule, seed),
        mined_calls=mean(failures, lambda one: one.mined_calls),
        map_calls=mean(failures, lambda one: one.grid.map_calls),
        grid_calls=mean(failures, lambda one: one.grid.calls),
        with_map_calls=mean(failures, lambda one: one.grid.calls_with_map),
        calls_ratio=_ratio(failures, lambda grid: grid.calls, seed),
        with_map_ratio=_ratio(failures, lambda grid: grid.calls_with_map, seed),
        schedule_tokens=mean(both, lambda one: one.schedule_tokens or 0),
        least_tokens=mean(both, lambda one: one.least_tokens or 0),
    )


def _share(rows: Iterable[CheckedFailure], hit: Callable[[CheckedFailure], bool]) -> Interval:
    tasks: dict[str, list[bool]] = {}
    for one in rows:
        tasks.setdefault(one.task, []).append(hit(one))
    return clustered_share([sum(hits) for hits in tasks.values()], [len(hits) for hits in tasks.values()])


def _regret(rows: Sequence[CheckedFailure], value: Callable[[CheckedFailure], float], seed: int) -> Interval:
    """Return the mean of differences in [−1, 1] over failures; where all tasks are equal, with a score interval."""
    tasks = [one.task for one in rows]
    values = np.array([value(one) for one in rows], dtype=np.float64)
    found = clustered_mean(values, tasks, seed)
    if found.low is None or found.low != found.high:
        return found
    return paired_estimate(np.full(len(set(tasks)), found.value), seed).interval


def _ratio(rows: Sequence[CheckedFailure], calls: Callable[[Grid], int], seed: int) -> Interval:
    """Return calls of mining over those of the grid, summed by task."""
    names = sorted({one.task for one in rows})
    mined, grid = np.zeros(len(names)), np.zeros(len(names))
    for one in rows:
        place = names.index(one.task)
        mined[place] += one.mined_calls
        grid[place] += calls(one.grid)
    return ratio_interval(mined, grid, task_weights(len(names), _DRAWS, seed))
