"""The comparison on mixed traffic: what was said to each arm, how much is left to choose, and why failures remain."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from eval.compare.schema import Comparison
from eval.metrics.formats import count, p_value, percent
from eval.publish.findings import FailureCause, check_causes, findings
from eval.publish.markdown import table, tally
from eval.stats.interaction import choice_gains
from eval.stats.paired import paired_estimate
from fama.config import read_yaml_as
from fama.episodes.records import Decision, Episode, Record
from fama.errors import BadInput
from fama.intervals import Interval, clustered_mean
from fama.subsets import POOL

#: What differs between trials, the comparisons that ran arms on the same tasks, and the arms between which is chosen.
REPEATED = (
    ("test tasks of both domains, on unseen and on seen wording", ("mixed", "mixed-seen"), (("none", "all"),)),
    ("test tasks of the shop, temperature 0.7", ("trials",), (("none", "all"), ("none", "all", "prompted", "learned"))),
)


class SampleNote(FailureCause):
    """The first cause of one failure, with the message of the agent's action and what would have to change."""

    message: int
    change: str


class SampleReading(Record):
    """A reading of some failures of one arm: causes and their meaning, verdicts by episode."""

    arm: str
    causes: dict[str, str]
    episodes: dict[str, SampleNote]


def notes_given(folder: Path) -> str:
    """Tabulate how many notes each arm was given, and at how many decisions one or several; intervals over tasks."""
    data = findings(folder)
    rows = []
    for arm in data.comparison.arms:
        episodes = data.of(arm.arm)
        if not any(decision.notes for episode in episodes for decision in episode.decisions):
            continue

        def mean(value: Callable[[Decision], float], episodes: Sequence[Episode] = episodes) -> Interval:
            sums = [sum(map(value, episode.decisions)) for episode in episodes]
            return clustered_mean(np.array(sums), [e.task_id for e in episodes], data.comparison.seed)

        rows.append(
            (
                arm.arm,
                count(mean(lambda one: 1), 1),
                count(mean(lambda one: len(one.notes)), 1),
                count(mean(lambda one: len(one.notes) > 0), 1),
                count(mean(lambda one: len(one.notes) > 1), 1),
                count(mean(lambda one: sum(note.tokens for note in one.notes))),
            )
        )
    head = ("arm", "decisions per episode", "notes", "decisions with a note", "with several", "tokens of notes")
    return table(head, rows)


def endings(folder: Path) -> str:
    """Tabulate how the episodes of each arm ended, and which call those repeat that ended in a loop."""
    data = findings(folder)
    rows = []
    for arm in data.comparison.arms:
        episodes = data.of(arm.arm)
        looped = [episode.messages for episode in episodes if episode.outcome.reason == "loop"]
        calls = [[one.function.name for message in messages for one in message.tool_calls or ()] for messages in looped]
        ends = tally(str(episode.outcome.reason) for episode in episodes)
        rows.append((arm.arm, ends, tally(names[-1] for names in calls if names)))
    return table(("arm", "episodes ended by", "a loop repeats"), rows)


def calls_and_notes(folder: Path) -> str:
    """Tabulate the calls of helper agents by arm and helper, and how many gave a note or one that was rejected."""
    data = findings(folder)
    rows = []
    for arm in data.comparison.arms:
        episodes = data.of(arm.arm)
        decisions = [decision for episode in episodes for decision in episode.decisions]
        roles = Counter(row.role for episode in episodes for row in episode.ledger)
        for helper in POOL:
            if calls := roles[f"helper:{helper}"]:
                notes = sum(note.helper == helper for one in decisions for note in one.notes)
                rejected = sum(note.helper == helper for one in decisions for note in one.rejected)
                rows.append((arm.arm, helper, str(calls), str(notes), str(rejected), str(calls - notes - rejected)))
    return table(("arm", "helper", "calls", "notes", "rejected", "nothing new said"), rows)


