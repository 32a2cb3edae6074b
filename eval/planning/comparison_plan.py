"""The plan of a comparison: what it takes and what it can find, from its settings and files alone."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from eval.compare.arm_replay import ReplayTable, select_rows
from eval.compare.arms import build_arms, check_names, read_task_labels
from eval.compare.comparison import check_comparable, read_grid
from eval.compare.lazy_models import UnconnectedModel
from eval.compare.task_sets import task_splits
from eval.planning.expected import Expected, expect
from eval.planning.run_cost import RunCost, estimate_cost
from eval.planning.sample_size import TRIALS, SampleSizePlan, Spread, planned_spread, plans
from eval.planning.workload import find_basis, read_workloads
from fama.agents.runs.plan import load_benchmark, select_tasks
from fama.envs.mixed import MixedDomains
from fama.episodes.outcome_table import OutcomeRow, read_outcomes
from fama.episodes.records import Failure
from fama.errors import BadInput, Missing
from fama.helpers.base import Helper
from fama.helpers.pool import build_pool
from fama.models.connect import recorded_name
from fama.selection.base import AnySelector
from fama.selection.selectors.fixed import FixedSelector
from fama.settings import CompareSettings


class Power(NamedTuple):
    """Detectable effect of so many trials: for arms that differ alike on every task, and for a difference that varies.

    ``varying`` is None where nothing says how much it varies.
    """

    alike: SampleSizePlan
    varying: SampleSizePlan | None


@dataclass(frozen=True)
class ComparisonPlan:
    """Size, power and tokens of a comparison.

    ``power`` has one row per number of trials. ``holm`` is the row of the comparison's own trials at the level that
    Holm's correction asks of the smallest p. ``expected`` is None where the benchmark's episodes were never measured,
    ``cost`` where nothing is run. ``missing`` says what has to be there before the run, ``elsewhere`` the versions and
    domains of the outcome table that are not the comparison's.
    """

    arms: int
    tasks: int
    trials: int
    spread: Spread
    power: tuple[Power, ...]
    holm: Power
    expected: Expected | None
    cost: RunCost | None
    missing: tuple[str, ...]
    elsewhere: tuple[str, ...]
    here: str

    @property
    def episodes(self) -> int:
        """Return arms × tasks × trials."""
        return self.arms * self.tasks * self.trials

    @property
    def own(self) -> Power:
        """Return the power of the comparison's own trials."""
        return next(row for row in self.power if row.alike.trials == self.trials)


def plan_comparison(settings: CompareSettings, out: Path) -> ComparisonPlan:
    """Return the plan; nothing is run, and no model is asked.

    What is not there yet (a benchmark, a checkpoint, a table or labels that other commands write) is named in
    ``missing``, and the rest is planned. Without the benchmark the tasks are taken to be as many as the settings say.
    Those of a replay, and its trials, are its table's, which has to be there.

    Raises:
        BadInput: a setting, arm, table or label file that cannot be used.
    """
    check_comparable(settings, out)
    missing: list[str] = []
    world: MixedDomains | None = None
    tasks: Sequence[str] = ()
    try:
        world = load_benchmark(settings)
        tasks = () if settings.replay else select_tasks(settings, world)
    except Missing as error:
        missing.append(str(error))
        tasks = tuple(map(str, range(settings.tasks))) if isinstance(settings.tasks, int) else settings.tasks
        if not tasks:
            raise BadInput("tasks: none are named; give a number or a list of ids") from None
    backbone = recorded_name(settings.model)
    if world is not None and (replayed := _replayed(settings, world)) is not None:
        tasks, backbone = replayed.tasks, replayed.backbone
        settings = settings.model_copy(update={"trials": len({key.trial for key in replayed.keys})})
    with _noted(missing):
        if world is not None:
            read_grid(settings, world.versions(settings.domain), tasks, backbone)
    helpers = build_pool(settings.helpers)
    arms = build_present(settings, helpers, missing)
    table: Sequence[OutcomeRow] = ()
    with _noted(missing):
        table = read_outcomes(settings.outcomes) if settings.outcomes else ()
    logged = read_workloads()
    basis = find_basis(settings, logged.workloads)
    spread = planned_spread(table, settings.outcomes or "", basis, logged.contrasts)
    subsets = {name: arm.subset if isinstance(arm, FixedSelector) else None for name, arm in arms.items()}
    count = len(settings.arms)
    trials = sorted({*TRIALS, settings.trials})
    here = [f"{version} {domain}" for domain, version in world.versions(settings.domain).items()] if world else []
    return ComparisonPlan(
        arms=count,
        tasks=len(tasks),
        trials=settings.trials,
        spread=spread,
        power=_power(len(tasks), spread, trials),
        holm=_power(len(tasks), spread, [settings.trials], 0.05 / max(1, count - 1))[0],
        expected=expect(settings, len(tasks), basis, helpers, {a.arm: subsets.get(a.arm) for a in settings.arms}),
        cost=None if settings.replay else estimate_cost(settings, tasks, out, table),
        missing=tuple(missing),
        elsewhere=_elsewhere(table, here) if world else (),
        here=" and ".join(sorted(here)),
    )


def _replayed(settings: CompareSettings, world: MixedDomains) -> ReplayTable | None:
    """Return the part of the table that a replay looks up; None where the comparison is run live.

    Raises:
        BadInput: the table is missing, of another version, or lacks the tasks.
    """
    if not settings.replay:
        return None
    rows = read_outcomes(settings.replay, world.versions(settings.domain))
    return select_rows(rows, settings, settings.replay, task_splits(settings, world))


def build_present(
    settings: CompareSettings, helpers: Mapping[str, Helper], missing: list[str]
) -> dict[str, AnySelector]:
    """Return the selectors that can be built; what the others lack is added to ``missing``, once each.

    Raises:
        BadInput: an arm or a label file that cannot be used.
    """
    check_names(settings.arms)
    failures: Mapping[str, Failure] | None = {}
    with _noted(missing):
        failures = read_task_labels(settings)
    found: dict[str, AnySelector] = {}
    for arm in settings.arms:
        alone = settings.model_copy(update={"arms": (arm,)})
        with _noted(missing):
            found |= build_arms(alone, helpers, UnconnectedModel(settings.model.name), failures)
    return found


@contextmanager
def _noted(missing: list[str]) -> Iterator[None]:
    """Go on behind something that is not there yet, noted once."""
    try:
        yield
    except Missing as error:
        if str(error) not in missing:
            missing.append(str(error))


def _power(tasks: int, spread: Spread, trials: Sequence[int], alpha: float = 0.05) -> tuple[Power, ...]:
    alike = plans(tasks, spread.discordance, 0.0, trials, alpha)
    if spread.between is None:
        return tuple(Power(one, None) for one in alike)
    whole = min(1.0, spread.discordance + spread.between)
    varying = plans(tasks, whole, spread.between, trials, alpha)
    return tuple(Power(*pair) for pair in zip(alike, varying, strict=True))


def _elsewhere(table: Sequence[OutcomeRow], here: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({f"{row.benchmark_version or 'unknown version'} {row.domain}" for row in table} - set(here)))
