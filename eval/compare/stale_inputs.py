"""Outcome tables and routers that were made with other helper texts or prompts than a comparison runs with."""

from fama.agents.runs.stale_routers import stale_router, text_hashes
from fama.episodes.outcome_table import read_columns
from fama.settings import CompareSettings


def stale_inputs(settings: CompareSettings) -> list[str]:
    """Return a warning for each table and checkpoint whose prompts differ from this run's; empty when all agree.

    Raises:
        BadInput: a table or a checkpoint cannot be read.
    """
    known = text_hashes(settings.model_copy(update={"arms": ()}))  # arms choose, helpers write
    found = []
    for key in ("outcomes", "lattice", "replay"):
        path = getattr(settings, key)
        if path and set(read_columns(path, ["prompts_hash"])["prompts_hash"]) - known:
            found.append(f"{key}: {path} was run with other helper texts or prompts than this release's")
    return found + [line for arm in settings.arms if (line := stale_router(arm, known, settings.helpers)) is not None]
