"""Note precision on logged failures: shares with intervals over tasks, by chooser, backbone and category."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from eval.logged_notes.judged_notes import MOMENTS, Ahead, Failures, JudgedNotes, Moment
from eval.logged_notes.judgement import Judgement
from fama.episodes.records import Record
from fama.files import write_atomically
from fama.intervals import Interval, clustered_share

EVERY = "all"
_DIGITS = 4
_COMPACT = (",", ":")


class NoteShare(Record):
    """Share of the notes that can be judged; ``unjudged`` counts the others. The interval is over tasks."""

    notes: int
    unjudged: int
    share: Interval


class NoteCell(Record):
    """The notes of one chooser before one kind of decision, in failures of a backbone and a category.

    ``given`` is the share of decisions with a note, ``notes`` how many notes these are, ``rejected`` how many failed
    the note check, ``unread`` how many have no form of the templates. ``precision`` is note precision on logged
    failures: names the reference's tool or a value of it, and does not contradict it. A failure with two primary
    categories counts in both.
    """

    chooser: str
    moment: Moment
    backbone: str
    category: str
    decisions: int
    given: Interval
    notes: int
    rejected: int
    unread: int
    names_tool: NoteShare
    names_value: NoteShare
    contradicts: NoteShare
    precision: NoteShare


class NotePrecision(Record):
    """The result file: counts and intervals only, nothing of the logs' text.

    ``ahead`` counts the decisions by the reference's next action.
    """

    command: str
    commit: str | None
    template_texts: str
    taxonomy: str
    reading: str
    seed: int
    failures: Failures
    ahead: dict[Moment, dict[Ahead, int]]
    cells: tuple[NoteCell, ...]

    def write(self, path: Path) -> None:
        """Write the file, a cell a line."""
        whole = self.model_dump(mode="json")
        cells = ",\n".join(f"  {json.dumps(cell, separators=_COMPACT)}" for cell in whole.pop("cells"))
        head = json.dumps(whole, indent=1, ensure_ascii=False).removesuffix("\n}")
        write_atomically(path, f'{head},\n "cells": [\n{cells}\n ]\n}}\n')


_MEASURES: dict[str, Callable[[Judgement], bool | None]] = {
    "names_tool": lambda one: one.names_tool,
    "names_value": lambda one: one.names_value,
    "contradicts": lambda one: one.contradicts,
    "precision": lambda one: one.precise,
}


def note_cells(rows: Sequence[JudgedNotes], choosers: Sequence[str]) -> tuple[NoteCell, ...]:
    """Return every chooser's measures at both decisions: of all failures, by backbone, by category, and by both."""
    backbones = (EVERY, *sorted({row.backbone for row in rows}))
    categories = (EVERY, *sorted({code for row in rows for code in row.categories}))
    groups: dict[tuple[str, Moment, str, str], list[JudgedNotes]] = defaultdict(list)
    for row in rows:
        for backbone in (EVERY, row.backbone):
            for category in (EVERY, *row.categories):
                groups[row.chooser, row.moment, backbone, category].append(row)
    return tuple(
        _cell(key, own)
        for backbone in backbones
        for category in categories
        for chooser in choosers
        for moment in MOMENTS
        if (own := groups.get(key := (chooser, moment, backbone, category)))
    )


def ahead(rows: Sequence[JudgedNotes]) -> dict[Moment, dict[Ahead, int]]:
    """Count the decisions of each kind by the reference's next action."""
    decisions = {(row.episode, row.moment): row for row in rows}.values()
    kinds: tuple[Ahead, ...] = get_args(Ahead)
    return {
        moment: {kind: sum((row.moment, row.ahead) == (moment, kind) for row in decisions) for kind in kinds}
        for moment in MOMENTS
    }


def _cell(key: tuple[str, Moment, str, str], rows: Sequence[JudgedNotes]) -> NoteCell:
    chooser, moment, backbone, category = key
    notes = [(row.task, one) for row in rows for one in row.judgements]
    return NoteCell(
        chooser=chooser,
        moment=moment,
        backbone=backbone,
        category=category,
        decisions=len(rows),
        given=_share([(row.task, bool(row.judgements)) for row in rows]),
        notes=len(notes),
        rejected=sum(row.rejected for row in rows),
        unread=sum(not one.read for _, one in notes),
        **{name: _judged([(task, measure(one)) for task, one in notes]) for name, measure in _MEASURES.items()},
    )


def _judged(values: Sequence[tuple[str, bool | None]]) -> NoteShare:
    known = [(task, value) for task, value in values if value is not None]
    return NoteShare(notes=len(known), unjudged=len(values) - len(known), share=_share(known))


def _share(values: Sequence[tuple[str, bool]]) -> Interval:
    """Return the share of true values with its interval over tasks, in four digits; ``n`` counts the tasks."""
    hits: dict[str, int] = defaultdict(int)
    counts: dict[str, int] = defaultdict(int)
    for task, value in values:
        hits[task] += value
        counts[task] += 1
    found = clustered_share([hits[task] for task in counts], list(counts.values()))
    return Interval(_rounded(found.value), _rounded(found.low), _rounded(found.high), found.n)


def _rounded(end: float | None) -> float | None:
    return None if end is None else round(end, _DIGITS)
