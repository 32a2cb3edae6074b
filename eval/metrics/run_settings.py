"""Settings of recorded runs in words, by the config hash of their episodes."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fama.agents.runs.run_config import read_shaping_settings
from fama.errors import BadInput
from fama.hashing import content_hash


def settings_by_hash(paths: Iterable[Path]) -> dict[str, frozenset[str]]:
    """Return the settings that shaped the episodes of folders or files, each as ``name=value``, by config hash.

    Folders that do not hold the settings of a run, such as those of imported logs, are passed over.
    """
    found = {}
    for path in paths:
        try:
            settings = read_shaping_settings(path if path.is_dir() else path.parent)
        except BadInput:
            continue
        found[content_hash(settings)] = frozenset(_lines(settings))
    return found


def _lines(settings: Mapping[str, Any], place: str = "") -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _lines(value, f"{place}{name}.")
        else:
            yield f"{place}{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
