"""The importer contract, its registry, and streaming JSON, JSON lines and gzip alike."""

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import ijson

from fama.episodes.records import Episode, Failure
from fama.errors import BadInput
from fama.registry import Registry


class Importer(Protocol):
    """Reads one file of a foreign format. ``options`` are the importer's own, e.g. ``backbone``."""

    def __call__(self, path: Path, **options: str) -> Iterator[Episode]:
        """Stream the file's episodes, in file order, one at a time.

        Raises:
            BadInput: the file cannot be read or a record is not of this format.
        """
        ...


IMPORTERS: Registry[Importer] = Registry(
    "importers",
    {
        "acebench": "fama.episodes.importers.acebench:read",
        "ck496": "fama.episodes.importers.ck496:read",
        "inspect": "fama.episodes.importers.inspect_log:read",
        "openai": "fama.episodes.importers.openai_chat:read",
        "tau-bench": "fama.episodes.importers.tau_bench:read",
        "tau2": "fama.episodes.importers.tau2:read",
    },
)


class LabelReader(Protocol):
    """Reads the failure labels that a file of a foreign format carries."""

    def __call__(self, path: Path) -> Iterator[Failure]:
        """Stream the labels in file order, in their own vocabulary, with the ids that the importer gives its episodes.

        Raises:
            BadInput: the file cannot be read or a record is not of this format.
        """
        ...


#: Formats whose files carry labels, too; by the importer's name.
LABEL_READERS: Registry[LabelReader] = Registry("label_readers", {"ck496": "fama.episodes.importers.ck496:labels"})

#: Top-level fields by which ``auto`` knows the first record of a format; the first format that fits wins.
_SIGNS = {
    "tau-bench": frozenset({"traj", "info"}),
    "tau2": frozenset({"info", "tasks"}),
    "inspect": frozenset({"eval", "plan"}),
    "openai": frozenset({"messages"}),
    "acebench": frozenset({"id", "result"}),
    "ck496": frozenset({"classifications"}),
}
_BOM = b"\xef\xbb\xbf"
_ENDLESS = re.compile(rb"[0-9]{2001}")


def detect(path: Path) -> str:
    """Return the format of a file, by its ending (``.eval``) or by the fields of its first record.

    Raises:
        BadInput: the file cannot be read, or its fields are those of no known format.
    """
    if path.suffix == ".eval":
        return "inspect"
    seen: set[str] = set()
    with open_log(path) as file, parser_errors(path, 0):
        list_of_records = _first_sign(file) == b"["
        place = "item" if list_of_records else ""
        for prefix, event, value in ijson.parse(Bounded(file)):
            if event == "map_key" and prefix == place:
                seen.add(value)
                if found := next((name for name, signs in _SIGNS.items() if signs <= seen), None):
                    return found
            elif event == "end_map" and prefix == place:
                break
    fields = ", ".join(sorted(seen)[:6]) or "none"
    raise BadInput(f"{path}: no known format has the fields {fields}; name the format: {', '.join(IMPORTERS.names())}")


def read_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Stream the records of a JSON list, one JSON object, or JSON lines, plain or gzipped, each with its place.

    A list or lines are streamed: one record is in memory at a time.

    Raises:
        BadInput: missing, empty, cut off, not JSON, or a record is no object; the message names the line or the index.
    """
    with open_log(path) as file:
        sign = _first_sign(file)
        if sign == b"[":
            yield from read_items(path, "item", file)
        elif sign == b"":
            raise BadInput(f"{path}: is empty; give a file with records")
        else:
            yield from _lines_or_object(path, file)


def read_items(path: Path, prefix: str, file: BinaryIO | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the objects of a list inside a JSON file, streamed; ``prefix`` is ijson's, e.g. ``simulations.item``.

    Raises:
        BadInput: cut off, not JSON, or an item is no object.
    """
    if file is None:
        with open_log(path) as own:
            yield from read_items(path, prefix, own)
        return
    items = ijson.items(Bounded(file), prefix, use_float=True)
    index = 0
    while True:
        with parser_errors(path, index):
            row = next(items, None)
        if row is None:
            return
        if not isinstance(row, dict):
            raise BadInput(f"{path}[{index}]: a {type(row).__name__}, not an object; is this the right format?")
        yield f"{path}[{index}]", row
        index += 1


