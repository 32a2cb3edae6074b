"""One compact score per episode, from which every metric and table is computed."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fama.episodes.keys import EpisodeKey
from fama.episodes.outcome_table import OutcomeRow
from fama.episodes.records import CHARGED, Episode, LedgerRow, Status, known_total, role_group
from fama.episodes.spending import known_part, new_tokens
from fama.episodes.state import decision_steps
from fama.selection.health import is_choice
from fama.subsets import in_order, join_subset

#: Roles whose tokens are counted apart, in the order of the fields of ``TokenUse``.
ROLES = ("agent", "helper", "selector", "user", "judge")


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Input and output tokens by role; ``cached`` and ``output`` are parts of the charged ones.

    ``help_new`` are those of helpers and selection that no cache held. What selection needed inside an episode,
    analysts and orchestrator included, is ``selector``. None is unknown.
    """

    agent: int | None = 0
    helper: int | None = 0
    selector: int | None = 0
    user: int | None = 0
    judge: int | None = 0
    cached: int | None = 0
    charged_input: int | None = 0
    output: int | None = 0
    help_new: int | None = 0

    @property
    def total(self) -> int | None:
        """Return tokens that an arm is charged: agent + helper + selector."""
        return known_total((self.agent, self.helper, self.selector))

    @property
    def from_cache(self) -> int | None:
        """Return the part of the input that a cache held; None where it is unknown, or more than was read."""
        return known_part(self.cached, self.charged_input)

    @property
    def new(self) -> int | None:
        """Return the part of ``total`` that no cache of the server held; None where ``from_cache`` is."""
        return None if self.total is None or self.from_cache is None else self.total - self.from_cache


@dataclass(frozen=True, slots=True)
class Score:
    """The outcome and cost of one episode.

    ``subset`` holds every helper selected at any decision, joined in pool order; ``chosen`` is False where no helper is
    what was left because no choice of the selector could be read or made. ``cut`` counts the decisions at which helpers
    of the choice were left out.
    ``selection_seconds`` is the wall time of selection and helpers, summed over ``decisions``. ``notes``, ``rejected``
    and it are None if unknown.
    ``seconds`` is the episode's wall time, None if unknown. ``reason`` is what ended it, ``attempt`` counts from 1 the
    runs that it took, ``commit`` is the checkout's; None where the record does not say it. ``config_hash`` is of
    an own run's settings.
    """

    id: str
    benchmark: str
    domain: str
    task_id: str
    trial: int
    backbone: str
    strategy: str
    selector: str
    status: Status
    boundary: str | None
    tokens: TokenUse
    subset: str = ""
    chosen: bool = True
    held: bool = True
    decisions: int = 0
    cut: int = 0
    notes: int | None = 0
    rejected: int | None = 0
    selection_seconds: float | None = 0.0
    seconds: float | None = None
    benchmark_version: str | None = None
    importer: str = "fama"
    variant: str = ""
    config_hash: str | None = None
    reason: str | None = None
    commit: str | None = None
    attempt: int | None = None

    @property
    def key(self) -> EpisodeKey:
        """Return the identity of the episode."""
        arm = (self.backbone, self.strategy, self.selector, self.variant)
        return EpisodeKey(self.benchmark, self.domain, self.task_id, self.trial, *arm)

    @property
    def scored(self) -> bool:
        """True if the episode counts in a success rate; errors do not."""
        return self.status != "error"

    @property
    def success(self) -> bool:
        """True if the task was solved."""
        return self.status == "success"


