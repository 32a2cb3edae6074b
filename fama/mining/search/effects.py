"""The effect map: which single note, before which decision of an episode, changes the action."""

from collections.abc import Iterable

from fama.mining.schedule import NOTHING, Schedule, points_at
from fama.mining.search.base import World


async def effect_map(world: World, turns: Iterable[int]) -> Schedule:
    """Try each helper alone before each decision, and run on what changes the action; return what does.

    Where no note changes it alone, all that wrote one are tried together, so that notes which work only side by side
    are not missed.
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
        if not changing and len(noted) > 1 and (await world.probe(NOTHING, turn, tuple(noted))).changed:
            changing = points_at(turn, noted)
            await world.run(changing)
        effective |= changing
    return effective
