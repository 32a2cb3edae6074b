"""The memory of conversations between their requests: what was selected, noted and spent."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from fama.episodes.records import Note
from fama.selection.base import Selection


@dataclass(frozen=True)
class Session:
    """State of a conversation after its latest advice.

    ``key`` names the conversation: random draws depend on it and the turn, so that a request that is repeated gets the
    same advice. ``noted`` are the notes given so far as (turn, note). ``held`` is the selection that
    ``cadence="episode"`` keeps. ``spent`` counts the tokens of helpers, selection and notes, which an episode's budget
    limits. ``failed`` says that the latest advice ended in an error; what it spent counts for the request's next try.
    """

    key: str
    noted: tuple[tuple[int, Note], ...] = ()
    held: Selection | None = None
    spent: int = 0
    failed: bool = False


class Sessions:
    """The sessions of the latest requests by the hash of their conversation, at most ``size`` of them.

    A conversation is known again by what it begins with: each request holds the one before it. So a request finds the
    session of the latest prefix that was advised on, and conversations that begin alike share it until they differ.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, prefixes: Iterable[str]) -> Session | None:
        """Return the session of the first prefix that is known."""
        return next((found for prefix in prefixes if (found := self._kept.get(prefix)) is not None), None)

    def failed(self, prefix: str) -> Session | None:
        """Return the session of a request whose latest advice failed."""
        found = self._kept.get(prefix)
        return found if found is not None and found.failed else None

    def exchange(self, session: Session, other: Session) -> None:
        """Put another session in the place of one that is still remembered."""
        for prefix, kept in list(self._kept.items()):
            if kept is session:
                self._kept[prefix] = other

    def keep(self, prefix: str, session: Session) -> None:
        """Remember a session as the latest one; the one kept longest is forgotten."""
        self._kept[prefix] = session
        self._kept.move_to_end(prefix)
        while len(self._kept) > self.size:
            self._kept.popitem(last=False)
