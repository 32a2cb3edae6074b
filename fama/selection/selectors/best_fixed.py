"""The subset that did best on the training tasks, the same for every task."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast, get_args

from fama.episodes.keys import TaskKey
from fama.episodes.outcome_table import OutcomeRow, read_outcomes, warn_of_errors, warn_of_rows
from fama.episodes.spending import CostUnit
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.selection.base import Allowance, Selection, Selector, SelectorContext
from fama.selection.selectors.fixed import no_options
from fama.selection.traits import SelectorTraits, declare
from fama.subsets import is_admissible, split_subset

#: Pseudo-tasks of the Beta prior, centred on the mean over all subsets.
PRIOR_TASKS = 4.0


@dataclass(frozen=True)
class Arm:
    """One subset in a table; ``success`` is shrunk, ``cost`` the mean per episode."""

    subset: tuple[str, ...]
    tasks: int
    success: float
    cost: float


@dataclass(eq=False)
class BestFixedSelector:
    """The best subset of a table, with what the choice rests on."""

    subset: tuple[str, ...]
    probabilities: Mapping[str, float]
    arms: tuple[Arm, ...] = field(repr=False)
    name: str = "best_fixed"
    track: str = "prospective"

    def at(self, lam: float) -> "BestFixedSelector":
        """Return the subset of the highest success − ``lam`` · cost / 1000, the better-ranked of equals."""
        best = max(self.arms, key=lambda arm: arm.success - lam * arm.cost / 1000)
        flags = {name: float(name in best.subset) for name in self.probabilities}
        return replace(self, subset=best.subset, probabilities=flags)

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Return the subset; a helper's probability is its mean shrunk gain, 0 outside the subset."""
        return Selection(self.subset, dict(self.probabilities))


def arms_of(
    rows: Sequence[OutcomeRow], pool: Sequence[str], prior_tasks: float = PRIOR_TASKS, unit: CostUnit = "tokens"
) -> tuple[Arm, ...]:
    """Return every executed subset of the pool, best first.

    A task counts once per subset, by the mean over its trials; errors count nowhere. The mean over tasks
    is shrunk to the mean over all cells by a Beta prior worth ``prior_tasks`` tasks, so that a subset
    seen on three tasks does not win by luck. Equal ones go by cost, then by size, then by pool order.

    Raises:
        BadInput: a row's cost is not known in this unit.
    """
    order = {name: place for place, name in enumerate(pool)}
    cells: dict[tuple[str, ...], dict[TaskKey, list[tuple[bool, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        subset = split_subset(row.subset)
        if row.success is None or not is_admissible(subset, pool):
            continue
        cost = float(row.tokens) if unit == "tokens" else row.cost(unit)
        if cost is None:
            raise BadInput(f"episode {row.episode_id} of the outcome table: {unit} unknown; set cost to tokens")
        cells[subset][row.key.task].append((row.success, cost))
    means = {
        subset: [sum(success for success, _ in task) / len(task) for task in tasks.values()]
        for subset, tasks in cells.items()
    }
    seen = [mean for task_means in means.values() for mean in task_means]
    prior = sum(seen) / len(seen) if seen else 0.0
    arms = [
        Arm(
            subset,
            len(means[subset]),
            round((sum(means[subset]) + prior_tasks * prior) / (len(means[subset]) + prior_tasks), 9),
            sum(sum(cost for _, cost in task) / len(task) for task in tasks.values()) / len(tasks),
        )
        for subset, tasks in cells.items()
    ]
    return tuple(
        sorted(arms, key=lambda arm: (-arm.success, arm.cost, len(arm.subset), [order[n] for n in arm.subset]))
    )


@declare(SelectorTraits(blind=True, asks_model=False, setup="outcomes", rival=3, payback=2, anchor=1))
def build(context: SelectorContext, **options: object) -> Selector:
    """Return the best subset of an outcome table of training tasks.

    Options: ``outcomes`` (the table's path; the context's otherwise), ``domain``, ``backbone`` and
    ``strategy`` (use only such rows), ``prior_tasks``, ``cost`` (``tokens``, ``new_tokens`` or ``seconds``: what
    λ prices, and what decides between equals).

    Raises:
        BadInput: no table, no usable row in it, or another option.
    """
    path = options.pop("outcomes", None) or context.outcomes
    wanted = {key: options.pop(key, None) for key in ("domain", "backbone", "strategy")}
    prior = options.pop("prior_tasks", PRIOR_TASKS)
    unit = options.pop("cost", "tokens")
    no_options(options, "best_fixed")
    if not path:
        raise BadInput("selector 'best_fixed': no outcome table; set outcomes to one of training tasks")
    if not isinstance(prior, int | float) or isinstance(prior, bool) or prior < 0:
        raise BadInput(f"selector.options.prior_tasks: {prior!r} is no number of tasks; give 0 or more")
    if unit not in get_args(CostUnit):
        raise BadInput(f"selector.options.cost: {unit!r} is none of {', '.join(get_args(CostUnit))}")
    rows = [
        row
        for row in read_outcomes(str(path))
        if all(value is None or getattr(row, key) == value for key, value in wanted.items())
    ]
    pool = tuple(context.helpers)
    arms = arms_of(rows, pool, prior, cast(CostUnit, unit))
    _tell(str(path), [row for row in rows if is_admissible(split_subset(row.subset), pool)])
    if not arms:
        known = ", ".join(pool) or "no helper"
        raise BadInput(f"{path}: no finished episode of a subset of {known}; use another table")
    return BestFixedSelector(arms[0].subset, _gains(arms, pool, arms[0].subset), arms)


def _tell(path: str, rows: Sequence[OutcomeRow]) -> None:
    """Say what the choice of a subset averages over, or leaves out, without having been asked to."""
    warn_of_errors(path, rows, "best_fixed")
    for key, several in (("backbone", "backbones"), ("strategy", "strategies")):
        values = sorted({getattr(row, key) for row in rows})
        if len(values) > 1:
            few = f"{', '.join(values[:4])}{', …' if len(values) > 4 else ''}"
            told = f"best_fixed takes the mean over episodes of {len(values)} {several} ({few})"
            warn_of_rows(f"{path}: {told}; the option {key} names one")


def _gains(arms: Sequence[Arm], pool: Sequence[str], subset: Sequence[str]) -> dict[str, float]:
    """Return 0.5 plus half the difference of mean success with and without a helper; 0 outside the subset."""
    gains = {}
    for name in pool:
        have = [arm.success for arm in arms if name in arm.subset]
        lack = [arm.success for arm in arms if name not in arm.subset]
        gain = sum(have) / len(have) - sum(lack) / len(lack) if have and lack else 0.0
        gains[name] = min(1.0, max(0.0, 0.5 + gain / 2)) if name in subset else 0.0
    return gains
