"""Settings and selectors of recorded runs in words, by the hashes in their episodes."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fama.agents.runs.run_config import read_arms, read_shaping_settings
from fama.errors import BadInput
from fama.hashing import content_hash


@dataclass(frozen=True)
class RecordedArm:
    """A selector of a recorded run: the hash of the run's settings, and its own settings as they were written."""

    config_hash: str
    settings: Mapping[str, Any]

    def ran(self, id_: str, task_id: str, trial: int) -> bool:
        """Return whether an episode of that id is this arm's: the id hashes task, trial, arm and settings."""
        return id_ == content_hash([task_id, trial, self.settings, self.config_hash])

    def in_words(self) -> frozenset[str]:
        """Return options and cadence, each as ``name=value``."""
        own = {"cadence": self.settings.get("cadence"), **(self.settings.get("options") or {})}
        return frozenset(_lines({name: value for name, value in own.items() if value is not None}))


def recorded_arms(paths: Iterable[Path]) -> list[RecordedArm]:
    """Return the selectors that the folders, or those of the files, say they were run with; of others none."""
    return [RecordedArm(content_hash(shaping), arm) for shaping, arms in _recorded(paths) for arm in arms]


def settings_by_hash(paths: Iterable[Path]) -> dict[str, frozenset[str]]:
    """Return the settings that shaped the episodes of folders or files, each as ``name=value``, by config hash.

    Folders that do not hold the settings of a run, such as those of imported logs, are passed over.
    """
    return {content_hash(shaping): frozenset(_lines(shaping)) for shaping, _ in _recorded(paths)}


def _recorded(paths: Iterable[Path]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yield what shaped the episodes of each folder that says it, and the settings of its selectors."""
    for path in paths:
        folder = path if path.is_dir() else path.parent
        with suppress(BadInput):
            yield read_shaping_settings(folder), read_arms(folder)


def _lines(settings: Mapping[str, Any], place: str = "") -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _lines(value, f"{place}{name}.")
        else:
            yield f"{place}{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
