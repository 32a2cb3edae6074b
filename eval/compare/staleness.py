"""Outcome tables and routers that were made with other helper texts or prompts than a comparison runs with."""

from pathlib import Path

from eval.compare.arms import traits_of
from fama.agents.reading import shipped_layer
from fama.agents.runs.run_config import run_prompts
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
    texts = [run_prompts(plain.model_copy(update={"strategy": name})) for name in STRATEGIES.loadable()]
    read = {"reading": shipped_layer().digest}  # as episodes have it whose user turns were read by meaning
    known = {content_hash({**one, **more}) for one in texts for more in ({}, read)}
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
