"""The grid of one failure: what its effect map leaves open, and every subset of that run to the end."""

from collections.abc import Iterator
from itertools import combinations

from eval.mine_check.records import Grid, GridRun
from fama.agents.loop import OUT_OF_TIME
from fama.episodes.records import Episode
from fama.mining.bench import Bench
from fama.mining.meter import Meter
from fama.mining.probes import EpisodeWorld
from fama.mining.records import Repair
from fama.mining.schedule import full_schedule
from fama.mining.search.effect_map import whole_map
from fama.mining.settings import MineBudget
from fama.subsets import Subset, in_pool_order, is_admissible


def open_helpers(record: Repair, decisions: int) -> Subset:
    """Return the helpers that the effect map of a mined episode with so many decisions leaves open, in pool order.

    They are those whose note, alone or beside others, changed an action of the logged episode, those of the repair,
    and, where the budget cut the map off, those that were not tried before every decision.
    """
    on_log = [one for one in record.interventions if not one.given]
    left = set(record.members or ())
    for one in on_log:
        if one.outcome not in ("no note", "same action"):
            left |= set(one.members)
    for helper in record.pool:
        tried = {one.decision for one in on_log if one.members == (helper,)}
        if len(tried) < decisions:
            left.add(helper)
    return in_pool_order(left, record.pool)


def subsets_of(helpers: Subset) -> Iterator[Subset]:
    """Yield every non-empty subset, smaller ones first; none with two forms of one helper, which exclude each other."""
    for size in range(1, len(helpers) + 1):
        for subset in combinations(helpers, size):
            if is_admissible(subset, helpers):
                yield subset


async def run_grid(bench: Bench, record: Repair, log: Episode) -> Grid:
    """Run the grid of a mined failure.

    Raises:
        Refused: the replay is not the logged episode, or a model failed.
    """
    meter = Meter(MineBudget(calls=None))
    world = EpisodeWorld(bench, log, meter)
    await world.open()
    helpers = open_helpers(record, len(log.decisions))
    runs = []
    for subset in subsets_of(helpers):
        run = await world.run(full_schedule(world.steps, subset))
        ended = world.episode_of(run).outcome
        runs.append(
            GridRun(
                subset=subset,
                outcome="error" if ended.reason == OUT_OF_TIME else ended.status,
                notes=len(run.notes),
                note_tokens=run.note_tokens,
                reason=ended.reason,
            )
        )
    spent = {"calls": meter.calls, "tokens": meter.tokens, "seconds": meter.seconds}
    await whole_map(world)  # what said which helpers are open: in the cache of mining, so that it costs nothing
    alone = Meter(MineBudget(calls=None))
    again = EpisodeWorld(bench, log, alone)
    await again.open()
    await whole_map(again)
    return Grid(
        episode_id=log.id,
        open=helpers,
        runs=tuple(runs),
        map_calls=alone.calls,
        calls_with_map=meter.calls,
        **spent,
    )
