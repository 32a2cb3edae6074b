"""Put measurements into the tables of docs/performance.md, scaling.md, reliability.md and serve.md.

    python perf/publish.py

Each table stands between ``<!-- table NAME -->`` and ``<!-- end NAME -->``. Those of performance.md and serve.md
are made from perf/results/NAME.json, those of scaling.md from committed episodes (``capacity.py``), those of
reliability.md from the results of mutation testing.
"""

import json
import sys
from pathlib import Path
from typing import Any

from eval.publish.markdown import fill_tables
from perf import capacity
from perf.mutation.mutant_tables import counts_table, survivors_table
from perf.record import RESULTS, ROOT

PAGES = tuple(ROOT / "docs" / f"{name}.md" for name in ("performance", "scaling", "reliability", "serve"))
_COMPUTED = {
    "per_episode": capacity.per_episode,
    "capacity": capacity.capacity,
    "mutants": counts_table,
    "survivors": survivors_table,
}


def fill(page: str, results: Path) -> str:
    """Return the page with its tables made anew."""
    return fill_tables(page, lambda name: _COMPUTED[name]() if name in _COMPUTED else measurement_table(name, results))


def measurement_table(name: str, results: Path) -> str:
    """Return the measurement of that name as Markdown; a line that says so when there is none."""
    path = results / f"{name}.json"
    if not path.exists():
        return "Not measured yet on an idle machine.\n"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = found["rows"]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"| {' | '.join('' if key == 'what' else key for key in columns)} |"]
    lines.append(f"| {' | '.join('---' if key == 'what' else '---:' for key in columns)} |")
    lines += [f"| {' | '.join(_cell(row.get(key)) for key in columns)} |" for row in rows]
    versions = ", ".join(f"{key} {value}" for key, value in found["versions"].items() if value)
    commit, _, changed = (found.get("commit") or "unknown").partition("-")
    commit = commit[:12] + (" with changes" if changed else "")
    where = f"{found['note']}. {found['hardware']}; {versions}; commit {commit}, {found['date']}; `{found['command']}`."
    return "\n".join(lines) + f"\n\n{where}\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def main() -> int:
    """Rewrite the pages."""
    for page in PAGES:
        page.write_text(fill(page.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
