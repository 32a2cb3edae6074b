"""Endpoints that refuse requests with notes, remembered so that they are not asked twice for every request."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import dropwhile
from threading import Lock
from typing import Any

#: Statuses by which a server refuses a request, maybe for its note alone: it may be too long with it, seem to a content
#: filter to be an attack, or open a reply where none can be opened.
REFUSALS = frozenset((400, 413, 422))
#: Requests of a conversation in a row that are taken only without their notes, after which it gets none for a while;
#: and conversations, after which their model gets none: a single one may be too long for more.
IN_A_ROW = 3
#: Seconds of such a pause; then the next request has its notes again, and where it is refused, too, a pause follows.
PAUSE_SECONDS = 300.0
#: Models and conversations that are remembered; they come from clients.
_KEPT = 1024


@dataclass
class _Run:
    refused: set[Hashable] = field(default_factory=set)
    until: float = 0.0


class NoteRefusals:
    """Counts the requests in a row that a model took only without their notes, by conversation and over all of them.

    A model is named by its endpoint and name, a conversation as ``conversation_opening`` does. Threads may share it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._runs: OrderedDict[tuple[str, str], _Run] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def paused(self, model: str, conversation: str) -> bool:
        """Return whether a conversation with a model gets no notes for now."""
        with self._lock:
            found = (self._runs.get(key) for key in _keys(model, conversation))
            return any(run is not None and self._clock() < run.until for run in found)

    def refused(self, model: str, conversation: str) -> str | None:
        """Count a request that was refused with its notes and taken without.

        Return who gets none for a while from now on, in words; None where no pause begins.
        """
        with self._lock:
            of_model, of_conversation = _keys(model, conversation)
            alone = self._begins(of_conversation, object())
            whole = self._begins(of_model, conversation)
            while len(self._runs) > _KEPT:
                self._runs.popitem(last=False)
        return "the model" if whole else "a conversation with the model" if alone else None

    def taken(self, model: str, conversation: str) -> None:
        """Forget the refusals of a model and a conversation: a request was taken with its notes."""
        with self._lock:
            for key in _keys(model, conversation):
                self._runs.pop(key, None)

    def _begins(self, key: tuple[str, str], refused: Hashable) -> bool:
        run = self._runs.setdefault(key, _Run())
        self._runs.move_to_end(key)
        if len(run.refused) < IN_A_ROW:
            run.refused.add(refused)
        if len(run.refused) < IN_A_ROW or self._clock() < run.until:
            return False
        run.until = self._clock() + PAUSE_SECONDS
        return True


def conversation_opening(messages: Iterable[Any]) -> str:
    """Return what tells a conversation from others: a hash of its first words, which all of its requests have."""
    first = next(dropwhile(lambda one: _role(one) != "user", messages), None)
    return sha256(repr(first).encode("utf-8", "surrogatepass")).hexdigest()


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, dict) else getattr(message, "role", None)


def _keys(model: str, conversation: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (model, ""), (model, conversation)
