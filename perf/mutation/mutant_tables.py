"""Tables of docs/reliability.md from the results of mutation testing."""

import json
from typing import Any

from perf.record import RESULTS

_COLUMNS = ("mutants", "run", "killed", "survived", "equivalent", "accepted", "seconds")


def counts_table() -> str:
    """Return the counts of each module and their sums, with the share of all mutants that were killed."""
    found = json.loads((RESULTS / "mutants.json").read_text(encoding="utf-8"))
    rows = [row for row in found["rows"] if "run" in row]
    total = {"module": "all", **{column: sum(row[column] for row in rows) for column in _COLUMNS}}
    lines = [f"| module | {' | '.join(_COLUMNS)} | killed, % |", f"|---|{'--:|' * (len(_COLUMNS) + 1)}"]
    for row in (*rows, total):
        name = f"`{row['module']}`" if row is not total else "all"
        cells = " | ".join(f"{row[column]:,}" for column in _COLUMNS)
        lines.append(f"| {name} | {cells} | {100 * row['killed'] / row['run']:.1f} |")
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)
    timed_out = sum(row["by time"] for row in rows)
    where = f"{timed_out} of the killed ran out of time. {found['hardware']}; {versions}; {found['date']}"
    return "\n".join(lines) + f"\n\n{where}; `python perf/mutation/run.py`.\n"


def survivors_table() -> str:
    """Return every surviving mutant with its kind and reason; a missing test where there is none."""
    found: dict[str, Any] = json.loads((RESULTS / "mutants.json").read_text(encoding="utf-8"))
    lines = ["| module | mutant | kind | reason |", "|---|---|---|---|"]
    for row in found["rows"]:
        if "survivor" in row:
            mutant = row["survivor"].replace("|", "\\|")
            lines.append(
                f"| `{row['module']}` | `{mutant}` | {row['kind'] or 'test missing'} | {row['reason'] or ''} |"
            )
    return "\n".join(lines) + "\n"
