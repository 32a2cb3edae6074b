"""Success over tokens as λ, the price of 1,000 tokens, goes from nothing to everything; replayed, not run."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from eval.compare.arm_replay import ReplayTable, replay_arm
from eval.compare.arms import arms_in_role, traits_of
from eval.compare.rows import cells_of
from eval.compare.schema import Curve, CurvePoint
from eval.metrics.curves import OperatingPoint, area, measured, success_at, tokens_at
from eval.metrics.episode_scores import Score, amount
from eval.metrics.measures import Resampling
from eval.metrics.selection_quality import ExecutedSubset
from eval.stats.proportions import clustered_proportion
from fama.episodes.keys import EpisodeKey
from fama.helpers.base import Helper
from fama.intervals import Array, Interval, percentile_interval, ratio_interval
from fama.selection.base import AnySelector, Priced
from fama.selection.router.checkpoint import read_manifest
from fama.settings import CompareSettings, SelectorSettings

#: What an arm that knows every outcome would do, after the fact.
ORACLE = "best executed"
#: Stands for λ → ∞, where only tokens count.
ENDLESS = 1e9


def other_units(settings: CompareSettings) -> list[str]:
    """Return a warning of arms that weigh something else than tokens, for which a λ is another price; else none.

    Raises:
        BadInput: a checkpoint cannot be read.
    """
    units = {arm.arm: _unit(arm) for arm in settings.arms} if settings.lambdas else {}
    told = ", ".join(f"{unit.replace('_', ' ')} for {arm}" for arm, unit in units.items() if unit != "tokens")
    if not told:
        return []
    return [f"lambdas: a λ prices 1,000 {told}, and tokens elsewhere: points of one λ are not at one price."]


def _unit(arm: SelectorSettings) -> str:
    folder = arm.options.get("checkpoint")
    if traits_of(arm).setup == "checkpoint" and isinstance(folder, str):
        return read_manifest(Path(folder)).cost_unit
    return str(arm.options.get("cost", "tokens"))


def swept_part(
    settings: CompareSettings, curves: Sequence[Curve], scores: Mapping[str, Sequence[Score]], tasks: int
) -> list[str]:
    """Return a warning where curves are of fewer tasks or trials than are compared, or there are none; else none."""
    if not settings.lambdas:
        return []
    if not curves:
        return [
            "lambdas: no curves, since no task and trial has an executed episode at every point of every arm; replay a "
            "table with the subsets that the arms choose."
        ]
    n = curves[0].points[0].success.n
    pairs = len({score.key.pair for arm in scores.values() for score in arm})
    if n == tasks and curves[0].episodes == pairs:
        return []
    trials = "" if pairs == tasks else f", {curves[0].episodes} of {pairs} tasks and trials"
    return [
        f"lambdas: curves are over {n} of {tasks} tasks{trials}, those with an executed episode at every point of "
        "every arm."
    ]


async def sweep_lambda(
    settings: CompareSettings,
    table: ReplayTable,
    selectors: Mapping[str, AnySelector],
    scores: Mapping[str, Sequence[Score]],
    helpers: Mapping[str, Helper],
) -> tuple[Curve, ...]:
    """Return one curve per arm, and the oracle's: a point per λ for an arm that follows it, else its one point.

    Areas are means of the attainable success over budgets from the cheapest to the most expensive point of all curves.
    Values at equal tokens or success are against the reference: the prompted arm where there is one, else best_fixed.
    An arm whose tokens a server did not report has points of unknown tokens: no area, no budgets, and no reference.
    Only (task, trial) pairs on which every point has an executed episode count, so that points are paired.
    """
    points: dict[str, list[tuple[float | None, dict[EpisodeKey, tuple[float, float]]]]] = {}
    for arm, selector in selectors.items():
        if isinstance(selector, Priced):
            points[arm] = [
                (lam, _looked_up((await replay_arm(arm, selector.at(lam), table, settings, helpers)).scores))
                for lam in (*settings.lambdas, ENDLESS)
            ]
        else:
            points[arm] = [(None, _looked_up(scores[arm]))]
    shared = set.intersection(*(set(found) for curve in points.values() for _, found in curve))
    if not shared:
        return ()
    cells = cells_of([row for row in table.rows if row.key in shared])
    points[ORACLE] = [(lam, _best(cells, lam)) for lam in (*settings.lambdas, ENDLESS)]
    tasks = sorted({key.task_id for key in shared}, key=table.tasks.index)
    weights = Resampling(settings.seed, settings.bootstrap).weights(len(tasks))
    sums = {
        arm: [(lam, _sums({key: found[key] for key in shared}, tasks)) for lam, found in curve]
        for arm, curve in points.items()
    }
    return _curves(sums, arms_in_role(settings.arms, "anchor"), weights)


def _looked_up(scores: Sequence[Score]) -> dict[EpisodeKey, tuple[float, float]]:
    """Return (success, tokens) of each scored (task, trial)."""
    return {s.key.pair: (float(s.success), amount(s.tokens.total)) for s in scores if s.scored}


def _best(cells: Sequence[ExecutedSubset], lam: float) -> dict[EpisodeKey, tuple[float, float]]:
    """Return the executed subset of highest success − λ · tokens / 1000 per (task, trial), the cheaper of equals."""
    found = {}
    for key, group in groupby(sorted(cells, key=lambda cell: cell.key), key=lambda cell: cell.key):
        best = max(group, key=lambda cell: (cell.success - lam * cell.tokens / 1000, -cell.tokens))
        found[key] = (best.success, best.tokens)
    return found


def _sums(found: Mapping[EpisodeKey, tuple[float, float]], tasks: Sequence[str]) -> Array:
    """Return successes, tokens and trials per task, shape [3, tasks]."""
    place = {task: index for index, task in enumerate(tasks)}
    sums = np.zeros((3, len(tasks)))
    for key, (success, tokens) in found.items():
        sums[:, place[key.task_id]] += (success, tokens, 1.0)
    return sums


def _curves(
    sums: Mapping[str, Sequence[tuple[float | None, Array]]], anchors: Sequence[str], weights: Array
) -> tuple[Curve, ...]:
    """Build the curves, the first of the anchors whose tokens are known being the reference."""
    drawn = {arm: [_draws(one, weights) for _, one in curve] for arm, curve in sums.items()}  # [2, 1 + draws] each
    known = {arm: points for arm, curve in drawn.items() if measured(points := _points(curve, 0))}
    spent = [point.tokens for points in known.values() for point in points]
    low, high = min(spent, default=0.0), max(spent, default=0.0)
    reference = next((arm for arm in anchors if arm in known), None)
    anchor = known[reference][0] if reference is not None else None
    curves = []
    for arm, curve in sums.items():
        own = drawn[arm]
        width = own[0].shape[1] if arm in known and high > low else 0
        areas = np.array([area(_points(own, draw), low, high) or 0.0 for draw in range(width)])
        curves.append(
            Curve(
                arm=arm,
                points=tuple(
                    CurvePoint(
                        lam=None if lam is None else ("inf" if lam == ENDLESS else lam),
                        tokens=ratio_interval(one[1], one[2], weights),
                        success=clustered_proportion(one[0] / one[2], int(one[2].sum())),
                    )
                    for lam, one in curve
                ),
                area=_interval(areas, weights.shape[1]),
                episodes=int(curve[0][1][2].sum()),
                versus=reference,
                success_at_equal_tokens=success_at(_points(own, 0), anchor.tokens) if anchor else None,
                tokens_at_equal_success=tokens_at(_points(own, 0), anchor.success) if anchor else None,
            )
        )
    return tuple(curves)


def _draws(sums: Array, weights: Array) -> Array:
    """Return success and tokens as they are (column 0) and in every resample: [2, 1 + draws]."""
    rates, tokens, trials = sums[0] / sums[2], sums[1], sums[2]
    every = np.concatenate([np.ones((1, len(rates))), weights])
    found: Array = np.stack([every @ rates / every.sum(axis=1), every @ tokens / (every @ trials)])
    return found


def _points(curve: Sequence[Array], draw: int) -> list[OperatingPoint]:
    return [OperatingPoint(float(one[1, draw]), float(one[0, draw])) for one in curve]


def _interval(values: Array, tasks: int) -> Interval:
    if not len(values):
        return Interval(None, None, None, tasks)
    return percentile_interval(float(values[0]), values[1:], tasks)
