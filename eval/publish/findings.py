"""Findings behind the comparison: the aims, what each arm fixes and breaks, single cases, remaining failures."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from eval.compare.comparison import read_comparison
from eval.compare.schema import Comparison
from eval.metrics.episode_scores import Score, score_of
from eval.metrics.formats import DASH, p_value, percent
from eval.metrics.measures import PairedDifference, Resampling, compare_pair
from eval.publish.markdown import name, table
from fama.config import read_yaml_as
from fama.diagnosis.diagnose import diagnose_episode
from fama.diagnosis.orchestrator import weight
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Episode, Failure, Record
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.intervals import Interval, ratio_interval
from fama.subsets import split_label

EPISODES = "episodes.jsonl.gz"
#: Points over none, points from the oracle, overhead over none, share of prompted's extra tokens.
LEAST_GAIN, MOST_GAP, MOST_OVERHEAD, MOST_EXTRA = 0.15, 0.05, 0.15, 0.5


class Findings:
    """A live comparison with its episodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.comparison: Comparison = read_comparison(folder)
        self.episodes: dict[str, Episode] = {e.id: e for e in read_episodes(folder / EPISODES)}
        self.tasks = tuple(row.task_id for row in self.comparison.per_task)

    @cached_property
    def labels(self) -> dict[str, Failure]:
        """Return the detectors' labels of the episodes that failed, by episode."""
        return asyncio.run(_labels(self.episodes.values()))

    def of(self, arm: str) -> list[Episode]:
        """Return the episodes of an arm, by task."""
        return [self.episodes[key] for row in self.comparison.per_task for key in row.arms[arm].episodes]

    def scores(self, arm: str) -> list[Score]:
        """Return the scores of an arm's episodes."""
        return [score_of(episode) for episode in self.of(arm)]

    def difference(self, arm: str, other: str) -> PairedDifference:
        """Compare an arm with another one on the same tasks and trials."""
        resampling = Resampling(self.comparison.seed, self.comparison.bootstrap)
        return compare_pair(self.scores(arm), self.scores(other), other, self.tasks, resampling)

    def broken(self, arm: str) -> dict[str, Counter[str]]:
        """Return the primary categories of an arm's failures by task; a failure with two causes counts in both."""
        counts: dict[str, Counter[str]] = {task: Counter() for task in self.tasks}
        for episode in self.of(arm):
            if episode.id in self.labels:
                counts[episode.task_id].update(self.labels[episode.id].causes)
        return counts


@cache
def findings(folder: Path) -> Findings:
    """Return the findings of a folder, read and diagnosed once."""
    return Findings(folder)


def aims(folder: Path) -> str:
    """Tabulate the aims set before the runs beside the results."""
    data = findings(folder)
    learned = data.comparison.arm("learned")
    rows = []
    for other in ("prompted", "best_fixed"):
        paired = data.difference("learned", other)
        outcome = f"{percent(paired.estimate, 0, signed=True)} points, p {p_value(paired.p)}"
        rows.append((f"as successful as {other}", outcome, _kept(paired.estimate, 0.0)))
    ours, theirs = learned.versus_none, data.comparison.arm("prompted").versus_none
    if ours is None or theirs is None or ours.overhead.value is None or theirs.overhead.value is None:
        raise ValueError(f"{folder}: the arms none, prompted and learned are needed")
    extra = f"{percent(ours.overhead, 0, signed=True)} % against {percent(theirs.overhead, 0, signed=True)} %"
    few = "yes" if ours.overhead.value <= MOST_EXTRA * theirs.overhead.value else "no"
    rows.append((f"at most {MOST_EXTRA * 100:.0f} % of prompted's extra tokens", extra, few))
    gap = oracle_gap(data.comparison, "learned")
    outcome = f"{percent(gap, 0, signed=True)} points on {gap.n} tasks"
    rows.append((f"within {MOST_GAP * 100:.0f} points of the best executed subset", outcome, _kept(gap, -MOST_GAP)))
    gained = f"{percent(ours.estimate, 0, signed=True)} points"
    rows.append((f"at least {LEAST_GAIN * 100:.0f} points over none", gained, _kept(ours.estimate, LEAST_GAIN)))
    cheap = "yes" if ours.overhead.value < MOST_OVERHEAD else "no"
    rows.append((f"overhead under {MOST_OVERHEAD * 100:.0f} %", f"{percent(ours.overhead, 0, signed=True)} %", cheap))
    return table(("aim for the learned router", "came out", "the estimate keeps it"), rows)


