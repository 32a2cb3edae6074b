"""Identical calls made again and again, in a row or in a cycle."""

from collections import defaultdict
from collections.abc import Iterator

from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.episodes.records import Evidence

#: The n-th identical call is a loop.
LIMIT = 3


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield one finding per call that was made at least three times, at its third time.

    A call tried again after a passing error is no loop, nor is a look-up after each of several changes.
    """
    made: dict[str, list[Call]] = defaultdict(list)
    for call in trace.calls:
        made[call.key].append(call)
    for calls in made.values():
        tries = [call for call in calls if not call.busy]
        if len(tries) >= LIMIT and not _changing(trace, tries):
            third = tries[LIMIT - 1]
            quote = f"{len(tries)} times {third.quote(160)}"
            yield Evidence(source="loop:identical", category="IFU", step=third.step, quote=quote)


def _changing(trace: Trace, calls: list[Call]) -> bool:
    """Return whether a change came between each pair of the calls, as with a look-up after every step."""
    gaps = zip(calls, calls[1:], strict=False)
    return all(any(a.order < write.order < b.order for write in trace.writes) for a, b in gaps)
