"""Errors of tools that were taken as the last word."""

from collections.abc import Iterator

from fama.diagnosis.trace import Trace
from fama.episodes.records import Evidence


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield passing errors never tried again, and changes that failed and were given up."""
    seen: set[tuple[str, bool]] = set()
    for call in trace.calls:
        if not call.failed or (call.name, call.busy) in seen:
            continue
        again = [other for other in trace.calls if other.name == call.name and other.order > call.order]
        writes = trace.roles.writes(call.name)
        given_up = not again if call.busy else writes and not any(not other.failed for other in again)
        if given_up:
            seen.add((call.name, call.busy))
            kind = "transient" if call.busy else "given_up"
            quote = f"{call.quote(120)} → {' '.join((call.result or '').split())[:80]}"
            yield Evidence(source=f"retry:{kind}", category="IFU", step=call.step, quote=quote)
