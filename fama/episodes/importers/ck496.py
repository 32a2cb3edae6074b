"""Published labels of τ-bench failures (ck496): the agent's calls and a language model's label, without the dialogue.

Each file holds ``classifications``: the task's instruction, its reference actions, the calls that the agent made, and
one label with an explanation. Results of the calls and what was said are not in the file, so episodes of this format
have calls only, so detectors that need more find nothing in them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fama import __version__
from fama.episodes.foreign.fields import name_of, trial_of
from fama.episodes.foreign.file_identity import task_id_of
from fama.episodes.foreign.logged_messages import messages_of
from fama.episodes.foreign.logged_tools import gold_of
from fama.episodes.foreign.streams import LogRecord, read_items
from fama.episodes.importers.base import read_episodes_of
from fama.episodes.records import Episode, Failure, Outcome, Source
from fama.errors import BadInput
from fama.hashing import content_hash

TAXONOMY = "ck496/1"
_NAME = re.compile(r"(?P<size>\d+)b_(?P<strategy>fc|act|react)_(?P<domain>airline|retail)", re.IGNORECASE)


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read one failed episode per classification.

    Domain, strategy and backbone stand in the file's name (``8b_FC_airline``).

    Raises:
        BadInput: the file cannot be read, a record is not of this format, or neither the name nor an option says the
            domain.
    """
    named = _named(path, options)

    def build(index: int, row: dict[str, Any]) -> Episode:
        return _episode(path, index, row, named, options)

    yield from read_episodes_of("ck496", path, _rows(path), build, options)


def labels(path: Path) -> Iterator[Failure]:
    """Return the file's labels in its own vocabulary, which the crosswalk translates.

    Raises:
        BadInput: the file cannot be read. A record without a label is left to the importer, which names it.
    """
    match = _NAME.search(path.name)
    domain = match["domain"].lower() if match else None
    for index, record in enumerate(_rows(path)):
        try:
            row = record.fields()
            classification = row["classification"]
            yield Failure(
                episode_id=_id(path, index, row),
                task_id=task_id_of(row["task_id"], path, index),
                domain=domain,
                categories=(classification["primary_category"],),
                primary=(classification["primary_category"],),
                rationale=classification.get("explanation") or "",
                labeller="ck496",
                taxonomy_version=TAXONOMY,
            )
        except (BadInput, KeyError, TypeError, ValueError, AttributeError, RecursionError):
            continue


def _rows(path: Path) -> Iterator[LogRecord]:
    found = False
    for record in read_items(path, "classifications.item"):
        found = True
        yield record
    if not found:
        raise BadInput(f"{path}: field 'classifications' is missing or empty; is this the right format?")


def _named(path: Path, options: dict[str, str]) -> dict[str, str]:
    match = _NAME.search(path.name)
    if match is None and "domain" not in options:
        raise BadInput(f"{path}: the file's name does not say the domain (8b_FC_airline…); add --domain NAME")
    return {} if match is None else {key: value.lower() for key, value in match.groupdict().items()}


def _id(path: Path, index: int, row: dict[str, Any]) -> str:
    task = row["task_id"] if name_of(row["task_id"]) is not None else index
    return content_hash([TAXONOMY, path.name, task, row["trial"]])


def _episode(path: Path, index: int, row: dict[str, Any], named: dict[str, str], options: dict[str, str]) -> Episode:
    if name_of(row["classification"]["primary_category"]) is None:
        raise BadInput("field 'classification.primary_category' is null; fix or remove that record")
    calls = [{"function": {"name": call["name"], "arguments": call["arguments"]}} for call in row["agent_actions"]]
    backbone = f"qwen3-{named['size']}b" if "size" in named else None
    return Episode(
        id=_id(path, index, row),
        benchmark=options.get("benchmark", "tau-bench"),
        domain=options.get("domain") or named["domain"],
        task_id=task_id_of(row["task_id"], path, index),
        trial=trial_of(row["trial"]),
        backbone=options.get("backbone") or backbone,
        strategy=options.get("strategy") or named.get("strategy"),
        messages=messages_of([{"role": "assistant", "tool_calls": [call]} for call in calls]),
        outcome=Outcome(status="failure"),
        reward=0.0,
        gold_actions=gold_of(row["ground_truth_actions"]),
        instruction=row.get("instruction"),
        package_version=__version__,
        source=Source(importer="ck496", file=path.name),
    )
