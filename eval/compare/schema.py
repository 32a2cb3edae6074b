"""Schema of ``comparison.json``. Every rate is in [0, 1], every interval is over tasks.

``python -m eval.compare.schema > docs/comparison.schema.json`` writes its JSON schema.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import Field

from eval.compare.setup_cost import Payback
from eval.compare.task_sets import TaskSet, task_set
from eval.metrics.measures import Measures, PairedDifference
from eval.metrics.selection_quality import SelectionQuality
from fama.episodes.records import Record
from fama.episodes.spending import Spent
from fama.intervals import Interval
from fama.selection.health import SelectorHealth

COMPARISON_VERSION = 1


class Corrected(Record):
    """An arm without the tasks that are known to be wrong (``fama/envs/exclusions.yaml``)."""

    tasks: int
    success: Interval
    tokens: Interval
    versus_none: PairedDifference | None = None


class ArmResult(Record):
    """One arm. ``missing`` counts replayed choices that the table has no executed episode of.

    ``one_off`` is the arm's setup cost, in none of its episodes' tokens; empty where it is ready as it is.
    ``payback`` says after how many episodes saved tokens pay for it. ``health`` is None where it was not recorded.
    ``second_attempts`` counts episodes that were run again after an error, ``out_of_time`` those that
    ``limits.seconds`` ended, a limit by choice and no error; None where the episodes do not say it. ``corrected`` is
    None where no task is known to be wrong.
    """

    arm: str
    selector: str
    options: dict[str, Any] = Field(default_factory=dict)
    measures: Measures
    versus_none: PairedDifference | None = None
    versus_learned: PairedDifference | None = None
    corrected: Corrected | None = None
    selection: SelectionQuality | None = None
    health: SelectorHealth | None = None
    helpers_per_episode: float | None = None
    subsets: dict[str, int] = Field(default_factory=dict)
    missing: int = 0
    second_attempts: int | None = None
    out_of_time: int | None = None
    one_off: tuple[Spent, ...] = ()
    payback: tuple[Payback, ...] = ()

    @property
    def broken(self) -> bool:
        """Return whether the selector made no readable choice at more than half of its decisions."""
        return self.health is not None and self.health.broken


class TaskCell(Record):
    """One arm on one task; ``tokens`` is the mean over scored trials. ``episodes`` are ids."""

    trials: int
    successes: int
    errors: int = 0
    tokens: float | None = None
    subsets: tuple[str, ...] = ()
    episodes: tuple[str, ...] = ()


class TaskRow(Record):
    """One task under every arm. ``minimal`` and ``oracle`` come from the executed subsets."""

    task_id: str
    arms: dict[str, TaskCell]
    minimal: str | None = None
    oracle: float | None = None


def tasks_by_arm(rows: Sequence[TaskRow], trials: int = 1) -> dict[str, frozenset[str]]:
    """Return the tasks with at least so many verdicts of every arm that has any such."""
    arms = dict.fromkeys(arm for row in rows for arm in row.arms)
    found = {
        arm: frozenset(row.task_id for row in rows if arm in row.arms and row.arms[arm].trials >= trials)
        for arm in arms
    }
    return {arm: tasks for arm, tasks in found.items() if tasks}


class GridReport(Record):
    """The executed subsets that selection is judged against, and the best they allow."""

    source: str
    tasks: int
    subsets_per_task: float
    oracle: Interval


class CurvePoint(Record):
    """An arm at one λ, the success that 1,000 tokens are worth; None for an arm that does not follow it."""

    lam: float | Literal["inf"] | None
    tokens: Interval
    success: Interval


class Curve(Record):
    """Attained success of an arm over λ. ``area`` is its mean attainable success over the budgets that all curves span.

    Points are of the same ``episodes`` pairs of task and trial; None in files of before this was written.

    The last two are read off the curve at the tokens and at the success of the arm ``versus``. They and the area are
    None where the tokens of a point are unknown.
    """

    arm: str
    points: tuple[CurvePoint, ...]
    area: Interval
    episodes: int | None = None
    versus: str | None = None
    success_at_equal_tokens: float | None = None
    tokens_at_equal_success: float | None = None

    @property
    def tokens(self) -> tuple[float, ...] | None:
        """Return the tokens of the points; None where one is unknown."""
        values = tuple(point.tokens.value for point in self.points)
        known = tuple(value for value in values if value is not None)
        return known if len(known) == len(values) else None


class Answer(Record):
    """A question asked before the run, and what the comparison shows.

    ``difference`` is the success of ``arm`` less that of ``than`` on the pairs of task and trial that both have a
    verdict on. ``shown`` is None where it has no interval. ``token_share`` is the new tokens of helpers and selection
    over the other arm's, None where they are unknown, the other has none, or nothing was asked about tokens.
    ``asked`` is what it was first asked of, which may be other tasks or trials than it is answered on; None where that
    was not recorded.
    """

    arm: str
    than: str
    ask: Literal["no_worse", "more", "same"]
    margin: float
    tokens: float | None = None
    difference: Interval
    shown: bool | None
    token_share: Interval | None = None
    tokens_shown: bool | None = None
    asked: TaskSet | None = None


class Comparison(Record):
    """Arms on the same tasks, trials and seeds."""

    schema_version: int = COMPARISON_VERSION
    kind: Literal["live", "replay"]
    track: Literal["prospective", "retrospective"]
    benchmark: str
    benchmark_version: str
    domain: str
    split: str
    backbone: str
    strategy: str
    tasks: int
    trials: int
    seed: int
    bootstrap: int
    arms: tuple[ArmResult, ...]
    answers: tuple[Answer, ...] = ()
    """Of the questions in the config, in its order."""
    learned_arm: str | None = None
    do_nothing: Interval
    lattice: GridReport | None = None
    frontier: tuple[str, ...] = ()
    """Arms that no arm with as few tokens beats in success, by rising tokens; none where ``same_tasks`` is false."""
    curves: tuple[Curve, ...] = ()
    """Success over tokens for λ from 0 to ∞, on replay, where ``lambdas`` are set."""
    per_task: tuple[TaskRow, ...] = ()
    wrong_tasks: tuple[str, ...] = ()
    """Compared tasks that are known to be wrong."""
    commits: dict[str, int] = Field(default_factory=dict)
    """Episodes by the commit that they ran at."""
    simulated: tuple[str, ...] = ()
    """Simulated parts of these numbers, in words."""
    warnings: tuple[str, ...] = ()
    config: dict[str, Any] = Field(default_factory=dict)
    command: str = ""
    commit: str | None = None
    """Commit that wrote the comparison; its episodes may have run at others."""
    package_version: str = ""
    created_at: str = ""

    def named_arms(self) -> Iterator[tuple[str, str]]:
        """Yield the arms that fields name, each with the place of its field."""
        if self.learned_arm is not None:
            yield "learned_arm", self.learned_arm
        for index, arm in enumerate(self.arms):
            for side in ("versus_none", "versus_learned"):
                against: PairedDifference | None = getattr(arm, side)
                if against is not None:
                    yield f"arms.{index}.{side}.versus", against.versus

    @property
    def task_set(self) -> TaskSet:
        """Return the compared tasks and the trials that were asked for."""
        trials = self.config.get("trials")
        return task_set([row.task_id for row in self.per_task], trials if isinstance(trials, int) else self.trials)

    @property
    def shared_tasks(self) -> tuple[TaskRow, ...]:
        """Return the tasks on which every arm with any verdict has one."""
        by_arm = tasks_by_arm(self.per_task)
        return tuple(row for row in self.per_task if all(row.task_id in tasks for tasks in by_arm.values()))

    @property
    def same_tasks(self) -> bool:
        """Return whether all arms with any verdict have verdicts on the same tasks, so that their rates rank them."""
        return len(set(tasks_by_arm(self.per_task).values())) <= 1

    @property
    def grid_part(self) -> str:
        """Return `` (7 of 20 tasks)`` where the executed subsets are of fewer tasks than are compared, else nothing."""
        grid = self.lattice
        return "" if grid is None or grid.tasks == self.tasks else f" ({grid.tasks} of {self.tasks} tasks)"

    @property
    def plain(self) -> str:
        """Return the name of the arm without helpers that the others are compared with."""
        return next((arm.versus_none.versus for arm in self.arms if arm.versus_none), "none")

    def arm(self, name: str) -> ArmResult:
        """Return the result of an arm.

        Raises:
            KeyError: there is no such arm.
        """
        for result in self.arms:
            if result.arm == name:
                return result
        raise KeyError(name)


def json_schema() -> str:
    """Return the JSON schema of ``comparison.json``, as docs/comparison.schema.json has it."""
    return json.dumps(Comparison.model_json_schema(mode="serialization"), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(json_schema())
