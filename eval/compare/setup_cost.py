"""Setup cost of an arm and its break-even point against others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from eval.compare.arms import arms_in_role, traits_of
from eval.metrics.episode_scores import Score, amount
from eval.metrics.measures import Resampling
from fama.diagnosis.diagnose import spent_on_labels
from fama.episodes.outcome_table import spent_on_table
from fama.episodes.records import Record
from fama.episodes.spending import Spent, unknown
from fama.intervals import Interval, ratio_interval
from fama.settings import CompareSettings, SelectorSettings

BreakEven = float | Literal["never"] | None


class Payback(Record):
    """Setup tokens against what an episode saves.

    ``saved`` is tokens per episode that the arm ``versus`` needs and this one does not, on the tasks and trials that
    both have a verdict on. ``tokens`` is this arm's setup cost minus that of ``versus``. ``episodes`` is their ratio,
    with the ends of its interval; ``never`` where nothing is saved, 0 where nothing is to be paid back, None where the
    cost is unknown.
    """

    versus: str
    tokens: int | None
    saved: Interval
    episodes: BreakEven
    low: BreakEven
    high: BreakEven


def setup_costs(settings: CompareSettings) -> dict[str, tuple[Spent, ...]]:
    """Return the setup cost of each arm; an arm that is ready as it is has no parts.

    Raises:
        BadInput: a table or a checkpoint cannot be read.
    """
    return {arm.arm: _parts(arm, settings) for arm in settings.arms}


def _parts(arm: SelectorSettings, settings: CompareSettings) -> tuple[Spent, ...]:
    seen: tuple[Spent, ...] = ()
    traits = traits_of(arm)
    labels = arm.options.get("failures") or (settings.failures if settings.track == "retrospective" else None)
    if not traits.blind and isinstance(labels, str):
        seen = spent_on_labels(Path(labels))
    if traits.setup == "nothing":
        return seen
    if traits.setup == "outcomes":
        path = arm.options.get("outcomes") or settings.outcomes
        return (*seen, spent_on_table(path) if path else unknown("outcome table", arm.name))
    folder = arm.options.get("checkpoint")
    if traits.setup == "checkpoint" and isinstance(folder, str):
        from fama.selection.router.checkpoint import read_manifest

        cost = read_manifest(Path(folder)).cost
        return (*seen, *(part for part in cost or (unknown("training", folder),) if part not in seen))
    return (*seen, unknown("training", arm.name))


def total(parts: Sequence[Spent], field: Literal["tokens", "seconds"] = "tokens") -> float | None:
    """Return the sum of the parts: 0 without any, None where one is unknown."""
    values = [getattr(part, field) for part in parts]
    return None if None in values else sum(values)


def paybacks(
    settings: CompareSettings,
    scores: Mapping[str, Sequence[Score]],
    costs: Mapping[str, Sequence[Spent]],
    tasks: Sequence[str],
    resampling: Resampling,
) -> dict[str, tuple[Payback, ...]]:
    """Return the break-even point of each arm with a setup cost, against every rival that was compared."""
    rivals = arms_in_role(settings.arms, "payback")
    return {
        arm: tuple(
            payback(
                rival, total(parts), total(costs[rival]), saved_tokens(scores[arm], scores[rival], tasks, resampling)
            )
            for rival in rivals
            if rival != arm
        )
        for arm, parts in costs.items()
        if parts
    }


def payback(versus: str, ours: float | None, theirs: float | None, saved: Interval) -> Payback:
    """Return after how many episodes the costlier start pays for itself; the interval is that of the savings."""
    cost = None if ours is None or theirs is None else int(ours - theirs)
    value, least, most = (_episodes(cost, tokens) for tokens in (saved.value, saved.high, saved.low))
    return Payback(versus=versus, tokens=cost, saved=saved, episodes=value, low=least, high=most)


def saved_tokens(
    ours: Sequence[Score], theirs: Sequence[Score], tasks: Sequence[str], resampling: Resampling
) -> Interval:
    """Return the charged tokens per episode of theirs minus ours, over the (task, trial) pairs with two verdicts."""
    left, right = ({s.key.pair: amount(s.tokens.total) for s in side if s.scored} for side in (ours, theirs))
    place = {task: index for index, task in enumerate(tasks)}
    saved, n = np.zeros(len(tasks)), np.zeros(len(tasks))
    for key in left.keys() & right.keys():
        saved[place[key.task_id]] += right[key] - left[key]
        n[place[key.task_id]] += 1
    return ratio_interval(saved, n, resampling.weights(len(tasks)))


def _episodes(cost: int | None, saved: float | None) -> BreakEven:
    if cost is None or saved is None:
        return None
    if cost <= 0:
        return 0.0
    return cost / saved if saved > 0 else "never"
