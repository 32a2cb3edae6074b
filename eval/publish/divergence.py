"""Divergence of two arms: on each task the first decision at which the agent acts otherwise."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eval.metrics.formats import percent
from eval.metrics.measures import Resampling
from eval.publish.findings import FailureCause, check_causes, findings
from eval.publish.markdown import table
from fama.config import read_yaml_as
from fama.episodes.records import Episode, Record
from fama.errors import BadInput
from fama.intervals import ratio_interval
from fama.subsets import POOL


class Parting(NamedTuple):
    """A task's episodes of two arms, and the first decision (0-based) at which the agent acts otherwise."""

    one: Episode
    other: Episode
    turn: int

    @property
    def message(self) -> int:
        """Return the index of the action's message, in both episodes."""
        return self.one.decisions[self.turn].message_index

    @property
    def same_notes(self) -> bool:
        """Return whether the notes are the same, so that no choice of them made the difference."""
        mine, theirs = (episode.decisions[self.turn].notes for episode in (self.one, self.other))
        return [note.text for note in mine] == [note.text for note in theirs]


class Preferred(FailureCause):
    """The verdict of a reader on the decision at which two arms part; ``message`` is that of the agent's action."""

    message: int


class PartingsRead(Record):
    """A reading of some partings of two arms: the verdicts and their meaning, by episode of the first arm."""

    arm: str
    than: str
    causes: dict[str, str]
    episodes: dict[str, Preferred]


def parting(one: Episode, other: Episode) -> Parting | None:
    """Return where two episodes of a task part; None where the agent does the same throughout."""
    for turn, (mine, theirs) in enumerate(zip(one.decisions, other.decisions, strict=False)):
        index = mine.message_index
        if index != theirs.message_index or one.messages[:index] != other.messages[:index]:
            return None  # a user or a tool that answers the same action otherwise
        if one.messages[index] != other.messages[index]:
            return Parting(one, other, turn)
    return None


def partings(folder: Path, arm: str, than: str) -> list[Parting]:
    """Return the partings of two arms of a comparison of one trial, by task."""
    data = findings(folder)
    found = (parting(one, other) for one, other in zip(data.of(arm), data.of(than), strict=True))
    return [each for each in found if each is not None]


def parted(folder: Path, arm: str, than: str) -> str:
    """Tabulate on how many tasks two arms part, who was given a note there, and which episodes succeed."""
    found = partings(folder, arm, than)
    groups = {
        f"only {arm}": [each for each in found if _given(each) == (True, False)],
        f"only {than}": [each for each in found if _given(each) == (False, True)],
        "both, other ones": [each for each in found if _given(each) == (True, True) and not each.same_notes],
        "the same ones or none: another reply to the same request": [each for each in found if each.same_notes],
        "all tasks that part": found,
    }
    rows = []
    for words, chosen in groups.items():
        ends = Counter((_solved(each.one), _solved(each.other)) for each in chosen)
        counts = (ends[True, True], ends[True, False], ends[False, True], ends[False, False])
        rows.append((words, str(len(chosen)), *map(str, counts)))
    head = ("given a note where they part", "tasks", "both solve", f"only {arm}", f"only {than}", "neither")
    told = len(findings(folder).tasks)
    return f"On {told - len(found)} of {told} tasks the agent does the same throughout.\n\n{table(head, rows)}"


def tabulate_asked(folder: Path, arms: Sequence[str]) -> str:
    """Tabulate at what share of their decisions arms ask each helper, and at what share one asked has a note.

    The comparison has one trial, so that an episode is a task; intervals are over tasks.
    """
    data = findings(folder)
    weights = Resampling(data.comparison.seed, data.comparison.bootstrap).weights(len(data.tasks))
    rows = []
    for helper in POOL:
        cells = []
        for arm in arms:
            made = [episode.decisions for episode in data.of(arm)]
            counts = np.array(
                [
                    (
                        len(some),
                        sum(helper in one.subset for one in some),
                        sum(any(note.helper == helper for note in one.notes) for one in some),
                    )
                    for some in made
                ]
            )
            cells += [percent(ratio_interval(counts[:, n + 1], counts[:, n], weights), 0) for n in (0, 1)]
        rows.append((helper, *cells))
    head = (
        "helper",
        *(f"{arm}: {what}" for arm in arms for what in ("asked, % of decisions", "with a note, % of these")),
    )
    counted = ", ".join(f"{arm} {sum(len(episode.decisions) for episode in data.of(arm))}" for arm in arms)
    return f"Decisions: {counted}, of {len(data.tasks)} tasks; 95 % intervals over tasks.\n\n{table(head, rows)}"


def partings_read(folder: Path, path: Path) -> str:
    """Tabulate a reader's verdicts on partings, with what the episodes came to.

    Raises:
        BadInput: the file names an episode or a message at which the arms do not part, or a verdict that it does not
            define.
    """
    read = read_yaml_as(path, PartingsRead, "reading", "fix it there")
    found = {each.one.id: each for each in partings(folder, read.arm, read.than) if not each.same_notes}
    for key, note in read.episodes.items():
        if key not in found or (found[key].one.task_id, found[key].message) != (note.task, note.message):
            raise BadInput(f"{path}: {key}: {read.arm} and {read.than} do not part at {note.task}, {note.message}")
    check_causes(path, read.causes, read.episodes)
    counts = []
    for cause, meaning in read.causes.items():
        chosen = [found[key] for key, note in read.episodes.items() if note.cause == cause]
        mine, theirs = sum(_solved(each.one) for each in chosen), sum(_solved(each.other) for each in chosen)
        counts.append((meaning, str(len(chosen)), str(mine), str(theirs)))
    rows = [
        (note.task, str(note.message), note.cause.replace("_", " "), note.what, _solvers(read, found[key]))
        for key, note in sorted(read.episodes.items(), key=lambda item: item[1].task)
    ]
    caption = (
        f"{len(read.episodes)} of the {len(found)} tasks on which the arms part after other notes, drawn at random."
    )
    head = ("verdict on the decision", "tasks", f"{read.arm} solves", f"{read.than} solves")
    listed = table(("task", "message", "verdict", "what was said and done", "solved by"), rows)
    return f"{caption}\n\n{table(head, counts)}\n\n{listed}"


def _given(each: Parting) -> tuple[bool, bool]:
    return bool(each.one.decisions[each.turn].notes), bool(each.other.decisions[each.turn].notes)


def _solved(episode: Episode) -> bool:
    return episode.outcome.status == "success"


def _solvers(read: PartingsRead, each: Parting) -> str:
    names = [name for name, episode in ((read.arm, each.one), (read.than, each.other)) if _solved(episode)]
    return "both" if len(names) == 2 else names[0] if names else "neither"
