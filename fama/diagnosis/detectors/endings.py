"""Episodes that end too early, or only because a limit cut them."""

from collections.abc import Iterator

from fama.diagnosis.detectors.action_differences import references
from fama.diagnosis.detectors.gold import LIMIT_REASONS
from fama.diagnosis.trace import Trace
from fama.dialogue.requests import names_change
from fama.dialogue.turns import shorten, spoken
from fama.episodes.records import Evidence


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield a hand-over, a closing or a good-bye with no change made though one was asked for; or a limit."""
    reason = trace.episode.outcome.reason
    if LIMIT_REASONS.search(reason):
        yield Evidence(source="end:limit", category="IFU", step=trace.last_agent_step, quote=f"ended by {reason}")
    if trace.writes or not _change_wanted(trace):
        return
    end = next((call for call in trace.calls if trace.roles.closes(call.name)), None)
    if end is not None:
        kind = "handover" if trace.roles.hands_over(end.name) else "closed"
        yield Evidence(source=f"end:{kind}", category="IFU", step=end.step, quote=end.quote())
    elif trace.last_agent_step is not None:
        said = spoken(trace.episode.messages[trace.last_agent_step])
        quote = shorten(f"no change made; last words: {said}", 200)
        yield Evidence(source="end:unchanged", category="IFU", step=trace.last_agent_step, quote=quote)


def _change_wanted(trace: Trace) -> bool:
    gold = trace.episode.gold_actions
    if gold is not None:
        return any(trace.roles.writes(action.name) for action in references(gold))
    return any(names_change(spoken(m)) for m in trace.episode.messages if m.role == "user")