def fresh(folder: Path, first: int) -> str:
    """Tabulate the arms on the tasks from a number on: those no earlier version of the helpers' texts was run on."""
    data = findings(folder)
    rows = _on_tasks(data, tuple(task for task in data.tasks if int(task.rsplit("-", 1)[1]) >= first))
    return table(("arm", "solved", f"against {_base(data)}, points", "p"), rows)


def by_domain(folder: Path) -> str:
    """Tabulate the arms of a mixed comparison on the tasks of each domain; p without correction."""
    data = findings(folder)
    domain_of = {episode.task_id: episode.domain for episode in data.episodes.values()}
    rows = [
        (domain, *row)
        for domain in dict.fromkeys(domain_of[task] for task in data.tasks)
        for row in _on_tasks(data, tuple(task for task in data.tasks if domain_of[task] == domain))
    ]
    return table(("domain", "arm", "solved", f"against {_base(data)}, points", "p"), rows)


def _base(data: Findings) -> str:
    """Return the arm that the others are held against: none, or the first where none was not run."""
    arms = [arm.arm for arm in data.comparison.arms]
    return "none" if "none" in arms else arms[0]


def _on_tasks(data: Findings, tasks: tuple[str, ...]) -> list[tuple[str, str, str, str]]:
    """Return arm, successes, the difference from the base and its p on some of the tasks."""
    base = _base(data)
    resampling = Resampling(data.comparison.seed, data.comparison.bootstrap)
    kept = {arm.arm: [s for s in data.scores(arm.arm) if s.task_id in tasks] for arm in data.comparison.arms}
    rows = []
    for arm, scores in kept.items():
        solved = f"{sum(score.success for score in scores)} of {sum(score.scored for score in scores)}"
        gain = None if arm == base else compare_pair(scores, kept[base], base, tasks, resampling)
        versus = (percent(gain.estimate, 0, signed=True), p_value(gain.p)) if gain else ("", "")
        rows.append((arm, solved, *versus))
    return rows


def oracle_gap(comparison: Comparison, arm: str) -> Interval:
    """Return an arm's success less that of the best executed subset, over the tasks of the grid."""
    rows = [row for row in comparison.per_task if row.oracle is not None and row.arms[arm].trials]
    gaps = np.array([row.arms[arm].successes / row.arms[arm].trials - (row.oracle or 0.0) for row in rows])
    weights = Resampling(comparison.seed, comparison.bootstrap).weights(len(rows))
    return ratio_interval(gaps, np.ones(len(rows)), weights)


def categories(folder: Path) -> str:
    """Count for each arm and category the tasks whose failure goes and those whose failure comes, against none."""
    data = findings(folder)
    plain = data.broken("none")
    codes = load_taxonomy().codes
    rows = []
    for arm in data.comparison.arms:
        own = data.broken(arm.arm)
        if arm.arm == "none":
            rows.append((arm.arm, *(str(sum(plain[task][code] for task in data.tasks)) for code in codes)))
            continue
        cells = []
        for code in codes:
            gone = sum(max(plain[task][code] - own[task][code], 0) for task in data.tasks)
            new = sum(max(own[task][code] - plain[task][code], 0) for task in data.tasks)
            cells.append(f"−{gone} +{new}")
        rows.append((arm.arm, *cells))
    return table(("arm", *codes), rows)


def cases(folder: Path) -> str:
    """Tabulate the tasks that one of the prompted and the learned selector solves in more trials than the other."""
    data = findings(folder)
    rows = []
    for row in data.comparison.per_task:
        ours, theirs = row.arms["learned"], row.arms["prompted"]
        if ours.successes == theirs.successes:
            continue
        winner, loser = ("learned", "prompted") if ours.successes > theirs.successes else ("prompted", "learned")
        score = f" {ours.successes} : {theirs.successes}" if data.comparison.trials > 1 else ""
        lost = [data.labels[key] for key in row.arms[loser].episodes if key in data.labels]
        why = " + ".join(dict.fromkeys(code for label in lost for code in label.causes)) or DASH
        chose = (_chosen(ours.subsets), _chosen(theirs.subsets))
        rows.append((row.task_id, winner + score, *chose, f"{loser}: {why}", _shown(data, row.task_id)))
    if not rows:
        solved = sum(bool(row.arms["learned"].successes) for row in data.comparison.per_task)
        return f"Nowhere: both solve the same {solved} of {len(data.tasks)} tasks."
    more = "solved by" if data.comparison.trials == 1 else "solved more often by (learned : prompted)"
    return table(("task", more, "learned chose", "prompted chose", "failure of the other", "read both"), rows)


