"""The importer contract, its registry, and reading JSON, JSON lines and gzip alike."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from fama.episodes.records import Episode
from fama.errors import BadInput
from fama.registry import Registry


class Importer(Protocol):
    """Reads one file of a foreign format. ``options`` are the importer's own, e.g. ``backbone``."""

    def __call__(self, path: Path, **options: str) -> Iterator[Episode]:
        """The file's episodes, in file order.

        Raises:
            BadInput: the file cannot be read or a record is not of this format.
        """
        ...


IMPORTERS: Registry[Importer] = Registry(
    "importers",
    {
        "tau-bench": "fama.episodes.importers.tau_bench:read",
        "openai": "fama.episodes.importers.openai_chat:read",
    },
)


def read_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Records of a ``.json`` list or object or a ``.jsonl`` file, plain or gzipped, each with its place.

    Raises:
        BadInput: missing, not JSON, or a record is no object; the message names the line or the index.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "broken gzip"
        raise BadInput(f"{path}: cannot be read ({reason}); give a .json, .jsonl or .gz file") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: not UTF-8 text; give a .json, .jsonl or .gz file") from None
    name = path.name.removesuffix(".gz")
    whole = None if name.endswith(".jsonl") else _whole(text)
    if whole is not None:
        yield from _of_value(path, whole)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _object(path, f"{path}:{number}", line)


def _whole(text: str) -> Any | None:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _of_value(path: Path, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = value if isinstance(value, list) else [value]
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise BadInput(f"{path}[{index}]: a {type(row).__name__}, not an object; is this the right format?")
        yield f"{path}[{index}]", row


def _object(path: Path, place: str, line: str) -> tuple[str, dict[str, Any]]:
    try:
        row = json.loads(line)
    except ValueError:
        raise BadInput(f"{place}: not JSON; mend or remove that line") from None
    if not isinstance(row, dict):
        raise BadInput(f"{place}: a {type(row).__name__}, not an object; is this the right format?")
    return place, row


def guarded(place: str, build: Callable[[], Episode]) -> Episode:
    """Build an episode; whatever is wrong with the record becomes one line.

    Raises:
        BadInput: the record lacks a field or has one of the wrong type.
    """
    try:
        return build()
    except BadInput:
        raise
    except KeyError as error:
        raise BadInput(f"{place}: field {error} is missing; is this the right format?") from None
    except (ValueError, TypeError, AttributeError) as error:
        first = " ".join(str(error).split())[:160]
        raise BadInput(f"{place}: not a record of this format ({first}); check the format's name") from None
