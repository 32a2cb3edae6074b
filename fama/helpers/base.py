"""The helper contract: visible state in, a short note or nothing out. Helpers never act."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fama.episodes.records import LedgerRow
from fama.episodes.state import VisibleState
from fama.models.base import ChatModel
from fama.models.prefix import AgentRequest
from fama.registry import Registry
from fama.settings import Form

TEMPLATE_TEXTS = "5"
"""Version of what the template forms say and when. Outcomes of another version say little about this one: a new one
goes into every episode beside the hashes of the prompts, and comparisons warn where they meet."""


class HelperReply(NamedTuple):
    """A note's text, or None to stay silent, and what it cost. ``fault`` says why a note could not be written."""

    text: str | None
    ledger: tuple[LedgerRow, ...] = ()
    fault: str | None = None


@dataclass(frozen=True)
class HelperContext:
    """Resources of a helper besides the state: a chat model for its LLM form, a seed and the trial of its requests.

    ``request`` is the agent's own request of the coming decision, before any note.
    """

    model: ChatModel | None = None
    seed: int = 0
    trial: int = 0
    request: AgentRequest | None = None


class Covering(Protocol):
    """Facts of a helper that the choice of a minimal covering subset needs."""

    @property
    def covers(self) -> frozenset[str]:
        """Codes of the failure categories that it addresses."""
        ...

    @property
    def token_cap(self) -> int:
        """Return the most tokens that a note may have."""
        ...


class Helper(Covering, Protocol):
    """Writes a note before a decision, or stays silent.

    The declarations are read, never written, so that a frozen class may hold them. A helper may declare four more:
    ``on_prefix`` (it sends the agent's own request along, which its cost cap leaves out; False when absent),
    ``reads_notes`` (it reads what others noted before the same decision; True when absent), ``form`` (in which it
    was built; unknown when absent) and ``does`` (what it does, in a line for the prompts of those who choose).
    """

    @property
    def name(self) -> str:
        """Return the name in configs, tables and ledgers."""
        ...

    @property
    def cost_cap(self) -> int:
        """Return the most tokens that one note may cost to write, beyond the agent's request; 0 in template form."""
        ...

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        """Return the note for the coming decision."""
        ...


def on_prefix(helper: Helper) -> bool:
    """Return whether a helper asks at the end of the agent's own request."""
    return bool(getattr(helper, "on_prefix", False))


def reads_notes(helper: Helper) -> bool:
    """Return whether a helper reads what others noted before the same decision, so that it has to come after them."""
    return bool(getattr(helper, "reads_notes", True))


def form_of(helper: Helper) -> str | None:
    """Return the form that a helper writes its notes in, as far as it tells: its ``form``, else None."""
    form = getattr(helper, "form", None)
    return form if isinstance(form, str) else None


def purpose_of(helper: Helper) -> str:
    """Return what a helper does, in a line for prompts; empty where it does not tell."""
    return str(getattr(helper, "does", "") or "")


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
