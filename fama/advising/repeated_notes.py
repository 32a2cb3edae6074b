"""Replies to requests with notes, freed of a note that some servers repeat."""

from typing import Any

from fama.episodes.foreign.fields import absent
from fama.episodes.foreign.logged_calls import entries_in
from fama.models.prefill import with_prefill


def without_opening(text: str, opening: str) -> str:
    """Return a reply's own words; ``opening`` is that of the advice, also where the server trimmed it."""
    return with_prefill(text, opening).removeprefix(opening)


def own_content(content: Any, opening: str) -> Any:
    """Return a reply's content, a text or a list of parts, with the opening taken off its first text."""
    if isinstance(content, str):
        return without_opening(content, opening)
    parts = list(content) if isinstance(content, list) else []
    for place, part in enumerate(parts):
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            parts[place] = {**part, "text": without_opening(part["text"], opening)}
            return parts
    return content


def ends_words(finish_reason: Any, calls: Any) -> bool:
    """Return whether a piece of a reply says that no more words come: it names its end, or holds a call.

    Servers send an empty text for an end that is not there yet, and lists of nothing for no calls.
    """
    return not absent(finish_reason) or bool(entries_in(calls))


class StreamedReply:
    """Takes the opening off a reply that comes in pieces; holds pieces back only while they may still be part of it."""

    def __init__(self, opening: str) -> None:
        self._opening = opening
        self._held = ""
        self._passing = not opening

    def add(self, piece: str) -> str:
        """Return what may be passed on after one more piece."""
        if self._passing:
            return piece
        self._held += piece
        begun, core = self._held.lstrip(), self._opening.strip()
        # White space that follows the note is a part of it, so that one more character is waited for.
        undecided = not begun.removeprefix(core).strip() if begun.startswith(core) else core.startswith(begun)
        return "" if undecided else self.end()

    def end(self) -> str:
        """Return what is still held back, at the end of the reply."""
        held, self._held, self._passing = self._held, "", True
        return without_opening(held, self._opening) if held else ""
