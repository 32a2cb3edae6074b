"""Calls made again and again, the same ones or such that bring nothing."""

from collections import defaultdict
from collections.abc import Iterator

from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.episodes.records import Evidence

#: The n-th identical call is a loop.
LIMIT = 3


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield one finding per call that was made at least three times, at its second time; and a run that brings nothing.

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
            yield Evidence(source="loop:identical", category="IFU", step=tries[1].step, quote=quote)
    yield from _stalled(trace)


def _stalled(trace: Trace) -> Iterator[Evidence]:
    """Yield a run of calls to the end that bring nothing: no result, or one that was there before."""
    seen: set[str] = set()
    idle: list[Call] = []
    steps = {call.step for call in trace.calls}
    for call in trace.calls:
        spoke = any(i not in steps for i in trace.spoken_steps if idle and idle[-1].step < i < call.step)
        empty = not (call.result or "").strip() or call.result in seen
        if not empty or trace.roles.writes(call.name) or spoke:
            idle = []
        if empty and not trace.roles.writes(call.name):
            idle.append(call)
        seen.add(call.result or "")
    if len(idle) >= LIMIT and idle[-1].step == trace.last_agent_step:
        first = idle[0] if (idle[0].result or "").strip() else idle[1]  # an empty answer is new once
        quote = f"{len(idle)} calls in a row brought nothing, from {first.quote(140)}"
        yield Evidence(source="loop:stalled", category="IFU", step=first.step, quote=quote)


def _changing(trace: Trace, calls: list[Call]) -> bool:
    """Return whether a change came between each pair of the calls, as with a look-up after every step."""
    gaps = zip(calls, calls[1:], strict=False)
    return all(any(a.order < write.order < b.order for write in trace.writes) for a, b in gaps)
