"""Searches on small random worlds whose every schedule can be run: the repair found is the least there is."""

from itertools import chain, combinations

import pytest

from fama.mining.meter import OutOfBudget
from fama.mining.schedule import NOTHING, Schedule, SchedulePoint, full_schedule, helpers_of, members_at
from fama.mining.search.base import SEARCHES, Effect, Run, World
from fama.mining.search.elimination import by_decision, by_note, eliminate, points_by_helper, starts
from fama.randomness import generator
from fama.subsets import Subset, excluding_pair, in_pool_order

Way = tuple[str, ...]


def admissible(schedule: Schedule, turn: int, pool: Subset) -> bool:
    return excluding_pair(members_at(schedule, turn, pool)) is None


class RandomWorld:
    """A world whose decisions and notes depend at random on all earlier actions and notes."""

    deterministic = True

    def __init__(self, number: int, steps: int, pool: Subset, luck: float) -> None:
        self.pool, self.steps = pool, steps
        self.all_asked = full_schedule(steps, pool)
        self.calls = 0
        self.limit: int | None = None
        self._number = number
        self._luck = luck
        self._runs: dict[Schedule, Run] = {}
        self._draws: dict[tuple[str, Way, str], float] = {}
        self._asked: set[tuple[Way, Subset]] = set()

    def draw(self, what: str, way: Way, who: str = "") -> float:
        key = (what, way, who)
        if key not in self._draws:
            self._draws[key] = generator(self._number, what, way, who).random()
        return self._draws[key]

    def noted(self, way: Way, members: Subset) -> Subset:
        return tuple(name for name in members if self.draw("note", way, name) < 0.8)

    def act(self, way: Way, noted: Subset) -> str:
        """Often the plain action; the episode may end early."""
        if (way, noted) not in self._asked:
            if self.limit is not None and self.calls >= self.limit:
                raise OutOfBudget("spent")
            self.calls += 1
            self._asked.add((way, noted))
        draw = self.draw("action", way, "+".join(noted)) if noted else 0.0
        return "plain" if draw < 0.5 else "left" if draw < 0.65 else "right" if draw < 0.8 else "end"

    def walk(self, schedule: Schedule) -> tuple[Way, Schedule]:
        way: Way = ()
        notes: set[SchedulePoint] = set()
        while len(way) < self.steps and "end" not in way:
            noted = self.noted(way, members_at(schedule, len(way), self.pool))
            notes |= {SchedulePoint(len(way), name) for name in noted}
            way = (*way, self.act(way, noted))
        return way, frozenset(notes)

    def solved(self, way: Way) -> bool:
        return set(way) != {"plain"} and self.draw("outcome", way) < self._luck

    async def probe(self, given: Schedule, turn: int, members: Subset) -> Effect:
        assert excluding_pair(members) is None
        way, _ = self.walk(given)
        noted = self.noted(way[:turn], members)
        action = self.act(way[:turn], noted)
        return Effect(noted, action, action != way[turn])

    async def run(self, schedule: Schedule) -> Run:
        if schedule not in self._runs:
            assert all(admissible(schedule, turn, self.pool) for turn in range(self.steps))
            way, notes = self.walk(schedule)
            self._runs[schedule] = Run(self.solved(way), float(self.solved(way)), notes, len(way), len(notes))
        return self._runs[schedule]

    def best(self) -> Run | None:
        runs = [run for run in self._runs.values() if run.success]
        return min(runs, key=lambda run: run.cost, default=None)

    def fewest(self) -> int | None:
        """The notes of the least repair, by running every schedule."""
        points = [SchedulePoint(turn, name) for turn in range(self.steps) for name in self.pool]
        every = chain.from_iterable(combinations(points, size) for size in range(len(points) + 1))
        fit = [one for one in map(frozenset, every) if all(admissible(one, t, self.pool) for t in range(self.steps))]
        walks = [self.walk(one) for one in fit]
        return min((len(notes) for way, notes in walks if self.solved(way)), default=None)


FORMS = ("A", "A:llm", "B")
WORLDS = [(number, 3, ("A", "B")) for number in range(300)] + [(number, 3, ("A", "B", "C")) for number in range(40)]
WORLDS += [(number, 3, FORMS) for number in range(100)]