class Bounded:
    """A file for ijson without numbers of thousands of digits: at one, its C parser (3.6) ends the whole process.

    Every block is looked at in few places; a number that Python would not read is in one of them.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes.

        Raises:
            ValueError: they hold over 2,000 digits in a row.
        """
        data = self._file.read(size)
        if any(data[at : at + 512].isdigit() for at in range(0, len(data), 1024)) and _ENDLESS.search(data):
            raise ValueError("a number of over 2,000 digits")
        return data


@contextmanager
def open_log(path: Path) -> Iterator[BinaryIO]:
    """Yield a file's bytes, unpacked if gzipped, without a byte-order mark.

    Raises:
        BadInput: the file cannot be read or unpacked; also while it is read inside the block.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            file = cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=raw))) if packed else raw
            if file.read(3) != _BOM:
                file.seek(0)
            yield file
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "broken gzip"
        raise BadInput(f"{path}: cannot be read ({reason}); give a .json, .jsonl or .gz file") from None


def _first_sign(file: BinaryIO) -> bytes:
    """Return the first byte that is no space; the file stands where it stood."""
    start = file.tell()
    while (sign := file.read(1)).isspace():
        pass
    file.seek(start)
    return sign


@contextmanager
def parser_errors(path: Path, place: int | str) -> Iterator[None]:
    """Turn the parser's complaints into one line that names the record or the field.

    Raises:
        BadInput: the text is cut off or no JSON.
    """
    try:
        yield
    except ijson.JSONError as error:
        why = str(error).partition("\n")[0].strip().removeprefix("parse error: ")
        if "premature EOF" in why or "incomplete" in why.lower():
            raise BadInput(f"{path}[{place}]: cut off in this record; fetch the file again") from None
        raise BadInput(f"{path}[{place}]: not JSON ({why[:80]}); fix or remove that record") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}[{place}]: not UTF-8 text; give a .json, .jsonl or .gz file") from None
    except (ValueError, ArithmeticError, RecursionError) as error:  # numbers of thousands of digits
        raise BadInput(f"{path}[{place}]: not JSON ({str(error)[:80]}); fix or remove that record") from None


def _lines_or_object(path: Path, file: BinaryIO) -> Iterator[tuple[str, dict[str, Any]]]:
    """Stream JSON lines, or one object that is spread over lines."""
    number = 0
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == 1 and not path.name.removesuffix(".gz").endswith(".jsonl"):
                yield _object(path, line + file.read())
                return
            raise BadInput(f"{path}:{number}: {_why(error)}; fix or remove that line") from None
        if not isinstance(row, dict):
            raise BadInput(f"{path}:{number}: a {type(row).__name__}, not an object; is this the right format?")
        yield f"{path}:{number}", row


def _object(path: Path, text: bytes) -> tuple[str, dict[str, Any]]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}:1: {_why(error)}; give a .json, .jsonl or .gz file") from None
    if not isinstance(row, dict):
        raise BadInput(f"{path}: a {type(row).__name__}, not an object; is this the right format?")
    return str(path), row


def _why(error: ValueError | RecursionError) -> str:
    return "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "not JSON"


def build_episode(place: str, build: Callable[[], Episode]) -> Episode:
    """Build an episode; any fault of the record becomes one line.

    Raises:
        BadInput: the record lacks a field or has one of the wrong type.
    """
    try:
        return build()
    except BadInput:
        raise
    except KeyError as error:
        raise BadInput(f"{place}: field {error} is missing; is this the right format?") from None
    except (ValueError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        first = " ".join(str(error).split())[:160]
        raise BadInput(f"{place}: not a record of this format ({first}); check the format's name") from None
