"""Notes under two readings: ``python -m eval.logged_notes.note_agreement EPISODES --reading static patterns``.

Before every decision of recorded episodes each template helper is asked alone, with user turns read by meaning and in
other ways. Told is how often both say the same, word by word, of the decisions at which either says anything. Nothing
is run: conversations are those that were recorded.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from tqdm import tqdm

from fama.agents.injection import collect_notes
from fama.agents.reading.reader import shipped_reader
from fama.episodes.records import Episode
from fama.episodes.state import VisibleState, decision_steps, state_at
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.helpers.base import Helper
from fama.helpers.pool import build_pool
from fama.intervals import clustered_mean
from fama.settings import HelperSettings, ReadingMode
from fama.subsets import POOL

#: The mode that others are held against.
REFERENCE: ReadingMode = "meaning"


class SaidTwice(NamedTuple):
    """A helper's notes before one decision by mode of reading; None where it keeps silent."""

    task: str
    helper: str
    notes: Mapping[ReadingMode, str | None]


async def notes_by_reading(episode: Episode, modes: Sequence[ReadingMode]) -> list[SaidTwice]:
    """Return what each helper of the six says alone before every decision, under each mode of reading.

    Raises:
        BadInput: a mode's encoder is not there.
    """
    pool = build_pool(HelperSettings(reading=REFERENCE))
    found = []
    for turn in range(len(decision_steps(episode))):
        states = {mode: _read(state_at(episode, turn), mode) for mode in modes}
        for name in POOL:
            notes = {mode: await _note(state, name, pool) for mode, state in states.items()}
            found.append(SaidTwice(str(episode.key.pair), name, notes))
    return found


def _read(state: VisibleState, mode: ReadingMode) -> VisibleState:
    reader = shipped_reader(mode)
    return state if reader is None else replace(state, readings=reader.read(state))


async def _note(state: VisibleState, name: str, pool: Mapping[str, Helper]) -> str | None:
    passed = (await collect_notes(state, (name,), pool, None, 0, [])).passed
    return passed[0].text if passed else None


def agreement_table(said: Sequence[SaidTwice], modes: Iterable[ReadingMode]) -> list[str]:
    """Return a Markdown table: by helper, decisions with a note under either reading, and the shares of equal ones."""
    columns = [f"{mode}, %" for mode in modes]
    lines = [f"| helper | {' | '.join(columns)} |", "|" + "---|" * (1 + len(columns))]
    for name in (*POOL, "all six"):
        rows = [one for one in said if one.helper == name or name == "all six"]
        lines.append(f"| {name} | {' | '.join(_share(rows, mode) for mode in modes)} |")
    return lines


def _share(rows: Sequence[SaidTwice], mode: ReadingMode) -> str:
    spoken = [one for one in rows if one.notes[REFERENCE] is not None or one.notes[mode] is not None]
    if not spoken:
        return "– of 0"
    same = np.array([float(one.notes[REFERENCE] == one.notes[mode]) for one in spoken])
    share = clustered_mean(same, [one.task for one in spoken], 0)
    value, low, high = ("–" if n is None else f"{100 * n:.0f}" for n in (share.value, share.low, share.high))
    return f"{value} [{low}, {high}] of {len(spoken)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 2 for bad input, told in one line."""
    parser = argparse.ArgumentParser(prog="python -m eval.logged_notes.note_agreement", description=__doc__)
    parser.add_argument("episodes", type=Path, metavar="EPISODES", help="a run's folder or its episodes.jsonl[.gz]")
    others = [mode for mode in get_args(ReadingMode) if mode != REFERENCE]
    parser.add_argument("--reading", nargs="+", choices=others, default=others, help="held against meaning")
    parser.add_argument(
        "--helpers",
        type=int,
        metavar="N",
        help="only episodes whose first decision asked N helpers; 0: the plain agent",
    )
    args = parser.parse_args(arguments)
    said: list[SaidTwice] = []
    try:
        episodes = [one for one in read_episodes(args.episodes) if args.helpers in (None, _asked(one))]
        if not episodes:
            raise BadInput(f"{args.episodes}: no episode asked {args.helpers} helpers; leave --helpers out")
        for episode in tqdm(episodes, unit="episode", disable=None):
            said += asyncio.run(notes_by_reading(episode, (REFERENCE, *args.reading)))
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    tasks = len({one.task for one in said})
    sys.stdout.write(f"{len(episodes)} episodes of {tasks} tasks, {len(said) // len(POOL)} decisions\n\n")
    sys.stdout.write("\n".join(agreement_table(said, args.reading)) + "\n")
    return 0


def _asked(episode: Episode) -> int:
    return len(episode.decisions[0].subset) if episode.decisions else 0


if __name__ == "__main__":
    raise SystemExit(main())
