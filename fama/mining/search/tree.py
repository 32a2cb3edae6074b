"""Exact search: the tree of schedules in which every note changes an action, by number of notes."""

from fama.mining.schedule import NOTHING, Schedule, asked_turns, members_at, points_at
from fama.mining.search.base import World
from fama.subsets import Subset, subsets_of_size


async def search(world: World, exact: int) -> bool:
    """Search the tree from its root without a limit of its own (the budget still holds); see ``Search``."""
    return await prove(world, None)


async def prove(world: World, calls: int | None, within: Schedule | None = None) -> bool:
    """Look for repairs with fewer notes than the best one so far; return whether all of them were excluded.

    In a minimal repair the notes before a decision change the action that the run so far would take there, and each
    of them is needed for it: otherwise the run without it is the same. So it is enough to extend schedules by such
    notes, decision after decision, with few notes first. (A helper whose later notes depend on what it said before may
    make an exception: a note that changes no action may then change a later note.) ``within`` restricts the points.
    It gives up, with False, before the next notes once ``calls`` are spent.
    """
    start = world.calls
    levels: dict[int, list[Schedule]] = {0: [NOTHING]}
    cost = 0
    while levels:
        for given in levels.pop(cost, ()):
            run = await world.run(given)
            first = max(asked_turns(given), default=-1) + 1
            for turn in range(first, run.decisions):
                allowed = world.pool if within is None else members_at(within, turn, world.pool)
                for size in range(1, len(allowed) + 1):
                    if not _cheaper(world, cost + size):
                        break
                    for members in subsets_of_size(allowed, size):
                        if calls is not None and world.calls - start >= calls:
                            return False
                        if await _needed(world, given, turn, members):
                            child = given | points_at(turn, members)
                            if not (await world.run(child)).success:
                                levels.setdefault(cost + size, []).append(child)
        cost += 1
    return True


def _cheaper(world: World, notes: int) -> bool:
    best = world.best()
    return best is None or notes < len(best.notes)


async def _needed(world: World, given: Schedule, turn: int, members: Subset) -> bool:
    """Return whether these notes change the action before a decision, and without any of them it is another one."""
    effect = await world.probe(given, turn, members)
    if effect.noted != members or not effect.changed:
        return False
    if len(members) == 1:
        return True
    for left in members:
        fewer = await world.probe(given, turn, tuple(name for name in members if name != left))
        if fewer.action == effect.action:
            return False
    return True
