"""Routers that learned from notes of other helper texts, forms or prompts than a run's helpers give."""

from pathlib import Path

from fama.agents.runs.run_config import as_told_in, run_prompts, with_reading
from fama.agents.strategies.base import STRATEGIES
from fama.hashing import content_hash
from fama.selection.base import SELECTORS
from fama.settings import ExperimentSettings, SelectorSettings


def text_hashes(settings: ExperimentSettings) -> frozenset[str]:
    """Return the hashes under which tables and routers of this run's helper texts and prompts are known.

    The strategy's own template is no part of it: helpers write the same texts under each strategy. Nor are files of
    helpers in tables of before, which did not say what these held.
    """
    prompts = [run_prompts(settings.model_copy(update={"strategy": name})) for name in STRATEGIES.loadable()]
    told = [*prompts, *(as_told_in({}, one) for one in prompts)]
    return frozenset(content_hash(with_reading(one, settings.helpers)) for one in told)


def stale_router(selector: SelectorSettings, known: frozenset[str]) -> str | None:
    """Return a warning where a selector's checkpoint learned from other texts than the ``known`` ones, else None.

    Raises:
        BadInput: the checkpoint cannot be read.
    """
    folder = selector.options.get("checkpoint")
    if SELECTORS.traits(selector.name).setup != "checkpoint" or not isinstance(folder, str):
        return None
    line = stale_checkpoint(Path(folder), known)
    return None if line is None else f"{selector.arm}: {line}"


def stale_checkpoint(folder: Path, known: frozenset[str]) -> str | None:
    """Return a warning where a checkpoint learned from other texts than the ``known`` ones, else None.

    Raises:
        BadInput: the checkpoint cannot be read.
    """
    from fama.selection.router.checkpoint import read_manifest

    if set(read_manifest(folder).prompts_hash) <= known:
        return None
    return f"{folder} learned from outcomes of other helper texts or prompts"
