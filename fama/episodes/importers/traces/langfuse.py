"""Langfuse's observations: exports of its pages and its API, one per record or with their trace."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fama.episodes.foreign.fields import absent, from_text, name_of
from fama.episodes.foreign.logged_messages import with_system
from fama.episodes.foreign.streams import LogRecord, read_records
from fama.episodes.importers.traces.traced_calls import TOLD, TracedCall, traced_episodes
from fama.episodes.records import Episode

_LACKING = "no observation with messages in its input; export those of the type GENERATION, with input and output"


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the conversations of observations: a list or lines, a page of the API, or a downloaded trace.

    The outcome is a score of the trace that is called ``success`` or ``reward``, or the level ERROR of its root, else
    an error at the harness. Options ``benchmark``, ``domain``, ``backbone`` and ``strategy`` fill what they lack.

    Raises:
        BadInput: the file cannot be read or no observation has messages.
    """
    yield from traced_episodes("langfuse", path, _nodes(path), _LACKING, options)


def request_of(value: Any) -> list[Any]:
    """Return the messages of an observation's input: a list, or an object that holds them beside tools."""
    given = from_text(value)
    rows = from_text(given.get("messages")) if isinstance(given, dict) else given
    if not isinstance(rows, list):
        return []
    return with_system(rows, given) if isinstance(given, dict) and rows else rows


def answer_of(value: Any) -> list[Any]:
    """Return the messages of an observation's output: a message, a list, or the words alone."""
    said = from_text(value)
    if absent(said):
        return []
    rows = said if isinstance(said, list) else [said if isinstance(said, dict) else {"content": said}]
    return [{**row, "role": row.get("role") or "assistant"} if isinstance(row, dict) else row for row in rows]


def tools_of_input(value: Any) -> Any:
    """Return the definitions of tools in an observation's input; None where it has none."""
    given = from_text(value)
    return (given.get("tools") or given.get("functions")) if isinstance(given, dict) else None


def _nodes(path: Path) -> Iterator[LogRecord | TracedCall]:
    for record in read_records(path):
        value = record.value if isinstance(record.value, dict) else {}
        trace = value.get("trace")
        inner: dict[str, Any] = trace if isinstance(trace, dict) else value
        rows = value.get("observations") or inner.get("observations") or value.get("data") or [value]
        found = [row for row in rows if isinstance(row, dict) and "type" in row] if isinstance(rows, list) else []
        if record.fault or not found:
            yield record
            continue
        told = _scores(value.get("scores") or inner.get("scores"))
        for row in found:
            yield _node(record.place, {} if found == [value] else inner, row, told)


def _node(place: str, trace: dict[str, Any], row: dict[str, Any], told: dict[str, Any]) -> TracedCall:
    is_root = absent(row.get("parentObservationId"))
    if is_root and row.get("level") == "ERROR":
        words = row.get("statusMessage")
        told = {**told, "error": "the trace ended in an error" if absent(words) else words}
    return TracedCall(
        place,
        name_of(row.get("traceId")) or name_of(trace.get("id")) or place,
        len(request_of(row.get("input"))),
        str(row.get("startTime") or ""),
        partial(_fields, row),
        name_of(row.get("sessionId")) or name_of(trace.get("sessionId")),
        told if is_root else {},
    )


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a chat record."""
    given = from_text(row.get("modelParameters"))
    return {
        "messages": [*request_of(row.get("input")), *answer_of(row.get("output"))],
        "tools": tools_of_input(row.get("input")),
        "model": row.get("model") or row.get("providedModelName"),
        "temperature": given.get("temperature") if isinstance(given, dict) else None,
    }


def _scores(rows: Any) -> dict[str, Any]:
    """Return what scores of a trace say of how it ended; the latest of a name counts, in whatever order they stand."""
    scores = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    scores.sort(key=lambda row: str(row.get("timestamp") or ""))
    return {row["name"]: _said_by(row) for row in scores if row.get("name") in TOLD[1:]}


def _said_by(score: dict[str, Any]) -> Any:
    """Return what a score says: in words where no config gives these a number, for which Langfuse then writes 0."""
    value, words = score.get("value"), score.get("stringValue")
    unnumbered = score.get("dataType") == "CATEGORICAL" and absent(score.get("configId"))
    return words if not absent(words) and (unnumbered or absent(value)) else value
