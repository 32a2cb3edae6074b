"""Training examples from outcome tables, failure logs and a prompted selector's choices.

An example holds what a router may see (features of the visible state) and targets. The task's name
is in it for splitting only; features are made from policy, tools and messages.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fama.episodes.outcome_table import OutcomeRow
from fama.episodes.records import Episode, Failure
from fama.episodes.spending import CostUnit
from fama.episodes.state import state_after, state_at, state_from_json
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.helpers.pool import told_forms
from fama.selection.health import selection_states
from fama.selection.router.features import Features, featurise
from fama.selection.router.manifest import View
from fama.selection.router.retrospective import FailedTask, failed_task
from fama.settings import Form
from fama.subsets import base_of, join_subset, refuse_excluded, split_subset

Flags = tuple[bool, ...]
#: The weight of a label in which nobody has confidence.
LEAST_WEIGHT = 0.1
#: Costs below it count as it, since their logarithm is learned.
LEAST_COST: Mapping[CostUnit, float] = {"tokens": 1.0, "new_tokens": 1.0, "seconds": 0.001}


@dataclass(frozen=True)
class Example:
    """One state with its targets; a target that is None is unknown and enters no loss.

    ``subset`` is the executed one (one flag per helper, pool order) with its ``success``, ``tokens`` (its cost in the
    unit of ``data.cost``, of the whole episode or of the rest of a mined one) and ``propensity``. ``coverage`` flags
    helpers that cover the failure's primary categories, ``distilled`` those a prompted selector chose, ``categories``
    the failure's. ``repairing`` flags the helpers that the minimal repair asks at a mined decision. ``weight``
    multiplies every loss of the example. ``trial``, ``strategy`` and ``table`` (its place among those read) are those
    of an executed subset: a design draws several subsets for each task and trial of a table, and ``propensity`` is that
    of being one.
    """

    task: str
    features: Features
    subset: Flags | None = None
    success: bool | None = None
    tokens: float | None = None
    propensity: float | None = None
    coverage: Flags | None = None
    distilled: Flags | None = None
    categories: Flags | None = None
    repairing: Flags | None = None
    weight: float = 1.0
    domain: str = ""
    backbone: str = ""
    trial: int = 0
    strategy: str = ""
    table: int = 0


@dataclass(frozen=True)
class ExampleSet:
    """Examples of one helper pool, with where they came from and what was left out.

    ``forms`` are the helpers' in the executed episodes, by name; None where no source tells them.
    ``errors`` are executed subsets whose episode ended in an error: their success is unknown, and only a guarantee
    counts them.
    """

    examples: tuple[Example, ...]
    pool: tuple[str, ...]
    left_out: Counter[str] = field(default_factory=Counter)
    prompts_hash: tuple[str, ...] = ()
    benchmark_version: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    synthetic: bool = False
    errors: tuple[Example, ...] = ()
    forms: Mapping[str, Form] | None = None

    def __add__(self, other: "ExampleSet") -> "ExampleSet":
        if self.pool != other.pool:
            raise ValueError(f"pools differ: {self.pool}, {other.pool}")
        if self.forms and other.forms and self.forms != other.forms:
            raise BadInput(
                f"data: its sources have helpers in other forms, {told_forms(self.forms)} and "
                f"{told_forms(other.forms)}; a router learns from those of one kind"
            )
        return ExampleSet(
            self.examples + other.examples,
            self.pool,
            self.left_out + other.left_out,
            _union(self.prompts_hash, other.prompts_hash),
            _union(self.benchmark_version, other.benchmark_version),
            _union(self.domains, other.domains),
            _union(self.backbones, other.backbones),
            self.synthetic or other.synthetic,
            self.errors + other.errors,
            self.forms or other.forms,
        )

    def only(self, examples: Sequence[Example]) -> "ExampleSet":
        """Return the set with these of its examples, and with the errors of their tasks and backbones."""
        kept = {(example.task, example.backbone) for example in examples}
        errors = tuple(error for error in self.errors if (error.task, error.backbone) in kept)
        return replace(self, examples=tuple(examples), errors=errors)

    def digest(self) -> str:
        """Return a hash of all texts, evidence and targets; ``repairing`` follows from the same records as these."""
        texts: dict[Features, str] = {}
        parts = []
        for one in self.examples:
            if one.features not in texts:
                features = one.features
                texts[features] = content_hash(
                    [[(s.kind, s.text, s.position) for s in features.segments], features.evidence]
                )
            targets = (one.subset, one.success, one.tokens, one.propensity)
            weight = [one.weight] if one.weight != 1.0 else []  # full weight: the hash of before there were weights
            parts.append(
                [one.task, texts[one.features], *targets, one.coverage, one.distilled, one.categories, *weight]
            )
        return content_hash([self.pool, sorted(parts, key=str)])


def outcome_examples(
    rows: Iterable[OutcomeRow],
    pool: Sequence[str],
    failed: Mapping[FailedTask, Features] | None = None,
    cost: CostUnit = "tokens",
    table: int = 0,
) -> ExampleSet:
    """Return one example per finished row of a table, the ``table``-th; errors are apart, and counted as left out.

    ``cost`` is what λ prices: all tokens of the episode, those that no cache held, or its seconds.
    With ``failed`` (retrospective) a row is read with its task's failed plain episode instead of the state
    before its first decision; rows of tasks without one are left out and counted.

    Raises:
        BadInput: a row's pool is not ``pool``, or its subset names a helper outside of it or two that exclude each
            other.
    """
    rows = list(rows)
    seen: dict[str, Features] = {}
    examples: list[Example] = []
    errors: list[Example] = []
    left_out = Counter[str]()
    for row in rows:
        flags = _row_flags(row, pool)
        broken = row.status == "error" or row.success is None
        if broken:
            left_out["outcome rows with an error"] += 1
        if failed is None and row.state not in seen:
            seen[row.state] = featurise(state_from_json(row.state, row.benchmark, row.domain))
        features = seen[row.state] if failed is None else failed.get(failed_task(row.key))
        if features is None:
            if not broken:
                left_out["outcome rows of tasks without a failed plain episode"] += 1
            continue
        (errors if broken else examples).append(
            Example(
                task=str(row.key.task.canonical),
                features=features,
                subset=flags,
                success=None if broken else row.success,
                tokens=None if broken else _cost(row, cost),
                propensity=row.propensity,
                domain=row.domain,
                backbone=row.backbone or "",
                trial=row.trial,
                strategy=row.strategy,
                table=table,
            )
        )
    return ExampleSet(
        tuple(examples),
        tuple(pool),
        left_out,
        prompts_hash=_union(row.prompts_hash for row in rows),
        benchmark_version=_union(f"{row.benchmark} {row.benchmark_version or 'unknown'}" for row in rows),
        domains=_union(row.domain for row in rows),
        backbones=_union(row.backbone for row in rows),
        synthetic=any(row.benchmark == "synthetic" for row in rows),
        errors=tuple(errors),
    )


def _cost(row: OutcomeRow, unit: CostUnit) -> float | None:
    """Return the cost of an executed cell; None where it is unknown."""
    amount = row.cost(unit)
    return None if amount is None else max(amount, LEAST_COST[unit])


def failure_examples(
    failures: Iterable[Failure],
    episodes: Iterable[Episode],
    covers: Mapping[str, frozenset[str]],
    categories: Sequence[str],
    view: View = "prospective",
    primary_only: bool = False,
    unexplained: bool = True,
    confidence: bool = False,
    user_faults: bool = False,
) -> ExampleSet:
    """Return one example per labelled failure of the agent, in the state before its first decision or at the end.

    Args:
        failures: labels; those that blame the environment, and the user unless asked for, are left out and counted.
        episodes: the labelled episodes.
        covers: categories that each helper of the pool addresses, in pool order.
        categories: codes of the taxonomy, in its order.
        view: ``retrospective`` shows the whole failed episode.
        primary_only: flag the primary categories alone.
        unexplained: learn from labels too whose cause no detector found; else they are left out and counted.
        confidence: weigh an example by its label's confidence, at least ``LEAST_WEIGHT``.
        user_faults: learn from failures blamed on the user too.
    """
    labels = {failure.episode_id: failure for failure in failures}
    examples, left_out, used = [], Counter[str](), []
    for episode in episodes:
        label = labels.pop(episode.id, None)
        if label is None:
            continue
        if label.blame == "environment" or (label.blame == "user" and not user_faults):
            asked = " (data.user_faults=true learns from them)" if label.blame == "user" else ""
            left_out[f"failures blamed on the {label.blame}{asked}"] += 1
            continue
        if label.unexplained and not unexplained:
            left_out["unexplained failures (data.unexplained=true learns from them)"] += 1
            continue
        features = _first_features(episode) if view == "prospective" else featurise(state_after(episode))
        if features is None or not label.primary:
            left_out["failures without a decision or a primary category"] += 1
            continue
        primary = set(label.primary)
        examples.append(
            Example(
                task=str(episode.key.task.canonical),
                features=features,
                coverage=tuple(bool(primary & covered) for covered in covers.values()),
                categories=tuple(
                    code in (primary if primary_only else {*label.categories, *primary}) for code in categories
                ),
                weight=label_weight(label) if confidence else 1.0,
                domain=episode.domain,
                backbone=episode.backbone or "",
            )
        )
        used.append(episode)
    if labels:
        left_out["failures whose episode is missing"] += len(labels)
    return _from_episodes(examples, tuple(covers), left_out, used)


def label_weight(label: Failure) -> float:
    """Return the confidence of a label, at least ``LEAST_WEIGHT``; 1 where none is stated."""
    return 1.0 if label.confidence is None else max(label.confidence, LEAST_WEIGHT)


def prompted_examples(episodes: Iterable[Episode], pool: Sequence[str]) -> ExampleSet:
    """Return one example per episode: the subset its prompted selector chose before the first decision.

    Where its reply could not be read, or it was not asked, nothing was chosen: such episodes are left out.

    Raises:
        BadInput: a chosen subset holds a helper in another form than the pool, or two members that exclude each other.
    """
    examples, left_out, used = [], Counter[str](), []
    for episode in episodes:
        features = _first_features(episode) if episode.decisions else None
        if features is None:
            left_out["prompted episodes without a decision"] += 1
            continue
        first = episode.decisions[0]
        if selection_states(episode)[0] != "chosen":
            left_out["prompted episodes whose first selection was not made or not read"] += 1
            continue
        chosen = {*first.subset, *first.dropped}
        where = f"prompted episode {episode.id} of task {episode.task_id}"
        if other := [name for name in sorted(chosen - set(pool)) if base_of(name) in set(map(base_of, pool))]:
            raise BadInput(f"{where}: chose {other[0]}, data.pool is {join_subset(pool)}; make their forms agree")
        refuse_excluded(sorted(chosen), where)
        examples.append(
            Example(
                task=str(episode.key.task.canonical),
                features=features,
                distilled=tuple(name in chosen for name in pool),
                domain=episode.domain,
                backbone=episode.backbone or "",
            )
        )
        used.append(episode)
    return _from_episodes(examples, tuple(pool), left_out, used)


def _first_features(episode: Episode) -> Features | None:
    try:
        return featurise(state_at(episode, 0))
    except IndexError:
        return None


def _row_flags(row: OutcomeRow, pool: Sequence[str]) -> Flags:
    if set(split_subset(row.pool)) != set(pool):
        raise BadInput(
            f"outcome row of task {row.task_id}: its pool is {row.pool}, data.pool is "
            f"{join_subset(pool)}; make them agree"
        )
    members = set(split_subset(row.subset))
    if not members <= set(pool):
        raise BadInput(f"outcome row of task {row.task_id}: subset {row.subset} has helpers outside its pool")
    refuse_excluded(split_subset(row.subset), f"outcome row of task {row.task_id}: subset {row.subset}")
    return tuple(name in members for name in pool)


def _from_episodes(
    examples: list[Example], pool: tuple[str, ...], left_out: Counter[str], episodes: list[Episode]
) -> ExampleSet:
    return ExampleSet(
        tuple(examples),
        pool,
        left_out,
        benchmark_version=_union(f"{e.benchmark} {e.benchmark_version or 'unknown'}" for e in episodes),
        domains=_union(e.domain for e in episodes),
        backbones=_union(e.backbone or "" for e in episodes),
    )


def _union(*groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({value for group in groups for value in group if value}))
