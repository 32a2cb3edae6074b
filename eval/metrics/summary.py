"""Episodes of any source, grouped by where they come from, with their measures."""

from collections.abc import Sequence

from eval.metrics.episode_scores import Score
from eval.metrics.measures import Measures, Resampling, measure
from fama.envs.exclusions import known_wrong
from fama.episodes.records import Record

GROUP = ("benchmark", "domain", "backbone", "strategy", "selector")


class GroupSummary(Record):
    """One line of ``fama score``. ``corrected`` leaves out tasks that are known to be wrong; None if there are none."""

    benchmark: str
    domain: str
    backbone: str
    strategy: str
    selector: str
    measures: Measures
    wrong_tasks: tuple[str, ...] = ()
    corrected: Measures | None = None


def summarise(scores: Sequence[Score], resampling: Resampling | None = None) -> list[GroupSummary]:
    """Return one summary per group, in order of the groups' names."""
    groups: dict[tuple[str, ...], list[Score]] = {}
    for score in scores:
        groups.setdefault(tuple(getattr(score, name) for name in GROUP), []).append(score)
    draws = resampling or Resampling()
    return [_summary(key, group, draws) for key, group in sorted(groups.items())]


def _summary(key: tuple[str, ...], group: Sequence[Score], draws: Resampling) -> GroupSummary:
    names = dict(zip(GROUP, key, strict=True))
    tasks = sorted({score.task_id for score in group})
    listed = known_wrong(names["benchmark"], names["domain"])
    wrong = tuple(task for task in tasks if task in listed)
    right = [score for score in group if score.task_id not in listed]
    return GroupSummary(
        **names,
        measures=measure(group, tasks, draws),
        wrong_tasks=wrong,
        corrected=measure(right, [t for t in tasks if t not in listed], draws) if wrong and right else None,
    )
