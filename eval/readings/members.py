"""The committed list of failures that are read: ids and places only, never a dialogue."""

from pathlib import Path
from typing import Literal, get_args

import yaml
from pydantic import Field, ValidationError

from fama.config import read_yaml
from fama.episodes.keys import TaskKey
from fama.episodes.record_faults import fault_of
from fama.episodes.records import Record
from fama.errors import BadInput
from fama.files import write_atomically

SET = Path(__file__).resolve().parents[2] / "results" / "readings" / "set.yaml"
Half = Literal["tuning", "test"]
HALVES: tuple[Half, ...] = get_args(Half)


class Stratum(Record):
    """An arm's failures in one domain, and how many of them are read: an even number, half of them in each half."""

    benchmark: str
    domain: str
    backbone: str
    strategy: str
    size: int = Field(gt=0, multiple_of=2)


class Member(Record):
    """One failure to read. ``file`` is relative to the folder of logs, ``trial`` as an import of the folder counts."""

    id: str
    file: str
    task: str
    trial: int
    benchmark: str
    domain: str
    backbone: str
    strategy: str
    half: Half

    @property
    def task_key(self) -> TaskKey:
        """Return the identity of the task."""
        return TaskKey(self.benchmark, self.domain, self.task)


class ReadingSet(Record):
    """The drawn episodes, their strata and the seed."""

    seed: int
    strata: tuple[Stratum, ...] = Field(min_length=1)
    members: tuple[Member, ...] = Field(min_length=1)

    @property
    def by_id(self) -> dict[str, Member]:
        """Return the members by episode id, in file order."""
        return {member.id: member for member in self.members}


def read_set(path: Path = SET) -> ReadingSet:
    """Return the reading set in a file.

    Raises:
        BadInput: it cannot be read, or a field is wrong.
    """
    try:
        return ReadingSet.model_validate(read_yaml(path, "reading set", "results/readings/set.yaml"))
    except ValidationError as error:
        raise BadInput(f"{path}: {fault_of(error)}; draw it again with python -m eval.readings draw") from None


def write_set(drawn: ReadingSet, path: Path = SET) -> None:
    """Write a reading set, a line per member."""
    head = (
        "# Failures of published logs that are read in full, by id; made by `python -m eval.readings draw LOGS`.\n"
        "# How they are read is in guide.md. No customer of a domain is in both halves; the test half is used once.\n"
    )
    rows = [f"seed: {drawn.seed}"]
    for name, records in (("strata", drawn.strata), ("members", drawn.members)):
        rows += [f"{name}:", *(f"- {_flow(record.model_dump())}" for record in records)]
    write_atomically(path, head + "\n".join(rows) + "\n")


def _flow(value: dict[str, object]) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True).strip()