@pytest.mark.parametrize("name", ["elimination", "tree"])
async def test_finds_the_least_repair_of_every_small_world(name: str) -> None:
    sizes = []
    for number, steps, pool in WORLDS:
        world = RandomWorld(number, steps, pool, luck=0.15)
        proven = await SEARCHES.load(name)(world, 10_000)
        best = world.best()
        found = None if best is None else len(best.notes)
        assert proven
        assert found == RandomWorld(number, steps, pool, luck=0.15).fewest(), (name, number, pool)
        sizes.append(found)
    assert {None, 1, 2, 3} <= set(sizes)
    assert sizes.count(None) < len(WORLDS) / 2


async def test_the_map_alone_finds_each_repair_of_one_note_and_claims_no_more() -> None:
    found = []
    for number, steps, pool in WORLDS:
        world = RandomWorld(number, steps, pool, luck=0.15)
        proven = await SEARCHES.load("map")(world, 10_000)
        best = world.best()
        least = RandomWorld(number, steps, pool, luck=0.15).fewest()
        assert proven is (least == 1), (number, pool)
        if least == 1:
            assert best is not None
            assert len(best.notes) == 1
        found.append(None if best is None else len(best.notes))
    assert {None, 1, 2} <= set(found)


def test_everything_is_one_form_of_each_helper() -> None:
    assert full_schedule(2, FORMS) == {SchedulePoint(turn, name) for turn in range(2) for name in ("A", "B")}


@pytest.mark.parametrize("name", ["elimination", "tree"])
async def test_a_repair_may_need_the_form_that_stands_last(name: str) -> None:
    members = set()
    for number in range(100):
        world = RandomWorld(number, 3, FORMS, luck=0.15)
        await SEARCHES.load(name)(world, 10_000)
        best = world.best()
        members |= set(() if best is None else helpers_of(best.notes, FORMS))
    assert members == set(FORMS)


async def test_without_a_proof_what_is_found_repairs_and_none_of_its_notes_can_go() -> None:
    unproven = 0
    for number in range(500):
        world = RandomWorld(number, 4, ("A", "B", "C"), luck=0.02)
        proven = await SEARCHES.load("elimination")(world, 0)
        best = world.best()
        if best is None or proven:
            continue
        unproven += 1
        assert world.solved(world.walk(best.notes)[0])
        for point in best.notes:
            rest = best.notes - {point}
            assert not rest or not world.solved(world.walk(rest)[0]) or world.walk(rest)[1] == best.notes
    assert unproven > 10


async def test_a_claimed_proof_holds_at_every_allowance() -> None:
    claimed = 0
    for number in range(60):
        fewest = RandomWorld(number, 3, ("A", "B", "C"), luck=0.02).fewest()
        for exact in (0, 5, 20, 80):
            world = RandomWorld(number, 3, ("A", "B", "C"), luck=0.02)
            if await SEARCHES.load("elimination")(world, exact):
                claimed += 1
                best = world.best()
                assert (None if best is None else len(best.notes)) == fewest
    assert 60 < claimed < 240


async def test_a_proof_takes_no_more_calls_than_allowed() -> None:
    for number in range(60):
        free = RandomWorld(number, 4, ("A", "B", "C"), luck=0.01)
        await SEARCHES.load("elimination")(free, 0)
        world = RandomWorld(number, 4, ("A", "B", "C"), luck=0.01)
        await SEARCHES.load("elimination")(world, 30)
        # both proofs together, and at most one decision's pairs and one run to the end beyond
        assert world.calls <= free.calls + 30 + 3 + world.steps


async def test_two_proofs_share_what_is_allowed() -> None:
    """The first alone, among the notes of a repair of four, takes more than both may."""

    class Asking(Needing):
        async def probe(self, given: Schedule, turn: int, members: Subset) -> Effect:
            self.calls += 1
            return await super().probe(given, turn, members)

    free, world = Asking(NEEDED), Asking(NEEDED)
    await SEARCHES.load("elimination")(free, 0)
    assert not await SEARCHES.load("elimination")(world, 12)
    assert world.calls - free.calls <= 12 + 1


async def test_a_budget_ends_the_search_at_once() -> None:
    world = RandomWorld(1, 4, ("A", "B", "C"), luck=0.0)
    world.limit = 15
    with pytest.raises(OutOfBudget):
        await SEARCHES.load("elimination")(world, 1000)
    assert world.calls == 15


