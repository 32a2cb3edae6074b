"""Signs that the user, not the agent, broke the episode."""

import re
from collections.abc import Iterator

from fama.diagnosis.trace import Trace, shorten, spoken
from fama.episodes.records import Evidence

_AGREED = re.compile(
    r"(yes|yeah|sure|correct|that's (right|correct))\b.*\b(proceed|go ahead|please|like to)\b", re.I | re.S
)
_STOP = re.compile(r"#+\s*(STOP|END|DONE|OUT-OF-SCOPE|TRANSFER)\s*#+")


def detect(trace: Trace) -> Iterator[Evidence]:
    """The user left while the agent was asking for something it needed."""
    messages = trace.episode.messages
    if len(messages) < 2 or messages[-1].role != "user" or messages[-2].role != "assistant":
        return
    asked, last = spoken(messages[-2]), spoken(messages[-1])
    answer = _STOP.sub("", last).strip()
    if not _STOP.search(last):
        return
    if not trace.writes and _AGREED.match(answer):
        yield Evidence(source="user:left", category="IFU", step=len(messages) - 1, quote=shorten(last, 160))
        return
    if len(answer) > 40:
        return
    question = re.search(
        r"(please (confirm|provide|tell|let me know)|would you like|could you|do you)[^?]*\?", asked, re.I
    )
    if question and not re.search(r"anything else|further|other (request|question)|more help|else i can", asked, re.I):
        yield Evidence(source="user:left", category="IFU", step=len(messages) - 1, quote=shorten(question[0], 160))
