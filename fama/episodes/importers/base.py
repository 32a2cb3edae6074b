"""The importer contract, its registry, and reading a file record by record."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import ijson
from pydantic import ValidationError

from fama import __version__
from fama.episodes.foreign.fields import name_of, trial_of
from fama.episodes.foreign.file_identity import task_id_of
from fama.episodes.foreign.streams import Lenient, LogRecord, first_sign, open_log, parser_errors
from fama.episodes.record_faults import fault_of
from fama.episodes.records import Episode, Failure, Outcome, Source
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.redaction import redact, shortened
from fama.registry import Registry
from fama.text.clean import clean_value


class Importer(Protocol):
    """Reads one file of a foreign format. ``options`` are the importer's own, e.g. ``backbone``."""

    def __call__(self, path: Path, **options: str) -> Iterator[Episode]:
        """Stream the file's episodes, in file order, one at a time. A record that cannot be read is an error episode.

        Raises:
            BadInput: the file cannot be read or none of its records is of this format.
        """
        ...


IMPORTERS: Registry[Importer] = Registry(
    "importers",
    {
        "acebench": "fama.episodes.importers.acebench:read",
        "ck496": "fama.episodes.importers.ck496:read",
        "inspect": "fama.episodes.importers.inspect_log:read",
        "langfuse": "fama.episodes.importers.traces.langfuse:read",
        "langsmith": "fama.episodes.importers.traces.langsmith:read",
        "openai": "fama.episodes.importers.openai_chat:read",
        "opentelemetry": "fama.episodes.importers.traces.opentelemetry:read",
        "sharegpt": "fama.episodes.importers.sharegpt:read",
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

#: Top-level fields by which ``auto`` knows a record; the first format that fits wins. A conversation outranks the rest.
_CONVERSATION = frozenset({"traj", "messages", "conversations"})
_SIGNS = (
    ("tau-bench", frozenset({"traj", "info"})),
    ("tau-bench", frozenset({"traj", "reward"})),
    ("tau-bench", frozenset({"messages", "info", "total_cost"})),
    ("tau2", frozenset({"termination_reason", "messages"})),
    ("tau2", frozenset({"termination_reason", "ticks"})),
    ("sharegpt", frozenset({"conversations"})),
    ("langsmith", frozenset({"run_type", "inputs"})),
    ("langfuse", frozenset({"traceId", "startTime", "type", "input"})),
    ("opentelemetry", frozenset({"resourceSpans"})),
    ("opentelemetry", frozenset({"context", "attributes"})),
    ("opentelemetry", frozenset({"context.trace_id"})),
    ("openai", frozenset({"messages"})),
    ("tau-bench", frozenset({"traj"})),
    ("acebench", frozenset({"id", "result"})),
    ("sharegpt", frozenset({"query", "answers", "tools"})),
)
#: Those of a file that is one object: known before the long lists in it are read.
_FILE_SIGNS = (
    ("tau2", frozenset({"info", "tasks"})),
    ("tau2", frozenset({"info", "simulations"})),
    ("tau2", frozenset({"info", "simulation_index"})),
    ("inspect", frozenset({"eval", "plan"})),
    ("ck496", frozenset({"classifications"})),
    ("opentelemetry", frozenset({"resourceSpans"})),
    ("langfuse", frozenset({"trace", "observations"})),
    ("langfuse", frozenset({"observations", "scores"})),
)
#: Fields of an episode of this package.
_OWN = frozenset({"schema_version", "messages", "decisions", "ledger", "outcome"})
_LINES = 50
_AS_CHAT = 'write each conversation as {"messages": [...], "success": true or false} for the format openai'
#: How the reason of a record that could not be read begins.
UNREADABLE = "unreadable record: "
#: The reason of an episode whose log has no verdict.
NO_OUTCOME = "no outcome in the log"


def detect_format(path: Path) -> str:
    """Return the format of a file, by its ending (``.eval``) or by the fields of its first readable record.

    Raises:
        BadInput: the file cannot be read, or its fields are those of no known format.
    """
    if path.suffix == ".eval":
        return "inspect"
    seen: set[str] = set()
    for seen in _fields(path):
        if not seen & _CONVERSATION and (name := _known(_FILE_SIGNS, seen)):
            return name
    if _OWN <= seen:
        raise BadInput(f"{path}: holds episodes already; give the file or its folder to the other commands")
    if name := _known(_SIGNS, seen):
        return name
    if not seen:
        raise BadInput(
            f"{path}: holds no record, no object with fields; {_AS_CHAT}, or give a log of a run that got to one"
        )
    fields = shortened(", ".join(sorted(seen)[:6]), 200)
    raise BadInput(
        f"{path}: no known format has the fields {fields}; name the format ({', '.join(IMPORTERS.names())}), "
        f"or {_AS_CHAT}"
    )


def _known(signs: Iterable[tuple[str, frozenset[str]]], seen: set[str]) -> str | None:
    return next((name for name, fields in signs if fields <= seen), None)


def _fields(path: Path) -> Iterator[set[str]]:
    """Yield the fields of the first record; of an object over several lines, those read so far.

    Of JSON lines, it is the first whole one.
    """
    with open_log(path) as file:
        if path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson")) and first_sign(file) == b"{":
            for _, line in zip(range(_LINES), file, strict=False):
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(row, dict):
                    yield set(row)
                    return
            file.seek(0)
        if first_sign(file) == b"":
            raise BadInput(f"{path}: is empty; give a file with records")
        with parser_errors(path, 0):
            place, seen = "item" if first_sign(file) == b"[" else "", set()
            for prefix, event, value in ijson.parse(Lenient(file)):
                if event == "map_key" and prefix == place:
                    seen.add(value)
                    if not place:
                        yield seen
                elif event == "end_map" and prefix == place:
                    yield seen
                    return


def read_episodes_of(
    importer: str,
    path: Path,
    records: Iterable[LogRecord],
    build: Callable[[int, dict[str, Any]], Episode],
    options: dict[str, str],
) -> Iterator[Episode]:
    """Build one episode per record, streamed; a record that cannot be read is an error at the harness that names it.

    Texts are cleaned of characters that no file can hold.

    Raises:
        BadInput: the file cannot be read, or none of its records can.
    """
    waiting: list[Episode] = []
    readable = False
    first = f"{path}: holds no record; give a log of a run that got to one"
    try:
        for index, record in enumerate(records):
            row: dict[str, Any] = {}
            try:
                row = clean_value(record.fields())
                episode = build(index, row)
            except (
                BadInput,
                ValidationError,
                LookupError,
                ValueError,
                TypeError,
                AttributeError,
                ArithmeticError,
                RecursionError,
            ) as error:
                fault = _fault(error)
                fault = fault if fault.startswith(record.place) else f"{record.place}: {fault}"
                first = fault if not waiting else first
                waiting.append(_unreadable(importer, path, index, row, fault, options))
                if not readable:
                    continue
            else:
                waiting.append(episode)
            readable = True
            yield from waiting
            waiting = []
    except BadInput:
        if readable or not waiting:
            raise
    if not readable:
        more = f" (and none of the other {len(waiting) - 1} records)" if len(waiting) > 1 else ""
        raise BadInput(f"{first}{more}")


def _fault(error: Exception) -> str:
    """Return what is wrong with a record, in the words of its format."""
    if isinstance(error, BadInput):
        return str(error)
    if isinstance(error, KeyError):
        return f"field {error} is missing; is this the right format?"
    if isinstance(error, ValidationError):
        return f"{fault_of(error)}; fix or remove that record"
    if isinstance(error, RecursionError):
        return "too many levels inside each other; fix or remove that record"
    return "not a record of this format, a field has a value of another kind; check the format's name"


def unreadable_id(importer: str, name: str, index: int) -> str:
    """Return the id of the error episode of a record that cannot be read, by its place in its file."""
    return content_hash([importer, name, index, "unreadable"])


def _unreadable(
    importer: str, path: Path, index: int, row: dict[str, Any], fault: str, options: dict[str, str]
) -> Episode:
    """Return the error episode of a record. The command gives it the arm of the records beside it."""
    try:
        trial = trial_of(row.get("trial"))
    except BadInput:
        trial = 0
    return Episode(
        id=unreadable_id(importer, path.name, index),
        benchmark=options.get("benchmark") or importer,
        domain=options.get("domain") or "unknown",
        task_id=task_id_of(name_of(row.get("task_id")), path, index),
        trial=trial,
        backbone=options.get("backbone"),
        strategy=options.get("strategy"),
        outcome=Outcome(status="error", boundary="harness", reason=redact(UNREADABLE + fault)[:400]),
        package_version=__version__,
        source=Source(importer=importer, file=path.name),
    )
