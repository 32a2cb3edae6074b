"""The committed readings: two of every failure, a third where they differ, one of every further failure.

They are a language model's, not people's.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from eval.readings.members import SET, Half, read_set
from eval.readings.reader_answers import Reading, ReadingAnswer, read_answers
from fama.episodes.jsonl import RecordStore
from fama.errors import BadInput
from fama.files import write_atomically

FOLDER = SET.parent
MORE, AGAIN = FOLDER / "more.yaml", FOLDER / "again.yaml"
#: A half of the set, the further failures to tune on, or the second test set.
ReadingsPart = Literal[Half, "more", "again"]
PARTS: tuple[ReadingsPart, ...] = get_args(ReadingsPart)
#: Files of answers: two readers' and a third's for the set and for the second test set, one reader's for the further.
READERS, AGAIN_READERS = ("reader-a", "reader-b", "third"), ("again-a", "again-b", "again-third")
FILES = (*READERS, *AGAIN_READERS, "more")
#: Of two readings that name one category and party, steps so far apart are still the same.
SAME_STEP = 1


def read_readings(name: str, folder: Path = FOLDER) -> dict[str, Reading]:
    """Return the readings of one committed file by episode id.

    Raises:
        BadInput: a line is no reading, or an episode is read twice.
    """
    path = folder / f"{name}.jsonl"
    found: dict[str, Reading] = {}
    for reading in RecordStore(path, Reading).read():
        if reading.id in found:
            raise BadInput(f"{path}: {reading.id} is read twice; delete one line")
        found[reading.id] = reading
    return found


def publish(answers: Iterable[Path], name: str, folder: Path = FOLDER) -> int:
    """Write answers as a committed file: no ``should`` and no quote, which are words of others' dialogues.

    Raises:
        BadInput: an answer has no valid form, or an episode is answered twice.
    """
    rows: dict[str, ReadingAnswer] = {}
    for path in answers:
        for number, answer in read_answers(path):
            if isinstance(answer, str):
                raise BadInput(f"{path}:{number}: {answer}")
            if answer.id in rows:
                raise BadInput(f"{path}:{number}: {answer.id} is answered twice; delete one")
            rows[answer.id] = answer
    kept = set(Reading.model_fields)
    lines = [json.dumps(rows[one].model_dump(include=kept)) for one in sorted(rows)]
    write_atomically(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
    return len(rows)


def agree(one: Reading, other: Reading) -> bool:
    """Return whether two readings say the same: category, party, and the step but for one message."""
    return one.label == other.label and abs(one.step - other.step) <= SAME_STEP


def readers(part: ReadingsPart) -> tuple[str, str, str]:
    """Return the names of the files of a part that was read twice: both readers' and the third's."""
    return AGAIN_READERS if part == "again" else READERS


def final(part: ReadingsPart, folder: Path = FOLDER) -> dict[str, Reading]:
    """Return the decided reading of every failure of a part: the first where both agree, else the third.

    Of the further failures it is the only one.

    Raises:
        BadInput: a committed file is wrong or lacks a reading.
    """
    if part == "more":
        return read_readings("more", folder)
    a, b, deciding = readers(part)
    first, second, third = (read_readings(name, folder) for name in (a, b, deciding))
    found: dict[str, Reading] = {}
    for member in read_set(folder / (AGAIN if part == "again" else SET).name).members:
        if part not in ("again", member.half):
            continue
        if any(member.id not in readings for readings in (first, second)):
            raise BadInput(f"{folder}: {member.id} is not read twice; publish both readers' answers")
        if agree(first[member.id], second[member.id]):
            found[member.id] = first[member.id]
        elif member.id in third:
            found[member.id] = third[member.id]
        else:
            raise BadInput(f"{folder}: the readings of {member.id} differ and {deciding}.jsonl does not decide")
    return found


def tuning(folder: Path = FOLDER) -> Mapping[str, Reading]:
    """Return all readings that may be tuned on: the decided ones of the tuning half, and the further single ones."""
    return {**final("tuning", folder), **final("more", folder)}
