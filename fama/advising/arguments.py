"""Arguments of an advisor, checked, as its parts: the pool of helpers, the selector, the model's settings."""

import logging
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from fama.agents.runs.stale_routers import stale_checkpoint, text_hashes
from fama.agents.strategies.base import Placement
from fama.episodes.record_faults import fault_of
from fama.errors import BadInput
from fama.helpers.base import Helper, form_of
from fama.models.base import ChatModel
from fama.models.prefill import Prefill
from fama.selection.base import SELECTORS, KeyedSelector, Priced, Selector, SelectorContext
from fama.selection.router.checkpoint import read_manifest
from fama.selection.router.kinds.base import ROUTER_KINDS
from fama.selection.selectors.learned import RouterSelector
from fama.settings import BudgetSettings, Cadence, ExperimentSettings, HelperSettings, ModelSettings
from fama.subsets import stated_form

log = logging.getLogger(__name__)

RouterOrPath = str | PathLike[str] | Selector
Model = ModelSettings | ChatModel | Mapping[str, Any] | str


def pool_settings(helpers: Sequence[str] | HelperSettings | None, router: RouterOrPath) -> HelperSettings:
    """Return the pool that is asked for; the router's own in the forms it learned from, or all six, where it is None.

    Raises:
        BadInput: the checkpoint cannot be read.
    """
    if isinstance(helpers, HelperSettings):
        return helpers
    if helpers is not None:
        return HelperSettings(pool=(helpers,) if isinstance(helpers, str) else tuple(helpers))
    folder = checkpoint_of(router)
    if folder is None:
        return HelperSettings()
    manifest = read_manifest(folder)
    forms = {name: form for name, form in (manifest.forms or {}).items() if stated_form(name) is None}
    return HelperSettings(pool=manifest.pool, forms=forms)


def warn_of_other_notes(router: RouterOrPath, pool: HelperSettings) -> None:
    """Say that a checkpoint learned from notes of other texts or forms than this pool's; older ones name no forms.

    Raises:
        BadInput: the checkpoint cannot be read.
    """
    folder = checkpoint_of(router)
    line = None if folder is None else stale_checkpoint(folder, text_hashes(ExperimentSettings(helpers=pool)), pool)
    if line is not None:
        log.warning("%s; if it was trained with another form, set that one: HelperSettings(form='llm')", line)


def checkpoint_of(router: RouterOrPath) -> Path | None:
    """Return the folder that a router is named by; None for a selector's name, which goes first, or for a selector.

    Raises:
        BadInput: it is neither a name nor a folder.
    """
    if not isinstance(router, str | PathLike):
        return None
    if isinstance(router, str) and router in SELECTORS.names():
        return None
    folder = Path(router).expanduser()
    if not folder.is_dir():
        known = ", ".join(SELECTORS.names())
        raise BadInput(f"router: {str(router)!r} is no folder of a checkpoint and no selector; known: {known}")
    return folder


def selector_of(
    router: RouterOrPath, context: SelectorContext, price: float | None, options: Mapping[str, Any]
) -> Selector:
    """Return the selector of an advisor.

    Raises:
        BadInput: it is unknown, does not take its options or λ, or needs what no advisor has.
    """
    folder = checkpoint_of(router)
    if not isinstance(router, str | PathLike):
        if options:
            raise BadInput("options: a selector that is given whole takes none; set them where it is made")
        built: Any = router
    else:
        name, own = (str(router), {}) if folder is None else ("learned", {"checkpoint": folder})
        try:
            built = SELECTORS.load(name)(context, **own, **options)
        except TypeError as error:
            raise BadInput(f"router {name!r}: options: {error}; fix its options") from error
    if isinstance(built, KeyedSelector) or getattr(built, "track", None) == "retrospective":
        raise BadInput(
            f"router {router}: reads the task's own failed episode, which an advisor has not; choose another"
        )
    if not callable(getattr(built, "select", None)):
        raise BadInput(
            f"router: a {type(router).__name__}; give a checkpoint's folder, a selector's name or a selector"
        )
    if price is not None:
        built = _priced(built, price)
    chosen: Selector = built
    return chosen


