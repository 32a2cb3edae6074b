"""Schedules of helpers, (decision, helper) by (decision, helper), and the selector that follows one."""

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fama.episodes.state import VisibleState
from fama.selection.base import Allowance, Selection
from fama.subsets import Subset, base_of, in_pool_order, one_form_each


class SchedulePoint(NamedTuple):
    """One helper asked before one decision; ``turn`` is the 0-based decision index."""

    turn: int
    helper: str


#: The helpers asked before each decision of an episode; of an arm with helpers of its own, those asked or left out
#: against its choice.
Schedule = frozenset[SchedulePoint]
#: What an arm chooses before a decision, with no schedule.
Base = Callable[[VisibleState, Allowance, random.Random], Awaitable[Selection]]
NOTHING: Schedule = frozenset()


def points_at(turn: int, members: Iterable[str]) -> Schedule:
    """Return the schedule that asks these helpers before one decision."""
    return frozenset(SchedulePoint(turn, member) for member in members)


def full_schedule(turns: int, pool: Sequence[str]) -> Schedule:
    """Return the schedule that asks the pool's largest subset before each of the first ``turns`` decisions."""
    return frozenset(SchedulePoint(turn, member) for turn in range(turns) for member in one_form_each(pool))


def members_at(schedule: Schedule, turn: int, pool: Sequence[str]) -> Subset:
    """Return the helpers asked before a decision, in pool order."""
    return in_pool_order((point.helper for point in schedule if point.turn == turn), pool)


def asked_turns(schedule: Schedule) -> tuple[int, ...]:
    """Return the decisions at which somebody is asked, ascending."""
    return tuple(sorted({point.turn for point in schedule}))


def helpers_of(schedule: Schedule, pool: Sequence[str]) -> Subset:
    """Return the helpers that are asked anywhere, in pool order."""
    return in_pool_order((point.helper for point in schedule), pool)


@dataclass(eq=False)
class ScheduleSelector:
    """Selects what a schedule says for the coming decision. Schedules come from the tasks' own failures.

    With a ``base``, a scheduled helper is asked where the base does not, in place of another form of it, and left out
    where the base asks it.
    """

    schedule: Schedule
    pool: Subset
    base: Base | None = None
    name: str = "schedule"
    track: str = "retrospective"

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Return the scheduled helpers of decision ``state.turn``; probability 1 for them, 0 for the others."""
        subset = members_at(self.schedule, state.turn, self.pool)
        if self.base is None:
            return Selection(subset, {name: float(name in subset) for name in self.pool})
        chosen = await self.base(state, allowance, rng)
        added = set(subset) - set(chosen.subset)
        replaced = {base_of(name) for name in added}
        kept = {name for name in chosen.subset if name not in subset and base_of(name) not in replaced}
        subset = in_pool_order(kept | added, self.pool)
        return replace(chosen, subset=subset, probabilities={name: float(name in subset) for name in self.pool})
