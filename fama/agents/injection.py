"""Notes before a decision: helpers of a subset write them, the check passes or drops them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from fama.episodes.records import LedgerRow, Note, RejectedNote
from fama.episodes.state import VisibleState
from fama.helpers.base import Helper, HelperContext
from fama.helpers.note_check import check_note
from fama.models.base import ChatModel
from fama.randomness import derive_seed
from fama.text.clean import clean
from fama.text.tokens import estimate_tokens


class Notes(NamedTuple):
    """The notes that passed and those that did not."""

    passed: tuple[Note, ...]
    rejected: tuple[RejectedNote, ...]

    @property
    def text(self) -> str:
        """Return all notes in one line."""
        return " ".join(note.text for note in self.passed)


async def collect_notes(
    state: VisibleState,
    subset: Sequence[str],
    helpers: Mapping[str, Helper],
    model: ChatModel | None,
    seed: int,
    ledger: list[LedgerRow],
) -> Notes:
    """Ask each helper of the subset, one after the other; what they spend is added to ``ledger``.

    Each sees the notes of those before it as already given, at the state's own turn.

    Raises:
        ModelError: a helper's model failed; the ledger holds what was spent before.
    """
    passed: list[Note] = []
    rejected: list[RejectedNote] = []
    for name in subset:
        context = HelperContext(model, derive_seed(seed, f"helper:{name}", state.turn) % 2**31)
        seen = replace(state, noted=(*state.noted, *((state.turn, note) for note in passed)))
        reply = await helpers[name].note(seen, context)
        ledger += reply.ledger
        if reply.text is None:
            continue
        text = clean(reply.text)
        reason = check_note(helpers[name], text, state)
        if reason is None:
            passed.append(Note(helper=name, text=text, tokens=estimate_tokens(text)))
        else:
            rejected.append(RejectedNote(helper=name, text=text, reason=reason))
    return Notes(tuple(passed), tuple(rejected))
