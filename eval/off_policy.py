"""Off-policy value of a selector from logged subsets and propensities: IPS, self-normalised, direct, doubly robust."""

from collections.abc import Mapping, Sequence

import numpy as np

from fama.episodes.keys import EpisodeKey
from fama.episodes.outcome_table import OutcomeRow
from fama.episodes.records import Record
from fama.errors import BadInput
from fama.intervals import Interval, mean_interval, ratio_interval, task_weights
from fama.subsets import members_of

#: Fewer matched tasks than this, or propensities below that, and the estimate leans on too few episodes.
MATCHED, SMALL = 20, 0.02


class OffPolicy(Record):
    """One selector's success rate by four estimators, and how much of the log speaks for it.

    A value is None where nothing matched; intervals are over tasks.

    ``matched`` tasks hold an executed episode of the subset that the selector chooses; ``warning`` is empty when
    there are enough of them.
    """

    arm: str
    tasks: int
    matched: int
    ips: Interval
    snips: Interval
    direct: Interval
    doubly_robust: Interval
    warning: str = ""


def off_policy(
    arm: str, choices: Mapping[EpisodeKey, str], rows: Sequence[OutcomeRow], draws: int = 2000, seed: int = 0
) -> OffPolicy:
    """Value of the choices, a subset for every (task, trial) of the table.

    The propensity of a row is the probability that its subset was executed on that task and trial, so the weight of a
    match is its inverse (Horvitz and Thompson 1952; Dudík et al. 2011 for the doubly robust form). The direct
    method predicts a subset's success by its mean over the other tasks, shrunk to the mean of all subsets.

    Raises:
        BadInput: a row has no propensity.
    """
    cells: dict[tuple[EpisodeKey, frozenset[str]], OutcomeRow] = {}
    for row in rows:
        if row.success is None:
            continue
        if not row.propensity:
            raise BadInput(f"outcome table: episode {row.episode_id} has no propensity; it cannot be weighted")
        cells[row.key, members_of(row.subset)] = row
    predict = _SubsetMeans(cells)
    tasks = sorted({key.task_id for key in choices})
    place = {task: index for index, task in enumerate(tasks)}
    sums = {name: np.zeros(len(tasks)) for name in ("ips", "weight", "direct", "robust", "trials", "matched")}
    least = 1.0
    for key, chosen in choices.items():
        subset, at = members_of(chosen), place[key.task_id]
        guess = predict(key.task_id, subset)
        found = cells.get((key, subset))
        weight = 1.0 / float(found.propensity) if found is not None and found.propensity else 0.0
        reward = float(bool(found.success)) if found is not None else 0.0
        if found is not None:
            least = min(least, float(found.propensity or 1.0))
        sums["trials"][at] += 1
        sums["matched"][at] += found is not None
        sums["weight"][at] += weight
        sums["ips"][at] += weight * reward
        sums["direct"][at] += guess
        sums["robust"][at] += guess + weight * (reward - guess)
    weights = task_weights(len(tasks), draws, seed, "off-policy")
    matched = int(np.count_nonzero(sums["matched"]))
    return OffPolicy(
        arm=arm,
        tasks=len(tasks),
        matched=matched,
        ips=mean_interval(sums["ips"] / sums["trials"], weights),
        snips=ratio_interval(sums["ips"], sums["weight"], weights),
        direct=mean_interval(sums["direct"] / sums["trials"], weights),
        doubly_robust=mean_interval(sums["robust"] / sums["trials"], weights),
        warning=_warning(matched, len(tasks), least),
    )


def _warning(matched: int, tasks: int, least: float) -> str:
    if matched < MATCHED:
        return f"little overlap: the log has the chosen subset on {matched} of {tasks} tasks"
    if least < SMALL:
        return f"a matched subset had propensity {least:.3f}: its episode weighs {1 / least:.0f} times"
    return ""


class _SubsetMeans:
    """Mean success of a subset over the other tasks; two episodes' worth of the overall mean are mixed in."""

    def __init__(self, cells: Mapping[tuple[EpisodeKey, frozenset[str]], OutcomeRow]) -> None:
        self._sums: dict[tuple[frozenset[str] | None, str | None], tuple[int, int]] = {}
        for (episode, subset), row in cells.items():
            task = episode.task_id
            for key in ((None, None), (None, task), (subset, None), (subset, task)):
                won, n = self._sums.get(key, (0, 0))
                self._sums[key] = (won + bool(row.success), n + 1)

    def __call__(self, task: str, subset: frozenset[str]) -> float:
        won, n = self._elsewhere(None, task)
        prior = won / n if n else 0.5
        won, n = self._elsewhere(subset, task)
        return (won + 2 * prior) / (n + 2)

    def _elsewhere(self, subset: frozenset[str] | None, task: str) -> tuple[int, int]:
        """Successes and episodes of a subset, or of all, on the other tasks."""
        everywhere, here = self._sums.get((subset, None), (0, 0)), self._sums.get((subset, task), (0, 0))
        return everywhere[0] - here[0], everywhere[1] - here[1]
