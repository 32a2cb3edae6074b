"""Steps that policies demand before a change, and changes that a rule turned down."""

import re
from collections.abc import Iterator

from fama.diagnosis.trace import Trace
from fama.dialogue.turns import consents, shorten, spoken
from fama.episodes.records import Evidence

_OTHER_ERROR = re.compile(
    r"not found|not available|add up|keyword|argument|operand|unknown|invalid|missing|number of|match|enough|no such",
    re.I,
)


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield an identity not checked before the first change, no yes before a change, a change refused by a rule."""
    yield from _identity(trace)
    if trace.roles.stated.confirm and trace.has_dialogue:
        yield from _confirmation(trace)
    for call in trace.calls:
        if (
            call.failed
            and not call.busy
            and trace.roles.writes(call.name)
            and not _OTHER_ERROR.search(call.result or "")
        ):
            quote = f"{call.quote(100)} → {shorten(call.result or '', 100)}"
            yield Evidence(source="policy:turned_down", category="DCV", step=call.step, quote=quote)


def _identity(trace: Trace) -> Iterator[Evidence]:
    asked = trace.roles.asks_identity or any(trace.roles.identifies(call.name) for call in trace.calls)
    if not asked or not trace.writes:
        return
    first = trace.writes[0]
    checked = any(trace.roles.identifies(call.name) and not call.failed for call in trace.calls[: first.order])
    if not checked:
        yield Evidence(source="policy:identity", category="DCV", step=first.step, quote=first.quote())


def _confirmation(trace: Trace) -> Iterator[Evidence]:
    for call in trace.writes:
        said = trace.user_before(call.step)
        if said is None or not consents(spoken(said)):
            asked = shorten(spoken(said), 80) if said else "nothing"
            quote = f"{call.quote(120)} after the user said: {asked}"
            yield Evidence(source="policy:confirmation", category="DCV", step=call.step, quote=quote)
            return
