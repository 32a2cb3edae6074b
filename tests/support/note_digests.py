"""Digests of the notes that the template helpers write on committed episodes.

    python -m tests.support.note_digests

writes ``tests/golden/notes.json`` anew: only after a deliberate change of texts, with a new ``TEMPLATE_TEXTS``.
"""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fama.agents.injection import collect_notes
from fama.episodes.records import Episode
from fama.episodes.state import state_at
from fama.helpers.base import TEMPLATE_TEXTS, HelperContext
from fama.helpers.pool import build_pool
from fama.settings import HelperSettings

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/notes.json"


class Digest(NamedTuple):
    """Decisions of a file, notes of single helpers, and a hash over all notes alone and together."""

    decisions: int
    notes: int
    sha256: str


def episode_files() -> list[Path]:
    """Return the committed files of episodes."""
    return sorted((ROOT / "results").rglob("*episodes.jsonl.gz"))


def digest(path: Path) -> Digest:
    """Return the digest of a file's notes, recomputed with this code."""
    decisions = notes = 0
    total = hashlib.sha256()
    for texts in asyncio.run(_texts(path)):
        decisions += 1
        notes += sum(text is not None for text in texts[0])
        total.update(json.dumps(texts).encode())
    return Digest(decisions, notes, total.hexdigest())


async def _texts(path: Path) -> list[tuple[list[str | None], list[tuple[str, str]]]]:
    pool = build_pool(HelperSettings())
    rows = []
    for episode in _episodes(path):
        for turn in range(len(episode.decisions)):
            state = state_at(episode, turn)
            alone = [(await helper.note(state, HelperContext())).text for helper in pool.values()]
            together = await collect_notes(state, tuple(pool), pool, None, 0, [])
            rows.append((alone, [(note.helper, note.text) for note in together.passed]))
    return rows


def _episodes(path: Path) -> Iterator[Episode]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield Episode.model_validate_json(line)


def main() -> None:
    """Write the golden file."""
    files = {str(path.relative_to(ROOT)): digest(path)._asdict() for path in episode_files()}
    GOLDEN.write_text(json.dumps({"template_texts": TEMPLATE_TEXTS, "files": files}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
