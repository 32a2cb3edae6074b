"""Estimate of a comparison's tokens and hours before it is run, and what the estimate rests on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.compare.arms import plan_arms
from fama.agents.runs.plan import episode_id
from fama.agents.runs.run_config import config_hash
from fama.episodes.outcome_table import OutcomeRow
from fama.episodes.records import total_tokens
from fama.episodes.store import EpisodeStore
from fama.settings import CompareSettings

#: The benchmark of the assumption below; nothing is assumed of others.
ASSUMED_BENCHMARK = "helpdesk"
#: Tokens and seconds per episode where nothing was run yet: the mean of the 750 training episodes of helpdesk with the
#: 1.5B model (results/helpdesk/outcomes-train.parquet), whose server ran on two cores.
ASSUMED_TOKENS, ASSUMED_SECONDS = 21_000.0, 19.0


@dataclass(frozen=True)
class RunCost:
    """Episodes that are still to run, with tokens of agent, helpers and selection, and hours of wall time.

    ``basis`` says in words what the means per episode are of. Tokens or hours are None where the basis lacks them.
    ``measured`` is False where nothing of this comparison was run.
    """

    episodes: int
    tokens: float | None
    hours: float | None
    basis: str
    measured: bool = True


@dataclass(frozen=True)
class _Mean:
    """Tokens and seconds per episode."""

    tokens: float | None
    seconds: float | None


def estimate_cost(
    settings: CompareSettings, tasks: Sequence[str], out: Path, table: Sequence[OutcomeRow] = ()
) -> RunCost:
    """Return what the comparison still costs.

    The first of these that there is: finished episodes of the comparison in ``out``, each arm by its own; rows of the
    outcome ``table``, errors apart, those of the backbone and strategy if it has any; for helpdesk, an assumption.
    """
    hashed = config_hash(settings)
    plan = {episode_id(one, hashed): one.selector.arm for one in plan_arms(settings, tasks)}
    finished = _finished(plan, out)
    done = [spent for arm in finished.values() for spent in arm.values()]
    left = [arm for key, arm in plan.items() if key not in finished.get(arm, {})]
    scored = [row for row in table if row.success is not None]
    arms: dict[str, _Mean] = {}
    if done:
        arms = {arm: _mean(spent.values()) for arm, spent in finished.items()}
        overall, basis = _mean(done), f"{len(done)} episodes in {out}, each arm by its own where it has any"
    elif scored:
        same = [row for row in scored if (row.backbone, row.strategy) == (settings.model.name, settings.strategy)]
        rows = same or scored
        what = "" if same else ", of another backbone or strategy"
        overall = _mean(_Mean(row.cost(), row.seconds) for row in rows)
        basis = f"{len(rows)} executed subsets in {settings.outcomes or settings.lattice}{what}"
    elif settings.benchmark != ASSUMED_BENCHMARK:
        overall, basis = _Mean(None, None), f"none of {settings.benchmark}; run a few tasks first, or name outcomes=F"
    else:
        overall = _Mean(ASSUMED_TOKENS, ASSUMED_SECONDS)
        basis = f"an assumption: {ASSUMED_TOKENS:,.0f} tokens and {ASSUMED_SECONDS:.0f} s per episode, as of a 1.5B "
        basis += "model on two cores in helpdesk; name an outcome table with outcomes=F, or run a few tasks first"
    means = [arms.get(arm, overall) for arm in left]
    seconds = _sum(mean.seconds for mean in means)
    hours = None if seconds is None else seconds / settings.concurrency / 3600
    return RunCost(len(left), _sum(mean.tokens for mean in means), hours, basis, bool(done or scored))


def _finished(plan: Mapping[str, str], out: Path) -> dict[str, dict[str, _Mean]]:
    """Return what finished episodes took, by arm and id; ``plan`` holds arms by id. Errors are run again."""
    found: defaultdict[str, dict[str, _Mean]] = defaultdict(dict)
    for episode in EpisodeStore(out).read():
        if episode.id in plan and episode.outcome.status != "error":
            found[plan[episode.id]][episode.id] = _Mean(total_tokens(episode.ledger), episode.seconds)
    return dict(found)


def _mean(spent: Iterable[_Mean]) -> _Mean:
    values = list(spent)
    tokens, seconds = _sum(one.tokens for one in values), _sum(one.seconds for one in values)
    n = len(values)
    return _Mean(None if tokens is None else tokens / n, None if seconds is None else seconds / n)


def _sum(values: Iterable[float | None]) -> float | None:
    """Return the sum; None where a value is unknown."""
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
