"""Streaming of JSON, JSON lines and gzip, one record in memory at a time."""

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import ijson

from fama.errors import BadInput
from fama.text.json_numbers import RepeatedKey, TooDeep, load_nulled, not_deep

_BOM = b"\xef\xbb\xbf"
_ENDLESS = re.compile(rb"[0-9]{2001}")
#: A text, whole or up to the end of the block, or a number that JSON has no word for.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+(?P<end>")?|(?P<number>-?(?:NaN|Infinity))\b', re.DOTALL)
_BEGUN = re.compile(rb"-?[A-Za-z]{0,8}\Z")


class LogRecord(NamedTuple):
    """One record of a file. ``fault`` says why its text could not be read; there is no value then."""

    place: str
    value: Any
    fault: str = ""

    def fields(self) -> dict[str, Any]:
        """Return the record's fields.

        Raises:
            BadInput: it could not be read, or is no object.
        """
        if self.fault:
            raise BadInput(self.fault)
        if not isinstance(self.value, dict):
            raise BadInput(f"{json_kind(self.value)}, not an object; is this the right format?")
        return self.value


def json_kind(value: Any) -> str:
    """Return a JSON value's kind in words."""
    if value is None:
        return "null"
    kinds = {
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "an unknown value")


def read_records(path: Path) -> Iterator[LogRecord]:
    """Stream the records of a JSON list, one JSON object, or JSON lines, plain or gzipped, each with its place.

    A list or lines are streamed: one record is in memory at a time. A line that is no JSON is a record with a fault.

    Raises:
        BadInput: missing, empty, or a list is cut off or no JSON; the message names the index.
    """
    with open_log(path) as file:
        sign = first_sign(file)
        if sign == b"[":
            yield from read_items(path, "item", file)
        elif sign == b"":
            raise BadInput(f"{path}: is empty; give a file with records")
        else:
            yield from _lines_or_object(path, file)


def read_items(path: Path, prefix: str, file: BinaryIO | None = None) -> Iterator[LogRecord]:
    """Stream the items of a list inside a JSON file; ``prefix`` is ijson's, e.g. ``simulations.item``.

    Numbers that JSON has no word for (NaN, Infinity) are read as null, integers of any length whole.

    Raises:
        BadInput: cut off or not JSON.
    """
    if file is None:
        with open_log(path) as own:
            yield from read_items(path, prefix, own)
        return
    start, index = file.tell(), 0
    try:
        for value in ijson.items(Bounded(file), prefix, use_float=True, map_type=_Pairs):
            yield _item(f"{path}[{index}]", value)
            index += 1
        return
    except (ijson.JSONError, ValueError, ArithmeticError, RecursionError):
        done = index
    file.seek(start)
    items = ijson.items(Lenient(file), prefix, map_type=_Pairs)
    index = 0
    while True:
        with parser_errors(path, index):
            value = next(items, _END)
        if value is _END:
            return
        if index >= done:
            yield _item(f"{path}[{index}]", value)
        index += 1


_END = object()


def read_part(path: Path, name: str) -> Any:
    """Return one top-level field of a JSON file; None where it has none.

    Raises:
        BadInput: cut off or not JSON, or an object in it gives a key twice.
    """
    with open_log(path) as file, parser_errors(path, name):
        item = _item(f"{path}[{name}]", next(ijson.items(Lenient(file), name, map_type=_Pairs), None))
    if item.fault:
        raise BadInput(f"{item.place}: {item.fault}")
    return item.value


class _Pairs(dict[str, Any]):
    """An object that the parser fills; it notes the first key that it is given twice."""

    twice: str | None = None

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self and self.twice is None:
            self.twice = key
        super().__setitem__(key, value)


def _item(place: str, value: Any) -> LogRecord:
    """Return the record of a parsed value: of two values of a key the last one would win unseen."""
    try:
        key = _given_twice(not_deep(value))
    except TooDeep as error:
        return LogRecord(place, None, f"{error}; fix or remove that record")
    if key is not None:
        return LogRecord(place, None, f"the key {key[:80]!r} is given twice; fix or remove that record")
    return LogRecord(place, _floats(value))


def _given_twice(value: Any) -> str | None:
    if isinstance(value, _Pairs) and value.twice is not None:
        return value.twice
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((key for inner in inside if (key := _given_twice(inner)) is not None), None)


def _floats(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _floats(inner) for key, inner in value.items()}
    return [_floats(inner) for inner in value] if isinstance(value, list) else value


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


