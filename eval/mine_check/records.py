"""Records of the check: the executed grid of one failure, a failure under both, and the result over failures."""

from typing import Any, Final, Literal

from fama.episodes.records import Record
from fama.intervals import Interval
from fama.mining.records import MiningVerdict
from fama.subsets import Subset

CHECK_VERSION: Final = 2


class GridRun(Record):
    """One subset, asked before every decision of the episode from its start.

    ``note_tokens`` are those of the notes that were given, ``reason`` is what ended the episode. A run that the clock
    ended (``wall_time``) says nothing of the subset and counts as an error, as in mining.
    """

    subset: Subset
    outcome: Literal["success", "failure", "error"]
    notes: int
    note_tokens: int
    reason: str = ""


class Grid(Record):
    """The grid of one failed episode: every non-empty subset of the helpers that its effect map leaves open.

    ``calls`` counts distinct model calls of all runs together; ``tokens`` (None where a server did not report some) and
    ``seconds`` are those of the calls when they were first answered. ``map_calls`` are those of the whole effect map,
    ``calls_with_map`` those of map and runs together.
    """

    schema_version: Literal[2] = CHECK_VERSION
    episode_id: str
    open: Subset
    runs: tuple[GridRun, ...]
    calls: int
    map_calls: int
    calls_with_map: int
    tokens: int | None
    seconds: float

    def run_of(self, subset: Subset) -> GridRun | None:
        """Return the run of a subset; None where it was not run."""
        return next((run for run in self.runs if run.subset == subset), None)

    @property
    def successes(self) -> tuple[GridRun, ...]:
        """Return the runs that repaired the episode."""
        return tuple(run for run in self.runs if run.outcome == "success")


class CheckedFailure(Record):
    """One failure as mined and in the grid.

    ``members`` is the mined minimal helper subset, None where mining found no repair. ``least_size`` and
    ``least_tokens`` (note tokens) are the least of the grid's successful subsets, None where there is none.
    ``smallest`` and ``cheapest`` say that the mined subset, asked before every decision, succeeds and has that size or
    cost; None where no subset of the grid succeeds. ``best``, ``subset`` and ``schedule`` are the successes of the best
    subset, of the mined subset before every decision, and of the mined schedule.
    """

    task: str
    trial: int
    verdict: MiningVerdict
    complete: bool
    members: Subset | None
    schedule_notes: int | None
    schedule_tokens: int | None
    least_size: int | None
    least_tokens: int | None
    smallest: bool | None
    cheapest: bool | None
    best: bool
    subset: bool
    schedule: bool
    mined_calls: int
    grid: Grid


class CheckSummary(Record):
    """Results over failures; every interval is over tasks, ``n`` is the number of tasks.

    ``smallest`` and ``cheapest`` are shares of the failures that the grid repairs (``grid_repairs``). Successes and
    regrets are over the failures that the grid or mining repairs (``repairable``); a regret is the success of the
    grid's best subset less that of what was mined, and negative where only a schedule repairs. Calls are per label,
    that is per failure, over all of them. ``calls_ratio`` is calls of mining over calls of the grid, which is spared
    the effect map that says what to run; ``with_map_ratio`` is over those of map and grid together.
    """

    failures: int
    tasks: int
    incomplete: int
    grid_errors: int
    grid_repairs: int
    mining_repairs: int
    repairable: int
    smallest: Interval
    cheapest: Interval
    best_success: Interval
    subset_success: Interval
    schedule_success: Interval
    subset_regret: Interval
    schedule_regret: Interval
    mined_calls: Interval
    map_calls: Interval
    grid_calls: Interval
    with_map_calls: Interval
    calls_ratio: Interval
    with_map_ratio: Interval
    schedule_tokens: Interval
    """Note tokens of the mined schedules, over the failures that both repair."""
    least_tokens: Interval
    """Note tokens of the grid's cheapest successful subsets, over the failures that both repair."""


class MineCheck(Record):
    """The content of ``mine-check.json``. ``config`` is the ``config.json`` of the repairs."""

    schema_version: Literal[2] = CHECK_VERSION
    command: str
    config: dict[str, Any]
    package_version: str
    git_commit: str | None
    summary: CheckSummary
    failures: tuple[CheckedFailure, ...]
    refused: tuple[str, ...]
