"""The effect map: which single note, before which decision of an episode, changes the action.

As a search (``map``) it is all that is done: enough to count what single notes do, for pools whose notes cost calls.
"""

from collections.abc import Iterable

from fama.mining.schedule import NOTHING, Schedule, members_at, points_at
from fama.mining.search.base import World
from fama.subsets import one_form_each


async def effect_map(world: World, turns: Iterable[int]) -> Schedule:
    """Try each helper alone before each decision, and run on what changes the action; return what does.

    Where no note changes it alone, all that wrote one are tried together, so that notes which work only side by side
    are not missed. Of members that exclude each other the first one stands for all in what is tried or returned
    together.
    """
    effective: Schedule = NOTHING
    for turn in turns:
        changing: Schedule = NOTHING
        noted: list[str] = []
        for helper in world.pool:
            effect = await world.probe(NOTHING, turn, (helper,))
            noted += effect.noted
            if effect.changed:
                changing |= points_at(turn, (helper,))
                await world.run(points_at(turn, (helper,)))
        together = one_form_each(noted)
        if not changing and len(together) > 1 and (await world.probe(NOTHING, turn, together)).changed:
            changing = points_at(turn, together)
            await world.run(changing)
        effective |= points_at(turn, one_form_each(members_at(changing, turn, world.pool)))
    return effective


async def whole_map(world: World) -> Schedule:
    """Make the effect map of every decision of the logged episode; see ``effect_map``."""
    return await effect_map(world, range((await world.run(NOTHING)).decisions))


async def search(world: World, exact: int) -> bool:
    """Make the effect map and stop; see ``Search``.

    What repairs by one note is minimal. Repairs that need notes of several decisions are not looked for.
    """
    await whole_map(world)
    return world.deterministic and one_note_repairs(world)


def one_note_repairs(world: World) -> bool:
    """Return whether the cheapest successful run so far has one note."""
    best = world.best()
    return best is not None and len(best.notes) == 1
