"""Episodes of any source, grouped by where they come from, with their measures."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from eval.metrics.episode_scores import Score
from eval.metrics.measures import Measures, Resampling, measure_arm
from eval.metrics.run_settings import RecordedArm
from fama.envs.exclusions import known_wrong
from fama.episodes.records import Record
from fama.errors import BadInput
from fama.hashing import content_hash

GROUP = ("benchmark", "benchmark_version", "domain", "backbone", "strategy", "selector", "variant", "config_hash")
#: stands for a backbone, strategy or selector that a log does not name
UNNAMED = "-"


class GroupSummary(Record):
    """One line of ``fama score``. ``corrected`` leaves out tasks that are known to be wrong; None if there are none.

    ``variant`` is what else sets an imported arm apart: agent, user model, settings, or the file that is its own arm.
    ``config_hash`` is that of an own run's settings, without which task, trial and arm do not say what was run.
    ``arm`` are the selector's settings, None where the folder of the episodes does not say them. ``cut`` counts the
    decisions at which a budget left chosen helpers out.
    """

    benchmark: str
    benchmark_version: str | None
    domain: str
    backbone: str
    strategy: str
    selector: str
    variant: str
    config_hash: str | None
    arm: dict[str, Any] | None = None
    measures: Measures
    cut: int = 0
    wrong_tasks: tuple[str, ...] = ()
    corrected: Measures | None = None


def summarise_scores(
    scores: Sequence[Score], resampling: Resampling | None = None, arms: Sequence[RecordedArm] = ()
) -> list[GroupSummary]:
    """Return one summary per group, in order of the groups' names. ``arms`` tell selectors of one name apart.

    Raises:
        BadInput: a task and trial were run twice under one name of a selector, and ``arms`` do not tell why.
    """
    groups: dict[tuple[str | None, ...], list[Score]] = {}
    known: dict[str, RecordedArm] = {}
    for score in scores:
        own = next((arm for arm in arms if _is_of(arm, score)), None)
        place = None
        if own is not None:
            place = content_hash(own.settings)
            known[place] = own
        groups.setdefault((*(getattr(score, name) for name in GROUP), place), []).append(score)
    draws = resampling or Resampling()
    found = []
    for key in sorted(groups, key=lambda key: tuple(part or "" for part in key)):
        _check_one_arm(groups[key])
        found.append(_summary(groups[key], known.get(key[-1] or ""), draws))
    return found


def _is_of(arm: RecordedArm, score: Score) -> bool:
    return arm.config_hash == score.config_hash and arm.ran(score.id, score.task_id, score.trial)


def _check_one_arm(group: Sequence[Score]) -> None:
    """Refuse own episodes of one task and trial that have different ids: their selectors had other options.

    Raises:
        BadInput: names the first two.
    """
    seen: dict[tuple[str, int], Score] = {}
    for score in group:
        other = seen.setdefault((score.task_id, score.trial), score)
        if other is not score and score.config_hash is not None and score.importer == "fama":
            raise BadInput(
                f"episodes {other.id} and {score.id}: both are {score.selector} on {score.task_id}, trial "
                f"{score.trial}, with the same settings, so that options of the selector differ, and no config.json "
                "beside them says how; score their folders one by one, or give each arm its label"
            )


def distinctions(summaries: Sequence[GroupSummary], settings: Mapping[str, Collection[str]] | None = None) -> list[str]:
    """Return for each line what sets it apart from the lines that are equal in all that a table shows; else empty.

    ``settings`` are those of own runs, each as ``name=value``, by config hash. Where those of one line are unknown, all
    that are equal to it are told apart by the hashes.
    """
    known = settings or {}
    shown: dict[tuple[str, ...], list[int]] = {}
    for index, one in enumerate(summaries):
        shown.setdefault((one.benchmark, one.domain, one.backbone, one.strategy, one.selector), []).append(index)
    texts = [""] * len(summaries)
    for alike in shown.values():
        told = known if all(summaries[i].config_hash in known for i in alike) else {}
        parts = [_parts(summaries[i], told) for i in alike]
        shared = set(parts[0]).intersection(*parts[1:])
        for index, own in zip(alike, parts, strict=True):
            texts[index] = ", ".join(part for part in own if part and part not in shared)
    return texts


def _parts(summary: GroupSummary, settings: Mapping[str, Collection[str]]) -> list[str]:
    parts = [f"version={summary.benchmark_version or '–'}", *summary.variant.split("; ")]
    if summary.config_hash is None:
        return parts
    own = {"options not recorded"} if summary.arm is None else RecordedArm("", summary.arm).in_words()
    return [*parts, *sorted(own), *sorted(settings.get(summary.config_hash, (f"config={summary.config_hash}",)))]


def _summary(group: Sequence[Score], arm: RecordedArm | None, draws: Resampling) -> GroupSummary:
    names = {name: getattr(group[0], name) for name in GROUP}
    tasks = sorted({score.task_id for score in group})
    listed = known_wrong(names["benchmark"], names["domain"])
    wrong = tuple(task for task in tasks if task in listed)
    right = [score for score in group if score.task_id not in listed]
    return GroupSummary(
        **names,
        arm=None if arm is None else dict(arm.settings),
        measures=measure_arm(group, tasks, draws),
        cut=sum(score.cut for score in group),
        wrong_tasks=wrong,
        corrected=measure_arm(right, [t for t in tasks if t not in listed], draws) if wrong and right else None,
    )
