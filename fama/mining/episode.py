"""Mine one episode: search for its minimal repair if it failed, map the single notes if it was solved."""

from dataclasses import dataclass

from fama import __version__
from fama.episodes.records import Episode
from fama.hashing import content_hash
from fama.mining.bench import Bench
from fama.mining.meter import Meter, OutOfBudget
from fama.mining.probes import EpisodeWorld, Refused, Unanswered, first_change
from fama.mining.records import MiningVerdict, Placed, PlacedNote, Repair, episode_kind, placed
from fama.mining.schedule import Schedule, SchedulePoint, helpers_of
from fama.mining.search.base import SEARCHES, Run
from fama.mining.search.effect_map import effect_map
from fama.mining.source import Refusal, refusal_line
from fama.randomness import generator
from fama.subsets import Subset


@dataclass(frozen=True)
class Mined:
    """The record of a mined episode, and the executed episode of its minimal repair if one was found."""

    record: Repair
    repaired: Episode | None = None


async def try_episode(bench: Bench, log: Episode, split: str | None) -> Mined | Refusal:
    """Mine an episode; return the line about it where it cannot be mined."""
    backbone = bench.stage.model.name
    if log.backbone != backbone:
        return Refusal(refusal_line(log, f"of the backbone {log.backbone}, here is {backbone}"), passing=False)
    try:
        return await mine_episode(bench, log, split)
    except Refused as fault:
        return Refusal(refusal_line(log, str(fault)), passing=isinstance(fault, Unanswered))


async def mine_episode(bench: Bench, log: Episode, split: str | None) -> Mined:
    """Mine a failed or solved episode of the plain agent.

    Raises:
        Refused: its replay is not the logged episode, or a model failed.
    """
    meter = Meter(bench.mine.budget)
    world = EpisodeWorld(bench, log, meter)
    kind = episode_kind(log)
    complete, proven = True, False
    try:
        await world.open()
        if kind == "failed":
            proven = await SEARCHES.load(bench.mine.search)(world, bench.mine.exact)
        else:
            turns = list(range(len(log.decisions)))
            generator(bench.mine.seed, "mining.order", *log.key.stream).shuffle(turns)  # a budget cuts no end off
            await effect_map(world, turns)
    except OutOfBudget:
        complete = False
    best = await _exactly(world, world.best()) if kind == "failed" else None
    if proven and world.broke_below(None if best is None else len(best.notes)):
        proven = False
    verdict: MiningVerdict = "mapped" if kind == "solved" else "repaired" if best else "not repaired by this pool"
    if verdict == "not repaired by this pool" and not complete:
        verdict = "budget ran out"
    record = Repair(
        episode_id=log.id,
        benchmark=log.benchmark,
        benchmark_version=log.benchmark_version,
        domain=log.domain,
        task_id=log.task_id,
        trial=log.trial,
        split=split,
        backbone=log.backbone,
        strategy=log.strategy,
        config_hash=log.config_hash,
        pool=bench.pool,
        arm=None if bench.mine.base == "none" else bench.selector.arm,
        kind=kind,
        verdict=verdict,
        interventions=world.interventions(),
        combinations=world.combinations(),
        proven=proven if kind == "failed" and world.deterministic else None,
        base_share=world.base_share,
        complete=complete,
        calls=meter.calls,
        tokens=meter.tokens,
        seconds=meter.seconds,
        package_version=__version__,
    )
    if best is None:
        return Mined(record)
    notes = tuple(sorted(best.notes))
    executed = world.episode_of(best)
    repaired = executed.model_copy(update={"id": content_hash([log.id, bench.pool, notes])})
    decisive = first_change(log, repaired)
    found = {
        "repair": tuple(
            PlacedNote(decision=d.turn, note=note)
            for d in repaired.decisions
            for note in d.notes
            if SchedulePoint(d.turn, note.helper) in best.notes
        ),
        "withdrawn": None if bench.mine.base == "none" else _withdrawn(best.notes, repaired, bench.pool),
        "members": helpers_of(best.notes, bench.pool),
        "share": best.share,
        "decisive": decisive,
        "step": None if decisive is None else log.decisions[decisive].message_index,
        "repaired_episode": repaired.id,
    }
    return Mined(record.model_copy(update=found), repaired)


async def _exactly(world: EpisodeWorld, best: Run | None) -> Run | None:
    """Run exactly the notes of a repair: one of a larger schedule also asked helpers that kept silent.

    Nothing that is asked depends on them, so that this costs no call as a rule, and the episode says who is asked.
    Should it end otherwise after all (a helper may go by who was asked), the larger run was executed, and stays.
    """
    if best is None:
        return None
    try:
        run = await world.run(best.notes)
        while run.success and run.notes != best.notes:
            best, run = run, await world.run(run.notes)
    except OutOfBudget:
        return best
    return run if run.success else best


def _withdrawn(notes: Schedule, repaired: Episode, pool: Subset) -> tuple[Placed, ...]:
    """Return the points of a repair at which a helper of the arm was left out."""
    given = {SchedulePoint(decision.turn, note.helper) for decision in repaired.decisions for note in decision.notes}
    return placed(notes - given, pool)
