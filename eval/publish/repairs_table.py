"""The mined training tasks that ship: what repaired each, what it cost to find, and what single notes did."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.metrics.formats import DASH, count, percent
from eval.publish.markdown import name, table
from fama.episodes.jsonl import RecordStore, existing_file
from fama.intervals import clustered_mean
from fama.mining.folder import read_repairs
from fama.mining.note_effects import NoteEffects, note_effects
from fama.mining.records import REPAIRS, Repair


def repairs(folder: Path) -> str:
    """Tabulate mined episodes in the order in which they were mined, with the notes that a repair takes."""
    records = list(RecordStore(existing_file(folder, REPAIRS), Repair).read())
    repaired = [(str(record.key), record.repair) for record in records if record.repair is not None]
    tasks = [task for task, _ in repaired]
    notes = clustered_mean(np.array([len(repair) for _, repair in repaired], dtype=float), tasks, 0)
    helpers = [float(len({one.note.helper for one in repair})) for _, repair in repaired]
    asked = clustered_mean(np.array(helpers), tasks, 0)
    failed = sum(record.kind == "failed" for record in records)
    lead = (
        f"{len(repaired)} of {failed} failures were repaired: by {count(notes, 1)} notes of {count(asked, 1)} helpers "
        "each (mean, 95 % interval over tasks)."
    )
    body = [
        (
            record.task_id,
            record.kind,
            record.verdict,
            "–" if record.members is None else name(record.members),
            "–" if record.repair is None else str(len(record.repair)),
            str(record.calls),
        )
        for record in records
    ]
    return f"{lead}\n\n" + table(("task", "plain agent", "verdict", "helpers", "notes", "calls"), body)


def effects(folders: Sequence[Path]) -> str:
    """Tabulate what single notes did to failed and solved episodes of the plain agent, by helper, form, domain."""
    rows: dict[tuple[str, str, str], dict[str, NoteEffects]] = defaultdict(dict)
    for one in note_effects(map(read_repairs, folders)):
        rows[one.group.helper, one.group.form, one.group.domain][one.group.kind] = one
    failed, solved = ("notes at failures", "fixed, %"), ("notes at solved", "broke, %")
    nothing = "changed nothing, %"
    body = [(*key, *_told(kinds.get("failed")), *_told(kinds.get("solved"))) for key, kinds in sorted(rows.items())]
    return table(("helper", "form", "domain", *failed, nothing, *solved, nothing), body)


def _told(one: NoteEffects | None) -> tuple[str, str, str]:
    if one is None or not one.notes:
        return "0", DASH, DASH
    return f"{one.notes} of {one.tasks} tasks", percent(one.flipped_share, 0), percent(one.same_share, 0)
