"""Endpoints that refuse requests with notes, remembered so that they are not asked twice for every request."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

#: Statuses by which a server refuses a request, maybe for its note alone: it may be too long with it, seem to a content
#: filter to be an attack, or open a reply where none can be opened.
REFUSALS = frozenset((400, 413, 422))
#: Requests in a row that are taken only without their notes, after which a model gets none for a while.
IN_A_ROW = 3
#: Seconds of such a pause; then the next request has its notes again, and where it is refused, too, a pause follows.
PAUSE_SECONDS = 300.0
#: Models that are remembered; their names come from clients.
_MODELS = 1024


@dataclass
class _Run:
    refused: int = 0
    until: float = 0.0


class NoteRefusals:
    """Counts per model, named by its endpoint and name, the requests in a row that it took only without their notes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._runs: OrderedDict[str, _Run] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def paused(self, model: str) -> bool:
        """Return whether a model gets no notes for now."""
        run = self._runs.get(model)
        return run is not None and self._clock() < run.until

    def refused(self, model: str) -> bool:
        """Count a request that was refused with its notes and taken without; return whether a pause begins with it."""
        run = self._runs.setdefault(model, _Run())
        self._runs.move_to_end(model)
        while len(self._runs) > _MODELS:
            self._runs.popitem(last=False)
        run.refused += 1
        if run.refused < IN_A_ROW or self._clock() < run.until:
            return False
        run.until = self._clock() + PAUSE_SECONDS
        return True

    def taken(self, model: str) -> None:
        """Forget the refusals of a model that took a request with its notes."""
        self._runs.pop(model, None)
