"""Signs that the user, not the agent, broke the episode."""

import re
from collections.abc import Iterator

from fama.diagnosis.detectors.action_differences import argument_differences, references
from fama.diagnosis.detectors.gold import LIMIT_REASONS
from fama.diagnosis.trace import Trace
from fama.dialogue.facts import TOLD_VALUE, leaves, normal_text
from fama.dialogue.turns import shorten, spoken
from fama.episodes.records import Evidence

_AGREED = re.compile(
    r"(yes|yeah|sure|correct|that's (right|correct))\b.*\b(proceed|go ahead|please|like to)\b", re.I | re.S
)
#: A user that goes on for so many turns, with an agent that made so many calls.
_TURNS, _CALLS = 10, 3
#: By which simulated users end a conversation.
END_MARK = re.compile(r"#+\s*(STOP|END|DONE|OUT-OF-SCOPE|TRANSFER)\s*#+")


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield made-up values, the agent's words said back to it, or a user gone while being asked.

    ``user:invented`` is a value that contradicts the task's instruction, ``user:mirrored`` the agent's own words,
    ``user:left`` an end at a question, ``user:endless`` talk until the limit, ``user:unsaid`` a value of its
    instruction that a reference action needs and no turn of it has.
    """
    yield from _invented(trace)
    yield from _mirrored(trace)
    yield from _left(trace)
    yield from _endless(trace)
    yield from _unsaid(trace)


def _invented(trace: Trace) -> Iterator[Evidence]:
    """Yield values of the user that neither its instruction nor anybody before had, and that the agent went by.

    It counts if a call with that value worked, so that the wrong object was met, or if nothing was changed after it.
    """
    instruction = _letters(trace.episode.instruction or "")
    if not instruction or not trace.has_dialogue:
        return
    origin = trace.sources
    told: set[str] = set()
    for step, message in enumerate(trace.episode.messages):
        for match in TOLD_VALUE.finditer(spoken(message)) if message.role == "user" else ():
            value = match[0].rstrip(".,;:-")
            if value in told or _letters(value) in instruction or origin.find(value, step):
                continue
            told.add(value)
            used = [call for call in trace.calls if call.step > step and _letters(value) in _letters(call.raw)]
            spoilt = not any(write.step > step for write in trace.writes)
            if used and (spoilt or any(not call.failed for call in used)):
                yield Evidence(source="user:invented", category="CM", step=step, quote=shorten(spoken(message), 160))


def _mirrored(trace: Trace) -> Iterator[Evidence]:
    """Yield the second time that the user only repeated the agent's words, as small models do that play one."""
    messages = trace.episode.messages
    found = 0
    for step, (before, message) in enumerate(zip(messages, messages[1:], strict=False), 1):
        if (before.role, message.role) != ("assistant", "user") or before.tool_calls:
            continue
        said = _letters(spoken(message))
        if len(said) > 12 and said == _letters(spoken(before)):
            found += 1
            if found == 2:
                yield Evidence(source="user:mirrored", category="IFU", step=step, quote=shorten(spoken(message), 160))
                return


def _letters(text: str) -> str:
    return re.sub(r"\W", "", normal_text(text))


def _left(trace: Trace) -> Iterator[Evidence]:
    """Yield a good-bye of the user while the agent was asking for something it needed."""
    messages = trace.episode.messages
    if len(messages) < 2 or messages[-1].role != "user" or messages[-2].role != "assistant":
        return
    asked, last = spoken(messages[-2]), spoken(messages[-1])
    answer = END_MARK.sub("", last).strip()
    if not END_MARK.search(last):
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


def _endless(trace: Trace) -> Iterator[Evidence]:
    """Yield the first turn after the last reference action was done, where the user talked on until the limit.

    An agent that calls nothing is not meant: it keeps the user waiting.
    """
    turns = trace.user_steps
    if len(turns) < _TURNS or len(trace.calls) < _CALLS or not LIMIT_REASONS.search(trace.episode.outcome.reason):
        return
    wanted = references(trace.episode.gold_actions or ())
    done = [
        c.step
        for c in trace.calls
        if any(r.name == c.name and not argument_differences(r.arguments, c.arguments) for r in wanted)
    ]
    step = next((i for i in turns if i > max(done, default=-1)), turns[-1])
    quote = f"{len(turns)} turns until the limit; {shorten(spoken(trace.episode.messages[step]), 140)}"
    yield Evidence(source="user:endless", category="IFU", step=step, quote=quote)


def _unsaid(trace: Trace) -> Iterator[Evidence]:
    """Yield a value of the instruction that a reference action needs and that neither a turn nor an output has."""
    instruction = _letters(trace.episode.instruction or "")
    if not instruction or not trace.has_dialogue:
        return
    turns = trace.user_steps
    for action in references(trace.episode.gold_actions or ()):
        for path, _, value in leaves(action.arguments):
            text = _letters(str(value))
            if len(text) < 4 or not re.search(r"\d", text) or text not in instruction:
                continue
            if not trace.sources.find(value, len(trace.episode.messages)) and len(turns) > 1:
                quote = f"never said: {path} = {value!r}"
                yield Evidence(source="user:unsaid", category="IFU", step=turns[-2], quote=shorten(quote, 160))
                return
