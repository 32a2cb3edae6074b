"""The mined training tasks that ship: what repaired each, and what it cost to find."""

from pathlib import Path

from eval.publish.markdown import name, table
from fama.episodes.jsonl import RecordStore, existing_file
from fama.mining.records import REPAIRS, Repair


def repairs(folder: Path) -> str:
    """Tabulate mined episodes in the order in which they were mined."""
    body = [
        (
            record.task_id,
            record.kind,
            record.verdict,
            "–" if record.members is None else name(record.members),
            "–" if record.repair is None else str(len(record.repair)),
            str(record.calls),
        )
        for record in RecordStore(existing_file(folder, REPAIRS), Repair).read()
    ]
    return table(("task", "plain agent", "verdict", "helpers", "notes", "calls"), body)
