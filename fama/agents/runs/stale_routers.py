"""Routers that learned from notes of other helper texts, forms or prompts than a run's helpers give."""

from pathlib import Path

from fama.agents.runs.run_config import as_told_in, run_prompts, with_reading
from fama.agents.strategies.base import STRATEGIES
from fama.hashing import content_hash
from fama.helpers.pool import forms_of, told_forms
from fama.selection.base import SELECTORS
from fama.settings import ExperimentSettings, HelperSettings, SelectorSettings


def text_hashes(settings: ExperimentSettings) -> frozenset[str]:
    """Return the hashes under which tables and routers of this run's helper texts and prompts are known.

    The strategy's own template is no part of it: helpers write the same texts under each strategy. Nor are files of
    helpers in tables of before, which did not say what these held.
    """
    prompts = [run_prompts(settings.model_copy(update={"strategy": name})) for name in STRATEGIES.loadable()]
    told = [*prompts, *(as_told_in({}, one) for one in prompts)]
    return frozenset(content_hash(with_reading(one, settings.helpers)) for one in told)


def stale_router(selector: SelectorSettings, known: frozenset[str], helpers: HelperSettings) -> str | None:
    """Return ``stale_checkpoint`` of a selector's checkpoint, if it has one.

    Raises:
        BadInput: the checkpoint cannot be read.
    """
    folder = selector.options.get("checkpoint")
    if SELECTORS.traits(selector.name).setup != "checkpoint" or not isinstance(folder, str):
        return None
    line = stale_checkpoint(Path(folder), known, helpers)
    return None if line is None else f"{selector.arm}: {line}"


def stale_checkpoint(folder: Path, known: frozenset[str], helpers: HelperSettings) -> str | None:
    """Return a warning where a checkpoint learned from helpers in other forms, or of other texts, else None.

    ``known`` are the hashes of the texts that ``helpers`` give.

    Raises:
        BadInput: the checkpoint cannot be read.
    """
    from fama.selection.router.checkpoint import read_manifest

    manifest = read_manifest(folder)
    here = forms_of(helpers)
    other = {name: form for name, form in (manifest.forms or {}).items() if here.get(name, form) != form}
    if other:
        now = told_forms({name: here[name] for name in other})
        return f"{folder} learned from notes of {told_forms(other)}, here {now}"
    if set(manifest.prompts_hash) <= known:
        return None
    return f"{folder} learned from outcomes of other helper texts or prompts"
