"""The mined training tasks that ship: what repaired each, what it cost to find, and what single notes did."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from eval.metrics.formats import DASH, count, percent
from eval.mine_check.records import MineCheck
from eval.mine_check.summary import measures
from eval.publish.markdown import public, table
from fama.episodes.jsonl import RecordStore, existing_file
from fama.errors import BadInput
from fama.intervals import clustered_mean
from fama.mining.mined_folder import read_repairs
from fama.mining.note_effects import NoteEffects, note_effects
from fama.mining.records import REPAIRS, EpisodeKind, Repair


def repairs(folder: Path) -> str:
    """Tabulate mined episodes in the order in which they were mined, with the notes that a repair takes."""
    records = list(RecordStore(existing_file(folder, REPAIRS), Repair).read())
    repaired = [(str(record.key), record.repair) for record in records if record.repair is not None]
    tasks = [task for task, _ in repaired]
    notes = clustered_mean(np.array([len(repair) for _, repair in repaired], dtype=float), tasks, 0)
    helpers = [float(len({one.note.helper for one in repair})) for _, repair in repaired]
    asked = clustered_mean(np.array(helpers), tasks, 0)
    failed = sum(record.kind == "failed" for record in records)
    means = f"by {count(notes, 1)} notes of {count(asked, 1)} helpers each"
    if arm := next((record.arm for record in records if record.arm is not None), None):
        away = [
            float(sum(len(one.members) for one in record.withdrawn or ()))
            for record in records
            if record.repair is not None
        ]
        means += f", {count(clustered_mean(np.array(away), tasks, 0), 1)} notes of the arm's own ({arm}) left out"
    lead = f"{len(repaired)} of {failed} failures were repaired: {means} (mean, 95 % interval over tasks)."
    body = [
        (
            record.task_id,
            record.kind,
            record.verdict,
            record.means or DASH,
            DASH if record.repair is None else str(len(record.repair)),
            str(record.calls),
        )
        for record in records
    ]
    return f"{lead}\n\n" + table(
        ("task", "plain agent" if arm is None else arm, "verdict", "helpers", "notes", "calls"), body
    )


def held_against_the_grid(path: Path) -> str:
    """Tabulate what ``fama mine-check`` wrote: what was mined against the executed grid of each failure."""
    check = MineCheck.model_validate_json(path.read_text(encoding="utf-8"))
    body = [
        (one.name, one.over, (percent(one.value, 0) if one.share else count(one.value, one.digits)), str(one.value.n))
        for one in measures(check.summary)
    ]
    lead = (
        f"{check.summary.failures} failures of {check.summary.tasks} tasks, mined with a budget that ran out at "
        f"{check.summary.incomplete}; {check.summary.grid_errors} runs of the grid ended in an error. Computed at "
        f"commit {(check.git_commit or '')[:7]} by `{public(check.command)}`."
    )
    return f"{lead}\n\n" + table(("measure", "over", "value [95 %]", "tasks"), body)


def effects(folders: Sequence[Path]) -> str:
    """Tabulate what single notes did to failed and solved episodes of the plain agent, by helper, form, domain."""
    rows = _by_kind(note_effects(map(read_repairs, folders)))
    failed, solved = ("notes at failures", "fixed, %"), ("notes at solved", "broke, %")
    nothing = "changed nothing, %"
    body = [(*key, *_told(kinds.get("failed")), *_told(kinds.get("solved"))) for key, kinds in rows]
    return table(("helper", "form", "domain", *failed, nothing, *solved, nothing), body)


def effects_in_short(folders: Sequence[Path]) -> str:
    """Tabulate how many single notes fixed a failure and broke a solved episode, by helper and form, over domains."""
    rows = _by_kind(note_effects(map(read_repairs, folders), by_domain=False))
    body = [
        (helper, form, *(_turned(kinds.get(kind)) for kind in get_args(EpisodeKind)))
        for (helper, form, _), kinds in rows
    ]
    return table(("helper", "form", "fixed, of notes at failures", "broke, of notes at solved"), body)


def effects_of_questions(folders: Sequence[Path]) -> str:
    """Tabulate what single notes of helper agents fixed and broke, by helper and version of its question."""
    found = [one for one in note_effects(map(read_repairs, folders), by_domain=False) if one.group.form == "llm"]
    rows: dict[tuple[str, str], dict[str, NoteEffects]] = defaultdict(dict)
    for one in found:
        rows[one.group.helper, one.group.texts][one.group.kind] = one
    body = [
        (helper, texts, *(cell for kind in get_args(EpisodeKind) for cell in _spoken_and_turned(kinds.get(kind))))
        for (helper, texts), kinds in sorted(rows.items())
    ]
    said = "spoke, of decisions"
    return table(("helper", "question", f"{said} of failures", "fixed", f"{said} of solved", "broke"), body)


def _spoken_and_turned(one: NoteEffects | None) -> tuple[str, str]:
    return DASH if one is None else f"{one.notes} of {one.asked}", _turned(one)


def _by_kind(effects: Iterable[NoteEffects]) -> list[tuple[tuple[str, str, str], dict[str, NoteEffects]]]:
    rows: dict[tuple[str, str, str], dict[str, NoteEffects]] = defaultdict(dict)
    for one in effects:
        kinds = rows[one.group.helper, one.group.form, one.group.domain or ""]
        if one.group.kind in kinds:
            raise BadInput(
                f"notes of {one.group.helper} are of more than one benchmark, backbone, arm or version of its texts; "
                "tabulate them apart"
            )
        kinds[one.group.kind] = one
    return sorted(rows.items())


def _told(one: NoteEffects | None) -> tuple[str, str, str]:
    if one is None or not one.notes:
        return "0", DASH, DASH
    return f"{one.notes} of {one.tasks} tasks", percent(one.flipped_share, 0), percent(one.same_share, 0)


def _turned(one: NoteEffects | None) -> str:
    if one is None or not one.notes:
        return DASH
    return f"{one.flipped} of {one.notes - one.unknown}: {percent(one.flipped_share, 0)} %"
