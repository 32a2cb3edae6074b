"""Comparisons of the same arms under other wording: the share of a gain that is kept, and gains taken together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from eval.compare.schema import Comparison
from eval.metrics.formats import p_value, percent
from eval.publish.markdown import table
from eval.stats.gain_ratio import fieller_interval
from eval.stats.paired import PairedEstimate, paired_estimate
from fama.errors import BadInput
from fama.intervals import Array, Interval

TRIO = "DCE+TSA+Verifier"
#: Pairs of arms that comparisons on unseen wording share.
SHARED = (
    ("all", "none"),
    *(("learned per turn", than) for than in ("none", "all", "TSA+Verifier")),
    *((TRIO, than) for than in ("none", "all", "learned per turn", "TSA+Verifier")),
)
#: An arm that chose one subset at every decision of its comparison stands for that subset.
CONSTANT = {TRIO: "two rounds per turn"}

#: Pairs of arms that comparisons of helper agents share.
AGENT_GAINS = (("all", "none"), ("TSA", "none"), ("TSA", "all"))


def kept_gain(seen: Sequence[Comparison], unseen: Sequence[Comparison], arm: str = "all") -> str:
    """Tabulate an arm's gain over ``none`` on seen and on unseen wording, their difference, and the share that is kept.

    Tasks are paired across the two sides, each one or several comparisons; p is not corrected.

    Raises:
        BadInput: the sides are not of the same tasks, two comparisons of one side share a task, or one lacks an arm.
    """
    before, after = _together(seen, arm, "none"), _together(unseen, arm, "none")
    if before.keys() != after.keys():
        raise BadInput(f"comparisons of {len(before)} and {len(after)} tasks that are not the same: nothing to pair")
    known = [task for task in before if not np.isnan(before[task] + after[task])]
    gains = [np.array([side[task] for task in known]) for side in (before, after)]
    rows = [
        _row(f"{arm} over none, {wording}", paired_estimate(side, seen[0].seed))
        for wording, side in zip(("seen wording", "unseen wording"), gains, strict=True)
    ]
    halved = paired_estimate((gains[1] - gains[0]) / 2, seen[0].seed)  # the estimate is of differences in [−1, 1]
    inner = halved.interval
    value, low, high = (None if end is None else 2 * end for end in (inner.value, inner.low, inner.high))
    rows.append(_row("unseen less seen", PairedEstimate(Interval(value, low, high, inner.n), halved.p)))
    return table(("gain", "points", "p"), [*rows, ("share kept, %", _share(gains[1], gains[0]), "")])


def pooled_gains(comparisons: Sequence[Comparison], pairs: Sequence[tuple[str, str]] = SHARED) -> str:
    """Tabulate differences in success between pairs of arms over the tasks of several comparisons together.

    Raises:
        BadInput: two comparisons share a task, or one lacks an arm.
    """
    rows = []
    for arm, than in pairs:
        gains = np.array([gain for gain in _together(comparisons, arm, than).values() if not np.isnan(gain)])
        name, *cells = _row(f"{arm} over {than}", paired_estimate(gains, comparisons[0].seed))
        rows.append((name, str(len(gains)), *cells))
    return table(("gain", "tasks", "points", "p"), rows)


def _row(name: str, found: PairedEstimate) -> tuple[str, str, str]:
    return name, percent(found.interval, 0, signed=True), p_value(found.p)


def _share(kept: Array, gained: Array) -> str:
    share = fieller_interval(kept, gained)
    return percent(share, 1) + ("" if share.low is not None else ", no bounds: the gain on seen wording is not shown")


def _together(comparisons: Sequence[Comparison], arm: str, than: str) -> Mapping[str, float]:
    """Return the difference in success by task, over the tasks of all comparisons."""
    found = [_gains(comparison, arm, than) for comparison in comparisons]
    if twice := [task for task, times in Counter(chain.from_iterable(found)).items() if times > 1]:
        raise BadInput(f"task {twice[0]} is in more than one comparison; a task counts once")
    return {task: gain for gains in found for task, gain in gains.items()}


def _gains(comparison: Comparison, arm: str, than: str) -> Mapping[str, float]:
    """Return the difference in success by task."""
    found = {}
    for row in comparison.per_task:
        try:
            cells = [row.arms[one if one in row.arms else CONSTANT.get(one, one)] for one in (arm, than)]
        except KeyError as error:
            raise BadInput(f"task {row.task_id} was not run with {error}; give comparisons with both arms") from None
        rates = [cell.successes / cell.trials if cell.trials else np.nan for cell in cells]
        found[row.task_id] = rates[0] - rates[1]
    return found
