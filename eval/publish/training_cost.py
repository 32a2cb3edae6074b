"""The calls of a model that training data took: mined repairs beside an outcome table of the same tasks."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from eval.publish.markdown import table
from fama.episodes.jsonl import RecordStore, existing_file
from fama.episodes.records import Episode
from fama.episodes.store import read_episodes
from fama.mining.records import REPAIRS, Repair


def distinct_calls(episodes: Iterable[Episode]) -> int:
    """Return the agent's calls of episodes at temperature 0, those that several of them share counted once.

    Two calls are one where task, trial, conversation and notes are the same, as a response cache takes them. Calls that
    asked again for an unreadable reply count each.
    """
    seen: set[tuple[object, ...]] = set()
    further = 0
    for episode in episodes:
        for decision in episode.decisions:
            notes = tuple(note.text for note in decision.notes)
            before = episode.messages[: decision.message_index]
            seen.add((str(episode.key.task), episode.trial, before, notes))
        further += max(0, sum(row.role == "agent" for row in episode.ledger) - len(episode.decisions))
    return len(seen) + further


def training_cost(data: Path, plain: str, repairs: str, outcomes: str) -> str:
    """Tabulate tasks, episodes and calls of mined repairs, their plain episodes included, and of an outcome table.

    The names are those of the folders of ``data``, and of the table in it.
    """
    records = list(RecordStore(existing_file(data / repairs, REPAIRS), Repair).read())
    logged, drawn = list(read_episodes(data / plain)), list(read_episodes(data / f"{outcomes}.episodes.jsonl.gz"))
    mined = sum(record.calls for record in records) + distinct_calls(logged)
    rows = [
        ("mined repairs", str(len({str(record.key) for record in records})), str(len(records)), f"{mined:,}"),
        ("outcome table", _tasks(drawn), str(len(drawn)), f"{distinct_calls(drawn):,}"),
    ]
    return table(("training data", "tasks", "episodes", "distinct calls of the agent"), rows)


def _tasks(episodes: Sequence[Episode]) -> str:
    return str(len({str(episode.key.task) for episode in episodes}))
