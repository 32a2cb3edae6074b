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

    Which rows there are, ``_DecisionRows`` says. Nothing was drawn at random, so no row has a propensity. Every episode
    whose task is of no known training split is left out. The prompts are those of the executed repairs; unknown where
    nothing was repaired.

    Args:
        records: the mined episodes.
        episodes: the mined episodes and the executed repairs, by id.
        pool: helpers of the router, in pool order.
        cost: unit of ``Example.tokens``.
        balance: largest total weight of the decisions at which nothing changed the outcome, as a multiple of that of
            the others; they are many. None weighs every decision alike.

    Raises:
        BadInput: another pool, or an episode is missing.
    """
    left_out: Counter[str] = Counter()
    used = _trainable(records, pool, left_out)
    matter: list[Example] = []
    idle: list[Example] = []
    for record, stands_for in zip(used, _episodes_per_mined_one(used), strict=True):
        rows = _DecisionRows(record, episodes, pool, cost)
        left_out += rows.left_out
        for decided in rows.by_state():
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
        left_out["decisions at which nothing changed the outcome (data.balance=null learns from them)"] += len(idle)
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


def _trainable(records: Iterable[Repair], pool: Sequence[str], left_out: Counter[str]) -> list[Repair]:
    """Return the records that a router may learn from; the others are counted as left out."""
    used = []
    for record in records:
        if set(record.pool) != set(pool):
            raise BadInput(
                f"repairs of {record.domain}/{record.task_id}: mined with the pool {join_subset(record.pool)}, "
                f"data.pool is {join_subset(pool)}; make them agree"
            )
        if record.may_train:
            used.append(record)
        else:
            left_out[f"mined episodes of the split {record.split or 'unknown'}"] += 1
    return used


def _episodes_per_mined_one(records: Sequence[Repair]) -> list[float]:
    """Return for each record how many episodes it stands for, where only a part of those of its kind was mined.

    That is the eligible ones per mined one, where the records say how many were eligible; of parts that were mined one
    after another, of other tasks or of a run that grew, the largest says it.
    """
    groups = [(one.config_hash, one.benchmark, one.arm, one.kind, one.split) for one in records]
    mined = Counter(groups)
    eligible = dict.fromkeys(groups, 0)
    for group, record in zip(groups, records, strict=True):
        eligible[group] = max(eligible[group], record.eligible or 0)
    return [max(1.0, eligible[group] / mined[group]) for group in groups]


class _DecisionRows:
    """Rows of one mined episode and of its executed repair: examples by state, each with its share of successes.

    Where branches were drawn several times, an outcome is a share: a success and a failure that weigh as much together
    as one row. The repair's rows have the repair's share, the first decision without a note that of the plain
    continuations. Of an arm with helpers, "without notes" is what it asks.

    ``Example.repairing`` has the helpers that the minimal repair asks at a decision; none at the other decisions of the
    repaired and of the mined episode, of an episode solved without help, and of one that a whole search found no repair
    for. It is unknown where the budget ended the search, and at a decision at which an arm asked helpers that the
    repair leaves as they are.
    """

    def __init__(self, record: Repair, episodes: Mapping[str, Episode], pool: Sequence[str], cost: CostUnit) -> None:
        self.left_out: Counter[str] = Counter()
        self._record = record
        self._pool = pool
        self._cost = cost
        self._log = _episode(record.episode_id, record, episodes)
        self._states = [featurise_turn(state_at(self._log, turn), pool) for turn in range(len(self._log.decisions))]
        self._found: dict[Features, list[tuple[float, Example]]] = {}
        self._repairing: dict[Features, Subset] = {}
        self._by_repair: set[tuple[Features, Subset]] = set()
        if record.repaired_episode is not None:
            self._add_repair(_episode(record.repaired_episode, record, episodes))
        self._add_log()
        self._add_interventions()

    def by_state(self) -> list[list[tuple[float, Example]]]:
        """Return the rows of each state together."""
        flags = {
            features: tuple(name in members for name in self._pool) for features, members in self._repairing.items()
        }
        return [
            [(share, replace(row, repairing=flags.get(features))) for share, row in rows]
            for features, rows in self._found.items()
        ]

    def _add_repair(self, repaired: Episode) -> None:
        """Add every decision of the executed repair as it was taken, and as a failure without its notes.

        So the first notes of a repair of several count as what they are, help if the others follow.
        """
        record = self._record
        changed = _changed(record)
        last = max(changed, default=-1)
        reached = 1.0 if record.base_share is None or record.share is None else record.share
        fails_without = self._fails_without_a_note()
        for decision in repaired.decisions:
            own, subset = changed.get(decision.turn), decision.subset
            if own is None and decision.turn < last:
                continue  # it ends well by help to come: this state's own rows say what comes of nothing else
            features = featurise_turn(state_at(repaired, decision.turn), self._pool)
            if own is not None or not subset:
                self._repairing.setdefault(features, subset)
            if (features, subset) not in self._by_repair:
                self._by_repair.add((features, subset))
                self._add(features, subset, reached, spent_from(repaired.ledger, decision.turn))
            if own is not None and fails_without and features not in self._states:
                self._add(features, in_pool_order(set(subset) ^ own, self._pool), 0.0, None)

    def _fails_without_a_note(self) -> bool:
        """Return whether the repair is known to fail without any of its notes: it is minimal.

        That is so where every run of the search ended, none in an error, and nothing was drawn; and where it is on
        record what a note replaced, which it is not of forms that exclude each other in an arm's choice.
        """
        record = self._record
        outcomes = {*(one.outcome for one in record.interventions), *(one.outcome for one in record.combinations)}
        drawn = record.base_share is not None or record.proven is None
        replaced = record.arm is not None and bool(exclusive_groups(record.pool))
        return record.complete and "error" not in outcomes and not drawn and not replaced

    def _add_log(self) -> None:
        """Add every decision of the mined episode, as it was logged."""
        record = self._record
        known = record.kind == "solved" or record.repaired_episode is not None or record.complete
        for decision, features in zip(self._log.decisions, self._states, strict=True):
            rest = spent_from(self._log.ledger, decision.turn)
            self._add_other(features, decision.subset, _plain_share(record, decision.turn), rest)
            if known and not decision.subset:
                self._repairing.setdefault(features, ())

    def _add_interventions(self) -> None:
        """Add every intervention on the mined episode.

        Those after earlier ones are left out, since their states are not stored, as are changed actions that were not
        run on, and errors.
        """
        for one in self._record.interventions:
            share = _share(one, self._record)
            if share is None or one.given:
                self.left_out[
                    "interventions after earlier ones" if one.given else "interventions without an outcome"
                ] += 1
            else:
                asked = one.members if one.subset is None else one.subset
                self._add_other(self._states[one.decision], asked, share, one.rest)

    def _add_other(self, features: Features, subset: Subset, share: float, rest: Remaining | None) -> None:
        """Add a row unless the repair has taken this very decision."""
        if (features, subset) not in self._by_repair:
            self._add(features, subset, share, rest)

    def _add(self, features: Features, subset: Subset, share: float, rest: Remaining | None) -> None:
        amount = None if rest is None else getattr(rest, self._cost)
        example = Example(
            task=str(self._record.key.canonical),
            features=features,
            subset=tuple(name in subset for name in self._pool),
            tokens=None if amount is None else max(float(amount), LEAST_COST[self._cost]),
            domain=self._record.domain,
            backbone=self._record.backbone or "",
        )
        self._found.setdefault(features, []).append((share, example))


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
