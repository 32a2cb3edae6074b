"""Identity of what a file holds: the tasks, and the arm where the log does not name it, by the file's place."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from fama.episodes.foreign.fields import name_of

_SUFFIX = re.compile(r"\.(?:jsonl?|eval)(?:\.gz)?$|\.gz$", re.IGNORECASE)
_REPETITION = re.compile(
    r"(?:^|(?<=[-_. ]))(?:seed|trial|rep|repeat|repetition|run|epoch)[-_ ]?\d{1,4}(?=$|[-_. ])", re.I
)
_SHARD = re.compile(
    r"(?:^|[-_. ])(?:(?:shard|part|chunk|split|batch)[-_ ]?\d+|\d+-of-\d+|0\d{1,4}|\d{5})(?:-of-\d+)?$", re.IGNORECASE
)
_JOINTS = re.compile(r"[-_. ]{2,}")
#: Settings of a model or a run that set an arm apart; addresses, keys and limits of waiting do not.
_SETTINGS = frozenset(
    "temperature top_p top_k min_p max_tokens max_completion_tokens reasoning_effort thinking presence_penalty "
    "verbosity frequency_penalty repetition_penalty enable_thinking chat_template_kwargs max_steps".split()
)


def place_stem(place: str) -> str:
    """Return a place without the endings of a log's file."""
    return _SUFFIX.sub("", place)


def positional(place: str, index: int) -> str:
    """Return the id of a task that the log gives none: the shard and the position in it."""
    return f"{_without_repetition(place_stem(place))}:{index}"


def task_id_of(value: Any, path: Path, index: int) -> str:
    """Return a task's id as text, or its place where the log gives none."""
    return name_of(value) or positional(path.name, index)


def is_shard(place: str) -> bool:
    """Return whether a file is named as one of several parts: ``train-00001``, ``part-3``, ``data-00001-of-00004``."""
    return _SHARD.search(PurePosixPath(place_stem(place)).name) is not None


def origin(place: str) -> str:
    """Return the name of the arm that a file is by its place: shards and numbered repetitions of a file are one."""
    path = PurePosixPath(_without_repetition(place_stem(place)))
    return str(path.with_name(_SHARD.sub("", path.name) or "parts")) if path.name else str(path)


def _without_repetition(place: str) -> str:
    parts = []
    for part in PurePosixPath(place).parts:
        rest = _JOINTS.sub(lambda joint: joint[0][0], _REPETITION.sub("", part)).strip("-_. ")
        if rest:
            parts.append(rest)
    return "/".join(parts) or "log"


def settings_text(settings: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the settings that set an arm apart, each as ``name=value``."""
    return [
        f"{prefix}{key}={value}".replace(";", ",")
        for key, value in sorted(settings.items())
        if key in _SETTINGS and value is not None
    ]
