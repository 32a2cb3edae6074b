"""Results of ACEBench: ``data_<category>_result.json``, one object per line with ``id``, ``result`` and ``process``.

ACEBench keeps no dialogue that can be read back: an agent episode holds the agent's calls only, a single-turn one
its answer. The verdict stands in a second file, which its evaluator writes.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fama import __version__
from fama.episodes.foreign.fields import absent, listed, whole
from fama.episodes.foreign.file_identity import task_id_of
from fama.episodes.foreign.logged_content import as_text
from fama.episodes.foreign.streams import read_records
from fama.episodes.importers.base import NO_OUTCOME, read_episodes_of
from fama.episodes.records import Episode, FunctionCall, Message, Outcome, Source, ToolCall
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.text.bracket_calls import read_calls

_RESULT, _SCORE = "_result.json", "_score.json"
_LANGUAGE = re.compile(r"^(?:result|score)_(en|zh)$")
_UNKNOWN = Outcome(status="error", boundary="harness", reason=NO_OUTCOME)


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the episodes of one result file.

    Options ``benchmark``, ``domain``, ``backbone`` and ``strategy`` win over its path.

    The verdict comes from the score file of the same category: beside the result file, or where the evaluator puts
    it (``score_all/score_en/MODEL`` for ``result_all/result_en/MODEL``). It lists what failed. Without one, the outcome
    is unknown and the record counts as an error at the harness.

    Raises:
        BadInput: the file cannot be read or a record is not of this format.
    """
    failed = _failed(path)

    def build(index: int, row: dict[str, Any]) -> Episode:
        return _episode(path, index, row, failed, options)

    yield from read_episodes_of("acebench", path, read_records(path), build, options)


def _episode(path: Path, index: int, row: dict[str, Any], failed: set[Any] | None, options: dict[str, str]) -> Episode:
    task_id, agentic = task_id_of(row["id"], path, index), not absent(row.get("process"))
    turns = listed(row["process"], "process") if agentic else [row["result"]]
    language = next((match[1] for part in path.parts if (match := _LANGUAGE.match(part))), None)
    category = path.name.removesuffix(".gz").removesuffix(_RESULT).removeprefix("data_")
    return Episode(
        id=content_hash(["acebench", path.parent.name, path.name, index, row]),
        benchmark=options.get("benchmark") or (f"acebench-{language}" if language else "acebench"),
        domain=options.get("domain") or category,
        task_id=task_id,
        backbone=options.get("backbone") or (path.parent.name if language else None),
        strategy=options.get("strategy"),
        agent="acebench",
        messages=tuple(_message(as_text(turn), number) for number, turn in enumerate(turns) if turn is not None),
        outcome=_outcome(failed, {task_id, index} if agentic else {task_id}),
        package_version=__version__,
        source=Source(importer="acebench", file=path.name),
    )


def _outcome(failed: set[Any] | None, names: set[Any]) -> Outcome:
    if failed is None:
        return _UNKNOWN
    return Outcome(status="failure" if names & failed else "success", reason="evaluated")


def _failed(path: Path) -> set[Any] | None:
    """Return what the score file lists: ids, or the numbers of lines for agent categories; None without a score file.

    Raises:
        BadInput: the score file counts other failures than it lists, so that it cannot be trusted.
    """
    score = _score_file(path)
    if score is None:
        return None
    rows = [record.fields() for record in read_records(score)]
    if not rows or "total_count" not in rows[0]:
        raise BadInput(f"{score}: its first line has no total_count; write it again with ACEBench's evaluator")
    failed = {row["id"] for row in rows[1:] if row.get("valid") is False and isinstance(row.get("id"), str | int)}
    total, correct = (whole(rows[0].get(name), name) for name in ("total_count", "correct_count"))
    if total is None or correct is None or len(failed) != total - correct:
        wrong = "an unknown number of" if total is None or correct is None else total - correct
        raise BadInput(f"{score}: counts {wrong} failures but lists {len(failed)}; import the results without it")
    return failed


def is_score(path: Path) -> bool:
    """Return whether a file is the evaluator's, which is read with the results that it is about."""
    name = path.name.removesuffix(".gz")
    if not name.endswith(_SCORE):
        return False
    name = name.removesuffix(_SCORE) + _RESULT
    swapped = [re.sub(r"^score_(all|en|zh)$", r"result_\1", part) for part in path.parent.parts]
    folders = (path.parent, Path(*swapped))
    return any((folder / f"{name}{packed}").is_file() for folder in folders for packed in ("", ".gz"))


def _score_file(path: Path) -> Path | None:
    name = path.name.removesuffix(".gz")
    if not name.endswith(_RESULT):
        return None
    name = name.removesuffix(_RESULT) + _SCORE
    swapped = [re.sub(r"^result_(all|en|zh)$", r"score_\1", part) for part in path.parent.parts]
    places = (folder / f"{name}{packed}" for folder in (path.parent, Path(*swapped)) for packed in ("", ".gz"))
    return next((place for place in places if place.is_file()), None)


def _message(text: str, number: int) -> Message:
    calls = _calls(text, number)
    return Message(role="assistant", content=None if calls else text, tool_calls=calls or None)


def _calls(text: str, number: int) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(id=f"call_{number}_{place}", function=FunctionCall(name=name, arguments=json.dumps(arguments)))
        for place, (name, arguments) in enumerate(read_calls(text))
    )
