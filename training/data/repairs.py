"""Training examples from mined repairs: states before single decisions, helpers asked there, and what came of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fama.episodes.records import Episode
from fama.episodes.spending import CostUnit, Remaining, spent_from
from fama.episodes.state import state_at
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.mining.records import Intervention, Repair
from fama.selection.router.features import Features
from fama.selection.router.turn import featurise_turn
from fama.subsets import Subset, exclusive_groups, in_pool_order, join_subset
from training.data.examples import LEAST_COST, Example, ExampleSet


def repair_examples(
    records: Iterable[Repair],
    episodes: Mapping[str, Episode],
    pool: Sequence[str],
    cost: CostUnit = "tokens",
    balance: float | None = 1.0,
) -> ExampleSet:
    """Return the executed decisions of mined episodes: success and cost of the rest of the episode, by subset.

    Of the mined episode: every decision without a note, as it was logged, and every intervention at it. Of the
    executed repair: every decision as it was taken, so that the first notes of a repair of several count as what they
    are, help if the others follow; and without its notes as a failure, since a minimal repair fails without any (where
    every run of the search ended, and none in an error). Nothing was drawn at random, so no row has a propensity. Of an
    arm with helpers, "without notes" is what it asks.
    Where branches were drawn several times, an outcome is a share: a success and a failure that weigh as much together
    as one row. The repair's rows have the repair's share, the first decision without a note that of the plain
    continuations; that the repair fails without its notes is not known then, nor after one draw at a temperature.
    ``repairing`` has the helpers that the minimal repair asks at a decision; none at the other decisions of the
    repaired and of the mined episode, of an episode solved without help, and of one that a whole search found no repair
    for. It is unknown where the budget ended the search, and at a decision at which an arm asked helpers that the
    repair leaves as they are.
    Where only a part of the solved (or of the failed) episodes was mined, each stands for as many as it was drawn from:
    its rows weigh by the eligible episodes per mined one, where the records say how many were eligible. Of parts that
    were mined one after another, of other tasks or of a run that grew, the largest says it.
    The prompts are those of the executed repairs; unknown where nothing was repaired.
    Interventions after earlier ones are left out, since their states are not stored, as are changed actions that were
    not run on, errors, and every episode whose task is of no known training split.

    Args:
        records: the mined episodes.
        episodes: the mined episodes and the executed repairs, by id.
        pool: helpers of the router, in pool order.
        cost: unit of ``Example.tokens``.
        balance: total weight of the decisions at which nothing changed the outcome, as a multiple of that of the
            others; they are many. None weighs every decision alike.

    Raises:
        BadInput: another pool, or an episode is missing.
    """
    left_out: Counter[str] = Counter()
    matter: list[Example] = []
    idle: list[Example] = []
    used: list[Repair] = []
    for record in records:
        if set(record.pool) != set(pool):
            raise BadInput(
                f"repairs of {record.domain}/{record.task_id}: mined with the pool {join_subset(record.pool)}, "
                f"data.pool is {join_subset(pool)}; make them agree"
            )
        if not record.may_train:
            left_out[f"mined episodes of the split {record.split or 'unknown'}"] += 1
            continue
        used.append(record)
    mined = Counter(map(_drawn_from, used))
    eligible: dict[tuple[object, ...], int] = {}
    for record in used:
        eligible[_drawn_from(record)] = max(eligible.get(_drawn_from(record), 0), record.eligible or 0)
    for record in used:
        stands_for = max(1.0, eligible[_drawn_from(record)] / mined[_drawn_from(record)])
        for decided in _decisions(record, episodes, pool, cost, left_out):
            (matter if len({share for share, _ in decided}) > 1 else idle).extend(
                replace(row, weight=row.weight * stands_for)
                for share, example in decided
                for row in _outcomes(share, example)
            )
    weights = [sum(row.weight for row in rows) for rows in (matter, idle)]
    factor = 1.0 if balance is None or not idle else min(1.0, balance * weights[0] / weights[1])
    if factor:
        matter += [replace(row, weight=row.weight * factor) for row in idle]
    else:
        left_out["decisions at which nothing changed the outcome"] += len(idle)
    return ExampleSet(
        tuple(matter),
        tuple(pool),
        left_out,
        benchmark_version=_union(f"{one.benchmark} {one.benchmark_version or 'unknown'}" for one in used),
        domains=_union(one.domain for one in used),
        backbones=_union(one.backbone or "" for one in used),
        prompts_hash=_union(
            content_hash(_episode(one.repaired_episode, one, episodes).prompt_hashes)
            for one in used
            if one.repaired_episode is not None
        ),
    )


def _decisions(
    record: Repair,
    episodes: Mapping[str, Episode],
    pool: Sequence[str],
    cost: CostUnit,
    left_out: Counter[str],
) -> list[list[tuple[float, Example]]]:
    """Return the examples of a mined episode and of its repair, state by state, each with its share of successes."""
    log = _episode(record.episode_id, record, episodes)
    found: dict[Features, list[tuple[float, Example]]] = {}
    repairing: dict[Features, Subset] = {}

    def add(features: Features, subset: Subset, share: float, rest: Remaining | None) -> None:
        amount = None if rest is None else getattr(rest, cost)
        example = Example(
            task=str(record.key.canonical),
            features=features,
            subset=tuple(name in subset for name in pool),
            tokens=None if amount is None else max(float(amount), LEAST_COST[cost]),
            domain=record.domain,
            backbone=record.backbone or "",
        )
        found.setdefault(features, []).append((share, example))

    states = [featurise_turn(state_at(log, turn), pool) for turn in range(len(log.decisions))]
    taken: set[tuple[Features, Subset]] = set()
    if record.repaired_episode is not None:
        repaired = _episode(record.repaired_episode, record, episodes)
        changed = _changed(record)
        outcomes = {*(one.outcome for one in record.interventions), *(one.outcome for one in record.combinations)}
        drawn = record.base_share is not None or record.proven is None
        certain = record.complete and "error" not in outcomes and not drawn
        reached = 1.0 if record.base_share is None or record.share is None else record.share
        swaps = record.arm is not None and bool(exclusive_groups(record.pool))  # what a form replaced is not on record
        last = max(changed, default=-1)
        for decision in repaired.decisions:
            own, subset = changed.get(decision.turn), decision.subset
            if own is None and decision.turn < last:
                continue  # it ends well by help to come: this state's own rows say what comes of nothing else
            features = featurise_turn(state_at(repaired, decision.turn), pool)
            if own is not None or not subset:
                repairing.setdefault(features, subset)
            if (features, subset) not in taken:
                taken.add((features, subset))
                add(features, subset, reached, spent_from(repaired.ledger, decision.turn))
            if (
                own is not None and certain and not swaps and features not in states
            ):  # else the rest of the repair fails
                add(features, in_pool_order(set(subset) ^ own, pool), 0.0, None)
    for decision, features in zip(log.decisions, states, strict=True):
        if (features, decision.subset) not in taken:
            add(features, decision.subset, _plain_share(record, decision.turn), spent_from(log.ledger, decision.turn))
        if not decision.subset and (record.kind == "solved" or record.repaired_episode is not None or record.complete):
            repairing.setdefault(features, ())
    for one in record.interventions:
        share = _share(one, record)
        if share is None or one.given:
            left_out["interventions after earlier ones" if one.given else "interventions without an outcome"] += 1
        else:
            asked = one.members if one.subset is None else one.subset
            if (states[one.decision], asked) not in taken:
                add(states[one.decision], asked, share, one.rest)
    flags = {features: tuple(name in members for name in pool) for features, members in repairing.items()}
    return [
        [(share, replace(row, repairing=flags.get(features))) for share, row in rows]
        for features, rows in found.items()
    ]


def _drawn_from(record: Repair) -> tuple[object, ...]:
    """Return the episodes of which a mined one was drawn: those of a run, of an arm, a kind and a split."""
    return record.config_hash, record.benchmark, record.arm, record.kind, record.split


def _outcomes(share: float, example: Example) -> list[Example]:
    """Return an example as a success and as a failure, each with its share of the weight."""
    shares = ((True, share), (False, 1.0 - share))
    return [replace(example, success=success, weight=weight) for success, weight in shares if weight > 0]


def _changed(record: Repair) -> dict[int, set[str]]:
    """Return the decisions of a repair with the helpers that it asks there, or leaves out, against the mined arm."""
    found: dict[int, set[str]] = {}
    for placed in record.repair or ():
        found.setdefault(placed.decision, set()).add(placed.note.helper)
    for withdrawn in record.withdrawn or ():
        found.setdefault(withdrawn.decision, set()).update(withdrawn.members)
    return found


def _plain_share(record: Repair, turn: int) -> float:
    """Return the share of successes of the mined episode as it was logged: one draw, but at the start many."""
    return record.base_share if turn == 0 and record.base_share is not None else float(record.kind == "solved")


def _share(one: Intervention, record: Repair) -> float | None:
    """Return the share of continuations that succeeded; None where that is not known."""
    if one.outcome in ("no note", "same action"):
        return _plain_share(record, one.decision)
    if one.outcome not in ("success", "failure"):
        return None
    return float(one.outcome == "success") if one.share is None else one.share


def _episode(id_: str, record: Repair, episodes: Mapping[str, Episode]) -> Episode:
    if id_ not in episodes:
        raise BadInput(
            f"repairs of {record.domain}/{record.task_id}: episode {id_} is neither among the mined episodes nor "
            "beside the repairs; give data.repairs both folders, as `fama mine` read and wrote them"
        )
    return episodes[id_]


def _union(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))
