"""Values used in calls or told to the user that stood nowhere before."""

import re
from collections.abc import Iterator
from typing import Any

from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.dialogue.facts import IDENTIFIER, leaves
from fama.dialogue.sources import Sources
from fama.dialogue.turns import shorten, spoken
from fama.episodes.records import Evidence, Message

_FREE = re.compile(
    r"summary|thought|reason|note|comment|message|expression|description|content|text|query|details", re.I
)
_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2})?|\d{1,2}\s?[ap]m", re.I)
_DONE = (
    "cancel|return|refund|exchang|updat|chang|modif|book|add|remov|process|reset|upgrad|downgrad|switch|schedul|submit"
)
_CLAIM = re.compile(
    rf"(\b(i have|i've|we have|we've) (now |just |successfully |already )*({_DONE})\w*ed\b|"
    rf"\b(has|have) (now |just )?been (now )?successfully ({_DONE})\w*)[^.!?\n]*",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(r"(e\.?g\.?,?|such as|for example,?|example:?|like|format:?)\W*$", re.IGNORECASE)
_DATE_TEXT = re.compile(r"\d{4}-\d{2}-\d{2}")


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield one finding for each invented value, and for work said to be done that was not.

    ``invented:argument`` in a change, ``invented:blocked`` in a look-up that failed for good, ``invented:lookup`` in
    one that found something, ``invented:stated`` in words to the user, ``invented:claim``.
    """
    origin = trace.sources
    told: set[str] = set()
    for call in trace.calls:
        if not trace.has_dialogue and not (trace.episode.instruction and trace.roles.identifies(call.name)):
            continue  # without the outputs of tools, only what a user must have said can be known to be invented
        for path, _, value in leaves(call.arguments):
            if not trace.roles.writes(call.name) and _DATE_TEXT.fullmatch(str(value)):
                continue  # looking at other days is no claim
            if _checkable(path, value) and not origin.supported(value, call.step) and str(value) not in told:
                told.add(str(value))
                if _made_good(trace, call):
                    continue
                quote = shorten(f"{call.name}: {path} = {value!r}", 200)
                kind = "argument" if trace.roles.writes(call.name) else "blocked" if call.failed else "lookup"
                yield Evidence(source=f"invented:{kind}", category="CM", step=call.step, quote=quote)
    for step, message in enumerate(trace.episode.messages):
        yield from _stated(origin, step, message, told)
    yield from _claimed(trace)


def _claimed(trace: Trace) -> Iterator[Evidence]:
    """Yield the first claim that a change is done while no change was made until then."""
    first = trace.writes[0].step if trace.writes else len(trace.episode.messages)
    for step, message in enumerate(trace.episode.messages[:first]):
        said = spoken(message)
        if message.role == "assistant" and not message.tool_calls and (found := _CLAIM.search(said)):
            asked = "?" in said[found.end() : found.end() + 60]
            if not asked:
                yield Evidence(source="invented:claim", category="CM", step=step, quote=shorten(found[0], 160))
                return


def _checkable(path: str, value: Any) -> bool:
    """Return whether a value is an identifier, e-mail or date; not a name, choice, count, time or free text."""
    if not isinstance(value, str) or _FREE.search(path):
        return False
    text = value.strip()
    if len(text) < 4 or _TIME.fullmatch(text) or (" " in text and not re.fullmatch(r"[\d\s()+.-]+", text)):
        return False
    return bool(re.search(r"\d|@", text))


def _made_good(trace: Trace, call: Call) -> bool:
    """Return whether the call did no harm: it failed, and the same tool succeeded later."""
    return call.failed and any(c.name == call.name and c.order > call.order and not c.failed for c in trace.calls)


def _stated(origin: Sources, step: int, message: Message, told: set[str]) -> Iterator[Evidence]:
    if message.role != "assistant" or message.tool_calls:
        return
    text = spoken(message)
    for match in IDENTIFIER.finditer(text):
        value = match[0].rstrip(".,;:")
        if len(value) < 5 or _EXAMPLE.search(text[: match.start()]):
            continue
        if value in told or _DATE_TEXT.search(value) or origin.supported(value, step):
            continue
        told.add(value)
        yield Evidence(source="invented:stated", category="CM", step=step, quote=shorten(value, 120))