def headroom(comparison: Comparison) -> str:
    """Tabulate how far the best executed subset of each task is above each arm, in success; p is not corrected.

    The best subset is known after the fact, so this bounds what a choice once per episode among these subsets can gain.
    """
    rows = []
    for arm in (one.arm for one in comparison.arms):
        pairs = [
            (row.oracle, row.arms[arm].successes / row.arms[arm].trials)
            for row in comparison.per_task
            if row.oracle is not None and arm in row.arms and row.arms[arm].trials
        ]
        over = np.array([best - own for best, own in pairs])
        found = paired_estimate(over, comparison.seed)
        only = (str(int(np.sum(side > 0))) for side in (over, -over))
        rows.append((arm, str(len(pairs)), *only, percent(found.interval, 0, signed=True), p_value(found.p)))
    head = (
        "arm",
        "tasks",
        "only the best subset solves",
        "only the arm solves",
        "best subset over the arm, points",
        "p",
    )
    return table(head, rows)


def choice_by_trials(folder: Path) -> str:
    """Tabulate what choosing the better of some arms task by task brings over the arm all (``choice_gains``)."""
    rows = []
    for title, comparisons, choices in REPEATED:
        trials: dict[str, dict[str, list[bool]]] = {}
        for found in (findings(folder / one) for one in comparisons):
            for arm in {arm for arms in choices for arm in arms}:
                for episode in found.of(arm):
                    own = trials.setdefault(episode.task_id, {})
                    own.setdefault(arm, []).append(episode.outcome.status == "success")
        for arms in choices:
            solved = np.array([[trials[task][arm] for arm in arms] for task in sorted(trials)], dtype=np.float64)
            base, rates = arms.index("all"), solved.mean(2)
            best = 100 * float((rates.max(1) - rates[:, base]).mean())
            gained = paired_estimate(choice_gains(solved, base), 0).interval
            numbers = (str(len(solved)), str(solved.shape[2]), f"{best:+.1f}")
            rows.append((title, ", ".join(arms), *numbers, percent(gained, 1, signed=True)))
    head = (
        "tasks",
        "arms",
        "n",
        "trials",
        "best arm of all trials over all",
        "best arm of half of them, on the others",
    )
    return table(head, rows)


def failures_read(folder: Path, path: Path) -> str:
    """Tabulate a reader's causes of failures of one arm, by domain, and what would have to change.

    Raises:
        BadInput: the file names an episode that is no such failure, or a cause that it does not define.
    """
    read = read_yaml_as(path, SampleReading, "reading", "fix it there")
    failed = {e.id: e for e in findings(folder).of(read.arm) if e.outcome.status == "failure"}
    for key, note in read.episodes.items():
        if key not in failed or failed[key].task_id != note.task:
            raise BadInput(f"{path}: {key}: no failure of {read.arm} on {note.task} in {folder}; correct the line")
    check_causes(path, read.causes, read.episodes)
    domains = sorted({failed[key].domain for key in read.episodes})
    counts = [
        (meaning, *(_count(read, failed, cause, domain) for domain in domains), _count(read, failed, cause))
        for cause, meaning in read.causes.items()
    ]
    rows = [
        (note.task, str(note.message), note.cause.replace("_", " "), note.what, note.change)
        for _, note in sorted(read.episodes.items(), key=lambda item: item[1].task)
    ]
    caption = f"{len(read.episodes)} of the {len(failed)} failures of {read.arm}, drawn at random."
    listed = table(("task", "message", "first cause", "what happened", "what would have to change"), rows)
    return f"{caption}\n\n{table(('first cause', *domains, 'all'), counts)}\n\n{listed}"


def _count(read: SampleReading, failed: dict[str, Episode], cause: str, domain: str | None = None) -> str:
    hits = sum(note.cause == cause and domain in (None, failed[key].domain) for key, note in read.episodes.items())
    return str(hits)
