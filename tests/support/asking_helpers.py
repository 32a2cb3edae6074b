"""Helpers in ``llm`` form that ask before every decision, for tests of how they are asked, billed and interrupted."""

from collections.abc import Mapping
from dataclasses import replace

from fama.helpers.base import Helper
from fama.helpers.llm_form import About, PrefixHelper
from fama.helpers.pool import build_pool
from fama.models.base import ChatRequest
from fama.settings import HelperSettings

_ABOUT: dict[str, Mapping[str, object]] = {
    "DCE": {"changes": ["renew_loan"]},
    "TSA": {"choices": ["get_loan", "list_loans"]},
    "TOR": {},
    "Planner": {"done": ["renew_loan"]},
    "Verifier": {"tool": "renew_loan", "busy": False},
    "Memory": {},
}


def asking_pool() -> dict[str, Helper]:
    """Return the six helpers of the default pool without their gates."""
    pool: dict[str, Helper] = {}
    for name, helper in build_pool(HelperSettings(form="llm")).items():
        assert isinstance(helper, PrefixHelper)
        pool[name] = replace(helper, about=_always(_ABOUT[name]))
    return pool


def _always(values: Mapping[str, object]) -> About:
    return lambda state: values


def answer(request: ChatRequest) -> str:
    """Return an answer that passes the checks in ``tests.support.note_states.busy_state``: a quotation or a call."""
    if request.prefill.endswith('"'):
        return f'{request.prefill}cancel hold H5"'
    return f"{request.prefill} Call renew_loan next."