class Lenient(Bounded):
    """A file for ijson in which NaN and Infinity outside texts are null."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; more than ``size`` where a text goes on past it.

        Raises:
            ValueError: they hold over 2,000 digits in a row.
        """
        if size == 0:
            return b""
        while block := super().read(size):
            data, self._rest = self._rest + block, b""
            ready = self._replaced(data)
            if ready:
                return ready
        ready, self._rest = self._rest, b""
        return _TOKEN.sub(lambda token: b"null" if token["number"] else token[0], ready)

    def _replaced(self, data: bytes) -> bytes:
        """Return what can be handed on; an unended text or word waits for the next block."""
        found, position = [], 0
        for token in _TOKEN.finditer(data):
            if token["number"]:
                found += [data[position : token.start()], b"null"]
                position = token.end()
            elif token["end"] is None:
                self._rest = data[token.start() :]
                return b"".join(found) + data[position : token.start()]
        begun = _BEGUN.search(data, position)
        end = begun.start() if begun else len(data)
        self._rest = data[end:]
        return b"".join(found) + data[position:end]


@contextmanager
def open_log(path: Path) -> Iterator[BinaryIO]:
    """Yield a file's text, unpacked if gzipped, without a byte-order mark.

    Raises:
        BadInput: the file cannot be read or unpacked, also while it is read inside the block; or it is of another kind.
    """
    with open_packed(path) as file:
        head = file.read(4)
        if kind := _other_kind(head):
            raise BadInput(f"{path}: {kind}")
        file.seek(len(_BOM) if head.startswith(_BOM) else 0)
        yield file


@contextmanager
def open_packed(path: Path) -> Iterator[BinaryIO]:
    """Yield a file's bytes, unpacked if gzipped.

    Raises:
        BadInput: the file cannot be read or unpacked; also while it is read inside the block.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=raw))) if packed else raw
    except (OSError, EOFError, zlib.error) as error:
        if reason := getattr(error, "strerror", None):
            raise BadInput(f"{path}: cannot be read ({reason}); give a .json, .jsonl or .gz file") from None
        raise BadInput(
            f"{path}: a gzip file that is damaged or cut off; fetch it again, or import what `gzip -dc` still unpacks"
        ) from None


def _other_kind(head: bytes) -> str:
    """Return what a file of another kind is and what to do with it, by its first bytes; empty for text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")) or (b"\0" in head and head.strip(b"\0 \r\n\t")):
        return "UTF-16 or UTF-32 text, or no text; save it as UTF-8"
    kinds = {b"PK\x03\x04": "a zip archive", b"PAR1": "a Parquet table", b"\x28\xb5\x2f\xfd": "packed with zstd"}
    kinds |= {b"BZh": "packed with bzip2", b"\xfd7zX": "packed with xz"}
    kind = next((kind for sign, kind in kinds.items() if head.startswith(sign)), None)
    return "" if kind is None else f"{kind}; unpack or convert it to .json, .jsonl or .gz"


def first_sign(file: BinaryIO) -> bytes:
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
        text = error.args[0] if error.args else ""
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        why = text.partition("\n")[0].strip().removeprefix("parse error: ").removeprefix("lexical error: ").rstrip(".")
        if "premature EOF" in why or "incomplete" in why.lower():
            raise BadInput(f"{path}[{place}]: cut off in this record; fetch the file again") from None
        raise BadInput(f"{path}[{place}]: not JSON ({why[:80]}); fix or remove that record") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}[{place}]: not UTF-8 text; give a .json, .jsonl or .gz file") from None
    except RecursionError:
        raise BadInput(f"{path}[{place}]: not JSON (too many levels); fix or remove that record") from None
    except (ValueError, ArithmeticError):
        raise BadInput(f"{path}[{place}]: not JSON (a number of too many digits); fix or remove that record") from None


def _lines_or_object(path: Path, file: BinaryIO) -> Iterator[LogRecord]:
    """Stream JSON lines, or one object that is spread over lines."""
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        value, fault = _decoded(line)
        if fault and number == 1 and not path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
            value, fault = _decoded(line + file.read())
            if fault:
                raise BadInput(f"{path}:1: {fault}; give a .json, .jsonl or .gz file")
            yield LogRecord(str(path), value)
            return
        yield LogRecord(f"{path}:{number}", value, f"{fault}; fix or remove that line" if fault else "")


def _decoded(text: bytes) -> tuple[Any, str]:
    try:
        return load_nulled(text, keys_once=True), ""
    except (RepeatedKey, TooDeep) as error:
        return None, str(error)
    except UnicodeDecodeError:
        return None, "not UTF-8 text"
    except (ValueError, RecursionError):
        return None, "not JSON"