def token_use(episode: Episode) -> TokenUse:
    """Return the ledger of an episode, summed by role; all is unknown where a log has none.

    Of calls in a role that the log does not say, nobody knows whether they were the user's or a judge's.
    """
    if not episode.ledger and episode.source.importer != "fama":
        return TokenUse(**dict.fromkeys(TokenUse.__dataclass_fields__))
    by_role: dict[str, list[LedgerRow]] = {role: [] for role in ROLES}
    for row in episode.ledger:
        by_role.setdefault(role_group(row.role), []).append(row)
    unknown = ("user", "judge") if by_role.keys() - set(ROLES) else ()
    charged = [row for role in CHARGED for row in by_role[role]]
    return TokenUse(
        **{role: known_total(row.total_tokens for row in by_role[role]) for role in ROLES if role not in unknown},
        **dict.fromkeys(unknown),
        cached=known_total(row.cached_input_tokens for row in charged),
        charged_input=known_total(row.input_tokens for row in charged),
        output=known_total(row.output_tokens for row in charged),
        help_new=new_tokens([*by_role["helper"], *by_role["selector"]]),
    )


def amount(count: float | None) -> float:
    """Return a count for arithmetic over arrays: not a number where it is unknown."""
    return math.nan if count is None else float(count)


def known_mean(counts: Sequence[int | None]) -> float | None:
    """Return the mean of counts; None where one is unknown, or there is none."""
    total = known_total(counts)
    return None if total is None or not counts else total / len(counts)


def score_of(episode: Episode) -> Score:
    """Return the score of an episode, own or imported."""
    subsets = {frozenset(d.subset) for d in episode.decisions}
    return Score(
        id=episode.id,
        benchmark=episode.benchmark,
        domain=episode.domain,
        task_id=episode.task_id,
        trial=episode.trial,
        backbone=episode.backbone or "-",
        strategy=episode.strategy or "-",
        selector=episode.selector or "-",
        status=episode.outcome.status,
        boundary=episode.outcome.boundary,
        tokens=token_use(episode),
        subset=join_subset(in_order(frozenset[str]().union(*subsets))),
        chosen=is_choice(episode),
        held=len(subsets) <= 1,
        decisions=len(decision_steps(episode)),
        cut=sum(bool(d.dropped) for d in episode.decisions),
        notes=sum(len(d.notes) for d in episode.decisions),
        rejected=sum(len(d.rejected) for d in episode.decisions),
        selection_seconds=sum(d.seconds for d in episode.decisions),
        seconds=episode.seconds,
        benchmark_version=episode.benchmark_version,
        importer=episode.source.importer,
        variant=episode.variant,
        config_hash=episode.config_hash,
        reason=episode.outcome.reason,
        commit=episode.commit,
        attempt=episode.attempt,
    )


def score_of_row(row: OutcomeRow, arm: str) -> Score:
    """Return the score of an executed cell of an outcome table, under an arm's name.

    The table does not keep an error's boundary, the notes and seconds of helpers, nor what the user's model took.
    """
    unknown = None if row.subset else 0
    return Score(
        id=row.episode_id,
        benchmark=row.benchmark,
        domain=row.domain,
        task_id=row.task_id,
        trial=row.trial,
        backbone=row.backbone,
        strategy=row.strategy,
        selector=arm,
        status=row.status,
        boundary=None,
        tokens=TokenUse(
            agent=row.tokens_agent,
            helper=row.tokens_helper,
            selector=row.tokens_selector,
            user=None,
            judge=None,
            cached=row.tokens_cached,
            charged_input=row.tokens - row.output_tokens,
            output=row.output_tokens,
            help_new=None,
        ),
        subset=row.subset,
        decisions=row.decisions,
        notes=unknown,
        rejected=unknown,
        selection_seconds=unknown,
        seconds=row.seconds,
        benchmark_version=row.benchmark_version,
        importer="outcome table",
    )


def read_scores(paths: Iterable[Path]) -> list[Score]:
    """Read the scores of the episodes of folders or files, streamed; of an id that was run again, the last.

    Raises:
        BadInput: a file is missing or has a bad line.
    """
    from fama.episodes.store import read_episodes

    return list(latest(score_of(episode) for path in paths for episode in read_episodes(path)))


def latest(scores: Iterable[Score]) -> Iterator[Score]:
    """Return the last score of every id, in order of first appearance: an error that was run again is gone."""
    kept: dict[str, Score] = {}
    for score in scores:
        kept[score.id] = score
    yield from kept.values()
