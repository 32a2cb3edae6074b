"""A member of the pool whose name states its form: a helper under the name ``TSA:template``."""

from dataclasses import dataclass

from fama.episodes.records import LedgerRow
from fama.episodes.state import VisibleState
from fama.helpers.base import Helper, HelperContext, HelperReply, form_of, on_prefix, purpose_of, reads_notes
from fama.models.base import CallFailed


@dataclass(frozen=True)
class FormMember:
    """A helper by its name with the form; its calls are billed to that name, all else is the helper's own."""

    helper: Helper
    name: str

    @property
    def covers(self) -> frozenset[str]:
        """Return the codes of the failure categories that the helper addresses."""
        return self.helper.covers

    @property
    def token_cap(self) -> int:
        """Return the most tokens that a note may have."""
        return self.helper.token_cap

    @property
    def cost_cap(self) -> int:
        """Return the most tokens that one note may cost to write, beyond the agent's request."""
        return self.helper.cost_cap

    @property
    def on_prefix(self) -> bool:
        """Return whether the helper asks at the end of the agent's own request."""
        return on_prefix(self.helper)

    @property
    def reads_notes(self) -> bool:
        """Return whether the helper reads what others noted before the same decision."""
        return reads_notes(self.helper)

    @property
    def form(self) -> str | None:
        """Return the helper's form, where it tells it."""
        return form_of(self.helper)

    @property
    def does(self) -> str:
        """Return what the helper does, in a line for prompts; empty where it does not say."""
        return purpose_of(self.helper)

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        """Return the helper's note for the coming decision.

        Raises:
            ModelError: the endpoint failed after all retries.
        """
        try:
            reply = await self.helper.note(state, context)
        except CallFailed as error:
            error.billed = self._own(error.billed)
            raise
        return reply._replace(ledger=self._own(reply.ledger))

    def _own(self, rows: tuple[LedgerRow, ...]) -> tuple[LedgerRow, ...]:
        theirs, ours = f"helper:{self.helper.name}", f"helper:{self.name}"
        return tuple(row.model_copy(update={"role": ours}) if row.role == theirs else row for row in rows)