class Needing:
    """Repaired exactly by the supersets of one schedule; every helper has a note everywhere."""

    pool: Subset = ("A", "B", "C")
    steps = 12
    all_asked = full_schedule(12, ("A", "B", "C"))
    calls = 0
    deterministic = True

    def __init__(self, needed: Schedule) -> None:
        self._needed = needed
        self.ran: dict[Schedule, Run] = {}

    async def probe(self, given: Schedule, turn: int, members: Subset) -> Effect:
        changed = bool(self._needed & {SchedulePoint(turn, name) for name in members})
        return Effect(members, "+".join(members) if changed else "plain", changed)

    async def run(self, schedule: Schedule) -> Run:
        success = self._needed <= schedule
        self.ran[schedule] = Run(success, float(success), schedule, self.steps, len(schedule))
        return self.ran[schedule]

    def best(self) -> Run | None:
        return min((run for run in self.ran.values() if run.success), key=lambda run: run.cost, default=None)


NEEDED = frozenset({SchedulePoint(2, "A"), SchedulePoint(2, "C"), SchedulePoint(7, "A"), SchedulePoint(9, "B")})


async def test_elimination_by_decision_and_helper_in_turn_keeps_what_is_needed() -> None:
    world = Needing(NEEDED)
    every = frozenset(SchedulePoint(turn, name) for turn in range(12) for name in world.pool)
    assert await eliminate(world, every) == NEEDED
    assert len(world.ran) < 40  # of 2 ** 36


async def test_the_default_search_needs_few_runs_where_the_map_says_enough() -> None:
    world: World = Needing(NEEDED)
    await SEARCHES.load("elimination")(world, 0)
    best = world.best()
    assert best is not None
    assert best.notes == NEEDED


class Undone(Needing):
    """Repaired where all that is needed is asked and a helper that undoes it is not."""

    def __init__(self, needed: Schedule, undoing: str) -> None:
        super().__init__(needed)
        self._undoing = undoing

    async def probe(self, given: Schedule, turn: int, members: Subset) -> Effect:
        changed = self._undoing in members or bool(self._needed & {SchedulePoint(turn, name) for name in members})
        return Effect(members, "+".join(members) if changed else "plain", changed)

    async def run(self, schedule: Schedule) -> Run:
        success = self._needed <= schedule and self._undoing not in helpers_of(schedule, self.pool)
        self.ran[schedule] = Run(success, float(success), schedule, self.steps, len(schedule))
        return self.ran[schedule]


@pytest.mark.parametrize("undoing", ["A", "B", "C"])
async def test_a_helper_whose_notes_undo_the_others_is_left_out(undoing: str) -> None:
    needed = frozenset(SchedulePoint(turn, name) for turn, name in ((2, "A"), (5, "B"), (7, "C")) if name != undoing)
    world = Undone(needed, undoing)
    await SEARCHES.load("elimination")(world, 0)
    best = world.best()
    assert best is not None
    assert best.notes == needed


def test_starts_ask_the_forms_that_had_an_effect() -> None:
    world = RandomWorld(0, 2, FORMS, luck=0.5)
    first, able, every, *fewer = starts(world, frozenset({SchedulePoint(1, "A:llm"), SchedulePoint(1, "B")}))
    assert first == {SchedulePoint(1, "A:llm"), SchedulePoint(1, "B")}
    assert able == {SchedulePoint(turn, name) for turn in range(2) for name in ("A:llm", "B")}
    assert every == world.all_asked
    assert fewer == [
        {SchedulePoint(0, "B"), SchedulePoint(1, "B")},
        {SchedulePoint(0, "A:llm"), SchedulePoint(1, "A:llm")},
    ]


def test_groups_of_points() -> None:
    points = frozenset({SchedulePoint(1, "B"), SchedulePoint(1, "A"), SchedulePoint(3, "A")})
    assert by_decision(points) == [
        frozenset({SchedulePoint(3, "A")}),
        frozenset({SchedulePoint(1, "A"), SchedulePoint(1, "B")}),
    ]
    assert points_by_helper(points) == [
        frozenset({SchedulePoint(1, "A"), SchedulePoint(3, "A")}),
        frozenset({SchedulePoint(1, "B")}),
    ]
    assert by_note(points) == [
        frozenset({one}) for one in (SchedulePoint(3, "A"), SchedulePoint(1, "B"), SchedulePoint(1, "A"))
    ]
    assert by_decision(NOTHING) == points_by_helper(NOTHING) == by_note(NOTHING) == []
    assert helpers_of(points, ("B", "A")) == in_pool_order("AB", ("B", "A")) == ("B", "A")
