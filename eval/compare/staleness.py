"""Outcome tables and routers that were made with other helper texts or prompts than a comparison runs with."""

from pathlib import Path

from eval.compare.arms import traits_of
from fama.agents.runs.run_config import run_prompts, with_reading
from fama.agents.strategies.base import STRATEGIES
from fama.episodes.outcome_table import read_columns
from fama.hashing import content_hash
from fama.settings import CompareSettings


def stale_inputs(settings: CompareSettings) -> list[str]:
    """Return a warning for each table and checkpoint whose prompts differ from this run's; empty when all agree.

    The strategy's own template is none of them: helpers write the same texts under each strategy.

    Raises:
        BadInput: a table or a checkpoint cannot be read.
    """
    from fama.selection.router.checkpoint import read_manifest

    plain = settings.model_copy(update={"arms": ()})  # arms choose, helpers write
    known = {
        content_hash(with_reading(run_prompts(plain.model_copy(update={"strategy": name})), settings.helpers))
        for name in STRATEGIES.loadable()
    }
    found = []
    for key in ("outcomes", "lattice", "replay"):
        path = getattr(settings, key)
        if path and set(read_columns(path, ["prompts_hash"])["prompts_hash"]) - known:
            found.append(f"{key}: {path} was run with other helper texts or prompts than this release's")
    for arm in settings.arms:
        folder = arm.options.get("checkpoint")
        if traits_of(arm).setup != "checkpoint" or not isinstance(folder, str):
            continue
        if set(read_manifest(Path(folder)).prompts_hash) - known:
            found.append(f"{arm.arm}: {folder} learned from outcomes of other helper texts or prompts")
    return found
