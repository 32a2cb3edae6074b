"""The default search: effect map, all effective notes together, backward elimination, proof where few are left."""

from collections.abc import Callable, Iterable

from fama.mining.schedule import NOTHING, Schedule, SchedulePoint, asked_turns, helpers_of
from fama.mining.search.base import World
from fama.mining.search.effect_map import one_note_repairs, whole_map
from fama.mining.search.tree import prove
from fama.subsets import base_of, one_form_each


async def search(world: World, exact: int) -> bool:
    """Search as the module says; see ``Search``.

    A single note that repairs ends it: nothing is cheaper, and the map has tried them all. Where the notes of one
    decision do not repair, ``starts`` are run until one does.
    """
    effective = await whole_map(world)
    if one_note_repairs(world):
        return world.deterministic
    for start in starts(world, effective):
        if world.best() is not None:
            break
        if start:
            await world.run(start)
    best = None
    while (least := world.best()) != best and least is not None:
        best = least
        await eliminate(world, best.notes)
    if not world.deterministic:
        return False
    before = world.calls
    if best is not None:  # first among what is left, which is cheap and gives a better bound
        await prove(world, exact, best.notes)
    return await prove(world, exact - (world.calls - before))


def starts(world: World, effective: Schedule) -> list[Schedule]:
    """Return the schedules of many notes that may repair: what effective notes do together, and what their helpers do.

    All effective notes come first. Then, since notes may come into effect only after the episode has taken another way,
    the helpers that have an effective note before every decision, then the whole pool. Last, since one helper's
    notes may undo what the others' repair, these helpers without one of them.
    """
    able = one_form_each(helpers_of(effective, world.pool))
    without = [tuple(name for name in able if name != one) for one in able]
    return [effective, _everywhere(world, able), world.all_asked, *(_everywhere(world, some) for some in without)]


def _everywhere(world: World, members: Iterable[str]) -> Schedule:
    """Return the schedule that asks these helpers wherever ``all_asked`` asks them, or another form of them."""
    form = {base_of(name): name for name in members}
    asked = [(point.turn, base_of(point.helper)) for point in world.all_asked]
    return frozenset(SchedulePoint(turn, form[base]) for turn, base in asked if base in form)


async def eliminate(world: World, kept: Schedule) -> Schedule:
    """Leave away decisions, helpers and single notes in turn while the rest repairs; return what is left.

    ``kept`` must repair. By decision alone or by helper alone it stops short: a helper needed at one decision keeps
    its superfluous notes at the others.
    """
    before: Schedule = NOTHING
    while kept != before:
        before = kept
        kept = await _without(world, kept, by_decision)
        kept = await _without(world, kept, points_by_helper)
        if kept == before:
            kept = await _without(world, kept, by_note)
    return kept


def by_decision(points: Schedule) -> list[Schedule]:
    """Return the points of each decision, the latest decision first."""
    turns = reversed(asked_turns(points))
    return [frozenset(point for point in points if point.turn == turn) for turn in turns]


def points_by_helper(points: Schedule) -> list[Schedule]:
    """Return the points of each helper, by name."""
    names = sorted({point.helper for point in points})
    return [frozenset(point for point in points if point.helper == name) for name in names]


def by_note(points: Schedule) -> list[Schedule]:
    """Return each point alone, the latest first."""
    return [frozenset({point}) for point in sorted(points, reverse=True)]


async def _without(world: World, kept: Schedule, grouped: Callable[[Schedule], list[Schedule]]) -> Schedule:
    for group in grouped(kept):
        rest = kept - group
        if rest and rest != kept and (run := await world.run(rest)).success:
            kept = run.notes
    return kept