def remaining_failures(folder: Path) -> str:
    """Tabulate the learned arm's remaining failures by the finding that weighs most."""
    data = findings(folder)
    tasks: dict[str, list[str]] = {}
    failed = [episode for episode in data.of("learned") if episode.id in data.labels]
    for episode in failed:
        tasks.setdefault(decisive(data.labels[episode.id]), []).append(episode.task_id)
    order = sorted(tasks.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [(f"`{source}`", str(len(own)), ", ".join(task.rsplit("-", 1)[1] for task in own)) for source, own in order]
    return f"{len(failed)} failures.\n\n{table(('finding', 'failures', 'tasks'), rows)}"


class FailureCause(Record):
    """A reader's cause of one failed episode, and what happened."""

    task: str
    cause: str
    what: str


class FailureReading(FailureCause):
    """A verdict, and how many requests the task has."""

    requests: int


class FailureCauses(Record):
    """A file of readings by episode, and the meaning of each of their causes."""

    causes: dict[str, str]
    comparison: dict[str, FailureReading]
    trials: dict[str, FailureReading]


def check_causes(path: Path, causes: Mapping[str, str], verdicts: Mapping[str, FailureCause]) -> None:
    """Refuse verdicts whose cause the file does not define.

    Raises:
        BadInput: one does.
    """
    for key, verdict in verdicts.items():
        if verdict.cause not in causes:
            raise BadInput(f"{path}: {key}: no cause {verdict.cause!r}; known: {', '.join(causes)}")


def read_in_full(folder: Path, trials: Path, path: Path) -> str:
    """Tabulate a reader's causes of the learned arm's failures.

    They are all failures of the comparison in ``folder``, and those of the first trial in ``trials`` on the tasks that
    the comparison solves.

    Raises:
        BadInput: the file names a cause that it does not define, or not exactly these failures.
    """
    read = read_yaml_as(path, FailureCauses, "reading", "fix it there")
    once, again = findings(folder).of("learned"), findings(trials).of("learned")
    lost = [episode for episode in once if episode.outcome.status == "failure"]
    open_tasks = {episode.task_id for episode in lost}
    further = [e for e in again if e.outcome.status == "failure" and e.trial == 0 and e.task_id not in open_tasks]
    for source, episodes, notes in ((folder, lost, read.comparison), (trials, further, read.trials)):
        if {episode.id: episode.task_id for episode in episodes} != {key: note.task for key, note in notes.items()}:
            raise BadInput(f"{path}: not the failures of the learned arm in {source}; read those that differ")
        check_causes(path, read.causes, notes)
    every = [*read.comparison.values(), *read.trials.values()]
    counts = [
        (
            meaning,
            str(sum(note.cause == cause for note in read.comparison.values())),
            str(sum(note.cause == cause for note in read.trials.values())),
            str(sum(note.cause == cause and note.requests > 1 for note in every)),
        )
        for cause, meaning in read.causes.items()
    ]
    rows = [
        (note.task.rsplit("-", 1)[1], where, note.cause.replace("_", " "), note.what)
        for where, own in (("comparison", read.comparison), ("trials", read.trials))
        for note in own.values()
    ]
    two = sum(note.requests > 1 for note in every)
    caption = f"{len(every)} failures read, {two} of tasks with two requests at once."
    head = ("what kept it", "in the comparison", "in the trials", "of two requests")
    return f"{caption}\n\n{table(head, counts)}\n\n{table(('task', 'in', 'cause', 'what happened'), rows)}"


def decisive(label: Failure) -> str:
    """Return the source of the finding that weighs most among those of the first primary category."""
    own = [item for item in label.evidence if item.category == label.primary[0]]
    return max(own, key=lambda item: weight(item.source)).source if own else "no finding"


async def _labels(episodes: Iterable[Episode]) -> dict[str, Failure]:
    taxonomy = load_taxonomy()
    return {
        episode.id: (await diagnose_episode(episode, None, taxonomy))[0]
        for episode in episodes
        if episode.outcome.status == "failure"
    }


def _kept(estimate: Interval, least: float) -> str:
    return DASH if estimate.value is None else "yes" if estimate.value >= least else "no"


def _chosen(subsets: Sequence[str]) -> str:
    return ", ".join(name(split_label(subset)) for subset in subsets)


def _shown(data: Findings, task: str) -> str:
    many = len(data.comparison.arms) * data.comparison.trials
    return f"`fama show results/helpdesk/{data.folder.name}/{EPISODES} --task {task} --limit {many}`"
