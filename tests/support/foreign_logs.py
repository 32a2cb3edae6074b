"""Small logs of other tools, written for a test, and what the command makes of them."""

import json
from pathlib import Path
from typing import Any

from fama.cli import main
from fama.episodes.records import Episode
from fama.episodes.store import read_episodes

SAID: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def write_lines(path: Path, rows: list[Any]) -> Path:
    return write_json(path, "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")


def imported(path: Path, out: Path, *flags: str, form: str = "auto", code: int = 0) -> list[Episode]:
    assert main(["import", form, str(path), "--out", str(out), *flags]) == code
    return list(read_episodes(out)) if code == 0 else []
