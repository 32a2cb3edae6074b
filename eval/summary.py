"""Episodes of any source, grouped by where they come from, with their measures."""

from collections.abc import Sequence

from eval.measures import Measures, Resampling, measure
from eval.scores import Score
from fama.episodes.records import Record

GROUP = ("benchmark", "domain", "backbone", "strategy", "selector")


class GroupSummary(Record):
    """One line of ``fama score``."""

    benchmark: str
    domain: str
    backbone: str
    strategy: str
    selector: str
    measures: Measures


def summarise(scores: Sequence[Score], resampling: Resampling | None = None) -> list[GroupSummary]:
    """One summary a group, in order of the groups' names."""
    groups: dict[tuple[str, ...], list[Score]] = {}
    for score in scores:
        groups.setdefault(tuple(getattr(score, name) for name in GROUP), []).append(score)
    draws = resampling or Resampling()
    return [
        GroupSummary(
            **dict(zip(GROUP, key, strict=True)),
            measures=measure(group, sorted({score.task_id for score in group}), draws),
        )
        for key, group in sorted(groups.items())
    ]
