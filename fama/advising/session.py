"""The memory of one conversation between two requests: what was selected, noted and spent."""

from dataclasses import dataclass

from fama.episodes.records import Note
from fama.selection.base import Selection


@dataclass(frozen=True)
class Session:
    """State of a conversation after its latest advice.

    ``key`` names the conversation: random draws depend on it, not on when they are made. ``noted`` are the notes given
    so far as (turn, note). ``held`` is the selection that ``cadence="episode"`` keeps. ``spent`` counts the tokens of
    helpers, selection and notes, which the budget of an episode limits.
    """

    key: str
    noted: tuple[tuple[int, Note], ...] = ()
    held: Selection | None = None
    spent: int = 0
