"""A folder that ``fama mine`` wrote: its records, and the settings that they were mined with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fama.agents.runs.run_config import CONFIG
from fama.episodes.jsonl import RecordStore, existing_file
from fama.errors import BadInput
from fama.helpers.pool import are_names_of, forms_of
from fama.mining.records import REPAIRS, Repair
from fama.mining.settings import MineSettings
from fama.settings import Form, HelperSettings, written_settings


@dataclass(frozen=True)
class RepairFolder:
    """Records of one folder. ``mine`` are their settings as resolved, ``content`` is the whole ``config.json``."""

    path: Path
    records: tuple[Repair, ...]
    mine: MineSettings
    helpers: HelperSettings
    content: Mapping[str, Any]

    @property
    def forms(self) -> dict[str, Form]:
        """Return the form of each helper, by the name that records have."""
        pool = self.records[0].pool if self.records else self.helpers.pool
        return forms_of(self.helpers, pool)

    @property
    def texts(self) -> dict[str, str]:
        """Return the version of each helper's texts, by the name that records have; empty where nothing says it."""
        prompts = self.content.get("prompts") or {}
        return {name: _texts_of(name, form, prompts) for name, form in self.forms.items()}


def _texts_of(name: str, form: Form, prompts: Mapping[str, str]) -> str:
    """Return the version of what a helper's notes are written by: the template forms', or its own prompt's."""
    if form == "template":
        return str(prompts.get("helpers/template", ""))
    stem = f"{'questions' if form == 'llm' else 'helpers'}/{name.partition(':')[0].lower()}.v"
    return next((key.removeprefix(stem) for key in prompts if key.startswith(stem)), "")


def read_repairs(folder: Path) -> RepairFolder:
    """Read a folder of repairs.

    Raises:
        BadInput: it holds no repairs, or not the settings that they were mined with.
    """
    records = tuple(RecordStore(existing_file(folder, REPAIRS), Repair).read())
    path = folder / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        settings = written_settings(content["settings"])
        mine = MineSettings.model_validate(settings)
        helpers = HelperSettings.model_validate(settings["helpers"])
    except OSError:
        raise BadInput(f"{path}: missing, so the helpers' forms are unknown; give a folder of `fama mine`") from None
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{path}: not the settings of `fama mine` of this version; mine the episodes again") from None
    if not all(are_names_of(record.pool, helpers.pool) for record in records):
        raise BadInput(f"{folder}: the pool of {REPAIRS} is not that of {CONFIG}; mine the episodes again")
    return RepairFolder(folder, records, mine, helpers, content)
