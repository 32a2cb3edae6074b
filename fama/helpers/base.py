"""The helper contract: visible state in, a short note or nothing out. Helpers never act."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fama.episodes.records import LedgerRow
from fama.episodes.state import VisibleState
from fama.models.base import ChatModel
from fama.registry import Registry
from fama.settings import Form

TEMPLATE_TEXTS = "3"
"""Version of what the template forms say and when. Outcomes of another version say little about this one: a new one
goes into every episode beside the hashes of the prompts, and comparisons warn where they meet."""


class HelperReply(NamedTuple):
    """A note's text, or None to stay silent, and what it cost."""

    text: str | None
    ledger: tuple[LedgerRow, ...] = ()


@dataclass(frozen=True)
class HelperContext:
    """What a helper may use besides the state: a chat model for its LLM form, and a seed."""

    model: ChatModel | None = None
    seed: int = 0


class Helper(Protocol):
    """Writes a note before a decision, or stays silent.

    ``covers`` are the failure categories it addresses, ``token_cap`` the most tokens its note may
    have, ``cost_cap`` the most tokens one call of it may spend (0 in template form).
    """

    name: str
    covers: frozenset[str]
    token_cap: int
    cost_cap: int

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        """Return the note for the coming decision."""
        ...


class HelperFactory(Protocol):
    """Builds a helper in its template or LLM form; options are the helper's own (Memory: ``k``)."""

    def __call__(self, form: Form = "template", **options: int | str) -> Helper:
        """Return a helper of that form."""
        ...


HELPERS: Registry[HelperFactory] = Registry(
    "helpers",
    {
        "DCE": "fama.helpers.dce:build",
        "TSA": "fama.helpers.tsa:build",
        "TOR": "fama.helpers.tor:build",
        "Planner": "fama.helpers.planner:build",
        "Verifier": "fama.helpers.verifier:build",
        "Memory": "fama.helpers.memory:build",
    },
)
