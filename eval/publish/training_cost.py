"""The calls of a model that training data took: mined repairs beside an outcome table of the same tasks."""

from collections.abc import Iterable, Mapping, Sequence
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


def training_cost(data: Path, plain: str, repairs: str, tables: Mapping[str, Sequence[str]]) -> str:
    """Tabulate tasks, episodes and calls of mined repairs, their plain episodes included, and of outcome tables.

    The names are those of the folders of ``data``, and of the tables in it that are taken together; an episode of two
    of these counts once.
    """
    records = list(RecordStore(existing_file(data / repairs, REPAIRS), Repair).read())
    mined = sum(record.calls for record in records) + distinct_calls(read_episodes(data / plain))
    rows = [("mined repairs", str(len({str(record.key) for record in records})), str(len(records)), f"{mined:,}")]
    for title, names in tables.items():
        found = (one for name in names for one in read_episodes(data / f"{name}.episodes.jsonl.gz"))
        drawn = list({one.id: one for one in found}.values())
        tasks = len({str(one.key.task) for one in drawn})
        rows.append((title, str(tasks), str(len(drawn)), f"{distinct_calls(drawn):,}"))
    return table(("training data", "tasks", "episodes", "distinct calls of the agent"), rows)
