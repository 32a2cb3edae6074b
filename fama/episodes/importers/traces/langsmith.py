"""LangSmith's exported runs: a trace is a tree of runs, those of a model among them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fama.episodes.foreign.fields import absent, name_of
from fama.episodes.foreign.logged_messages import messages_of, with_system
from fama.episodes.foreign.streams import LogRecord, read_records
from fama.episodes.importers.traces.traced_calls import TOLD, TracedCall, traced_episodes
from fama.episodes.records import Episode
from fama.errors import BadInput

#: Keys of a run's metadata that name its thread, as LangSmith reads them.
_THREADS = ("session_id", "thread_id", "conversation_id")
_LACKING = "no run with messages in its inputs; export the runs of the model, too (run_type llm)"


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the conversations of exported runs, JSON lines or a list, of one level or with ``child_runs``.

    Runs hold no outcome: it is ``success`` or ``reward`` where these were added to the root run, its ``error``, else an
    error at the harness. Options ``benchmark``, ``domain``, ``backbone`` and ``strategy`` fill what runs lack.

    Raises:
        BadInput: the file cannot be read or no record is a run of a model with messages.
    """
    yield from traced_episodes("langsmith", path, _nodes(path), _LACKING, options)


def _nodes(path: Path) -> Iterator[LogRecord | TracedCall]:
    for record in read_records(path):
        if record.fault or not isinstance(record.value, dict) or "run_type" not in record.value:
            yield record
            continue
        top = record.value
        trace = name_of(top.get("trace_id")) or name_of(top.get("id")) or record.place
        for run in _runs(top):
            is_root = run is top and absent(run.get("parent_run_id"))
            yield TracedCall(
                record.place,
                trace,
                len(_messages(run, "inputs")) if run.get("run_type") in ("llm", "chain") else 0,
                str(run.get("start_time") or ""),
                partial(_fields, run),
                next(filter(None, (name_of(_metadata(run).get(key)) for key in _THREADS)), None),
                {key: run[key] for key in TOLD if not absent(run.get(key))} if is_root else {},
            )


def _runs(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a run and those inside it."""
    yield run
    children = run.get("child_runs")
    for child in children if isinstance(children, list) else ():
        if isinstance(child, dict):
            yield from _runs(child)


def _fields(run: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a chat record."""
    said, answer = _messages(run, "inputs"), _messages(run, "outputs")
    asked, given, metadata = _part(run, "inputs"), _part(_part(run, "extra"), "invocation_params"), _metadata(run)
    temperatures = metadata.get("ls_temperature"), given.get("temperature"), asked.get("temperature")
    return {
        "messages": answer if _goes_on(answer, said) else [*said, *answer],
        "output": None if answer else run.get("outputs"),
        "tools": given.get("tools") or asked.get("tools"),
        "model": metadata.get("ls_model_name") or given.get("model") or given.get("model_name") or asked.get("model"),
        "temperature": next((one for one in temperatures if not absent(one)), None),
    }


def _messages(run: dict[str, Any], side: str) -> list[Any]:
    """Return the messages of a run's inputs or outputs; LangChain writes one list per prompt, and generations."""
    held = _part(run, side)
    rows = held.get("messages")
    if side == "outputs" and isinstance(held.get("generations"), list):
        made = [one for one in _first(held["generations"])[:1] if isinstance(one, dict)]
        rows = [one.get("message") or {"role": "assistant", "content": one.get("text")} for one in made]
    if isinstance(rows, str):  # short for what the user says, as are pairs of role and content
        return [{"role": "user", "content": rows}]
    said = _first(rows) if isinstance(rows, list) else []
    said = [{"role": one[0], "content": one[1]} if _is_pair(one) else one for one in said]
    return with_system(said, held) if side == "inputs" and said else said


def _first(rows: list[Any]) -> list[Any]:
    """Return the first list of a list of lists, those of a role and a content apart."""
    return rows[0] if rows and isinstance(rows[0], list) and not _is_pair(rows[0]) else rows


def _is_pair(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 2 and all(isinstance(one, str) for one in row)


def _goes_on(answer: list[Any], said: list[Any]) -> bool:
    """Return whether the outputs repeat the inputs before what is new, as the state of a graph does."""
    try:
        before, after = ([(m.role, m.content) for m in messages_of(rows)] for rows in (said, answer))
    except BadInput:  # told of the record, which is read next
        return False
    return len(after) >= len(before) and after[: len(before)] == before


def _metadata(run: dict[str, Any]) -> dict[str, Any]:
    return _part(_part(run, "extra"), "metadata")


def _part(holder: dict[str, Any], key: str) -> dict[str, Any]:
    value = holder.get(key)
    return value if isinstance(value, dict) else {}