def is_quick(router: RouterOrPath, selector: Selector, helpers: Mapping[str, Helper]) -> bool:
    """Return whether advice takes milliseconds, a model aside: nothing encodes texts, no plug-in has its own pace."""
    if not all(type(helper).__module__.startswith("fama.") for helper in helpers.values()):
        return False
    if isinstance(selector, RouterSelector):
        kind = ROUTER_KINDS.load(selector.router.manifest.kind)
        return selector.router.embedder is None and not kind.encodes and kind.__module__.startswith("fama.")
    if not isinstance(router, str):
        return False
    return type(selector).__module__.startswith("fama.") and not SELECTORS.traits(router).asks_model


def _priced(selector: Any, price: float) -> Any:
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < math.inf:
        raise BadInput(f"price: {price!r}; give a finite number of at least 0, the success that 1,000 tokens are worth")
    if not isinstance(selector, Priced):
        raise BadInput(f"price: the selector {selector.name} does not weigh tokens; leave it out")
    return selector.at(float(price))


def model_settings(model: Model | None) -> ModelSettings | ChatModel | None:
    """Return the settings of the model, or the model where it is given as such.

    Raises:
        BadInput: a mapping has unknown keys or values that do not fit, a text is an address, or it is no model.
    """
    if isinstance(model, str):
        if "://" in model:
            raise BadInput(f"model: {model!r} is an address; give {{'name': NAME, 'base_url': {model!r}}}")
        return ModelSettings(name=model)
    if isinstance(model, Mapping):
        try:
            return ModelSettings.model_validate(dict(model))
        except ValidationError as error:
            raise BadInput(f"model: {fault_of(error)}; fix it") from None
    if not isinstance(model, ModelSettings | None) and not callable(getattr(model, "complete", None)):
        raise BadInput(f"model: a {type(model).__name__}; give a name, settings or a model")
    return model


def check_models(helpers: Mapping[str, Helper], has_model: bool) -> None:
    """Refuse helpers that a model writes where there is none.

    Raises:
        BadInput: names the first one.
    """
    asking = [name for name, helper in helpers.items() if form_of(helper) in ("llm", "separate")]
    if asking and not has_model:
        raise BadInput(f"helpers: a model writes the notes of {asking[0]}; give model, or its form template")


def budget_settings(budget: BudgetSettings | Mapping[str, Any] | int | None) -> BudgetSettings:
    """Return the limits in tokens; a number is that of each decision.

    Raises:
        BadInput: a limit is unknown or no number of tokens.
    """
    if isinstance(budget, BudgetSettings):
        return budget
    try:
        return BudgetSettings.model_validate(dict(budget) if isinstance(budget, Mapping) else {"decision": budget})
    except ValidationError as error:
        raise BadInput(f"budget: {fault_of(error)}; give a number of tokens, or decision, episode and run") from None


def check_settings(
    cadence: object, placement: object, prefill: object, sessions: object, benchmark: str, domain: str
) -> None:
    """Refuse words that a run does not know, no memory, and a benchmark without its domain or the other way round.

    Raises:
        BadInput: names the first one.
    """
    choices: tuple[tuple[str, object, Any], ...] = (
        ("cadence", cadence, Cadence),
        ("placement", placement, Placement),
        ("prefill", prefill, Prefill),
    )
    for name, given, kind in choices:
        if given not in get_args(kind):
            raise BadInput(f"{name}: {given!r}; give one of {', '.join(get_args(kind))}")
    if isinstance(sessions, bool) or not isinstance(sessions, int) or sessions < 1:
        raise BadInput(f"sessions: {sessions!r}; give the number of requests to remember, at least 1")
    if bool(benchmark) != bool(domain):
        there, lacking = ("benchmark", "domain") if benchmark else ("domain", "benchmark")
        raise BadInput(f"{there}: the file of tool roles is found by both; give {lacking} too, or leave both out")
