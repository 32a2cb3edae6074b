"""The best executed subset of each task, looked up in an outcome table of these very tasks: an upper bound."""

import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from fama.episodes.keys import EpisodeKey, TaskKey
from fama.episodes.outcome_table import OutcomeRow, read_outcomes, warn_of_errors
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.selection.base import Allowance, KeyedSelector, Selection, SelectorContext
from fama.selection.selectors.fixed import no_options
from fama.selection.traits import SelectorTraits, declare
from fama.subsets import in_pool_order, is_admissible, split_subset

#: A task under a backbone and a strategy.
_Setting = tuple[TaskKey, str, str]


@dataclass(eq=False)
class OracleSelector:
    """Looks the task up: the highest mean success over its trials, the cheapest among equals. Retrospective."""

    path: str
    pool: tuple[str, ...]
    best: Mapping[_Setting, tuple[str, ...]] = field(repr=False)
    name: str = "oracle"
    track: str = "retrospective"

    async def select_keyed(
        self, key: EpisodeKey, state: VisibleState, allowance: Allowance, rng: random.Random
    ) -> Selection:
        """Return the task's best subset.

        Raises:
            BadInput: the table holds no finished episode of this task, backbone and strategy.
        """
        if _setting(key) not in self.best:
            what = f"{key.benchmark} {key.domain} {key.task_id} {key.backbone} {key.strategy}"
            raise BadInput(f"{self.path}: no finished episode of {what}; run `fama outcomes` on these tasks")
        subset = self.best[_setting(key)]
        return Selection(subset, {name: float(name in subset) for name in self.pool})


def _setting(key: EpisodeKey) -> _Setting:
    return (key.task, key.backbone, key.strategy)


@declare(SelectorTraits(asks_model=False, setup="outcomes"))
def build(context: SelectorContext, **options: object) -> KeyedSelector:
    """Return the oracle of an outcome table; option ``outcomes``, or the context's table.

    Raises:
        BadInput: no table, or another option.
    """
    path = options.pop("outcomes", None) or context.outcomes
    no_options(options, "oracle")
    if not path:
        raise BadInput("selector 'oracle': no outcome table; set outcomes to one of the tasks that are compared")
    pool = tuple(context.helpers)
    cells: dict[_Setting, dict[tuple[str, ...], list[OutcomeRow]]] = defaultdict(lambda: defaultdict(list))
    rows = [row for row in read_outcomes(str(path)) if is_admissible(split_subset(row.subset), pool)]
    warn_of_errors(str(path), rows, "oracle")
    for row in rows:
        if row.success is not None:
            cells[_setting(row.key)][in_pool_order(split_subset(row.subset), pool)].append(row)
    return OracleSelector(str(path), pool, {key: _best(subsets, pool) for key, subsets in cells.items()})


def _best(subsets: Mapping[tuple[str, ...], list[OutcomeRow]], pool: tuple[str, ...]) -> tuple[str, ...]:
    def rank(subset: tuple[str, ...]) -> tuple[float, float, int, list[int]]:
        rows = subsets[subset]
        success = sum(bool(row.success) for row in rows) / len(rows)
        return (-success, sum(row.tokens for row in rows) / len(rows), len(subset), [pool.index(n) for n in subset])

    return min(subsets, key=rank)
