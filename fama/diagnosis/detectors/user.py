"""Signs that the user, not the agent, broke the episode."""

import re
from collections.abc import Iterator

from fama.diagnosis.detectors.compare import Reference, differences, references
from fama.diagnosis.detectors.told import LIMIT_REASONS
from fama.diagnosis.first_cause import same_form
from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.dialogue.facts import TOLD_VALUE, leaves, normal_text
from fama.dialogue.language import words
from fama.dialogue.turns import shorten, spoken
from fama.episodes.records import Evidence

_AGREED = re.compile(
    r"(yes|yeah|sure|correct|that's (right|correct))\b.*\b(proceed|go ahead|please|like to|i (want|need))\b",
    re.I | re.S,
)
#: A user that goes on for so many turns, with an agent that made so many calls.
_TURNS, _CALLS = 10, 3
_DATE = re.compile(r"\b(\d{4})-(\d{2}-\d{2})\b")
#: What an instruction says of who the user is, by the name under which it is asked for.
_WHO = (
    ("phone", re.compile(r"\(?\b\d{3}\)?[ -]\d{3}-\d{4}\b")),
    ("email", re.compile(r"\b[\w.+-]{1,64}@[\w-]+\.\w+")),
)
_WANTS = re.compile(r"\?|\b(provide|share|give|need|tell|confirm)\b", re.IGNORECASE)
_STOP = re.compile(r"#+\s*(STOP|END|DONE|OUT-OF-SCOPE|TRANSFER)\s*#+")


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield made-up values, the agent's words said back to it, or a user gone while being asked.

    ``user:invented`` is a value that contradicts the task's instruction, ``user:mirrored`` the agent's own words,
    ``user:left`` an end at a question, ``user:endless`` talk until the limit, ``user:unsaid`` a value of its
    instruction that a reference action needs and no turn of it has, ``user:kept_back`` one that it was asked for.
    """
    yield from _invented(trace)
    yield from _mirrored(trace)
    yield from _left(trace)
    yield from _endless(trace)
    yield from _unsaid(trace)
    yield from _kept_back(trace)
    yield from _misdated(trace)


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
            spoilt = not any(write.step > step for write in trace.writes) and not _made_good(trace, used)
            if used and (spoilt or any(not call.failed for call in used)):
                yield Evidence(source="user:invented", category="CM", step=step, quote=shorten(spoken(message), 160))


def _made_good(trace: Trace, used: list[Call]) -> bool:
    """Return whether all calls with a value only tried to find who speaks, failed, and another one found it."""
    identifying = [call for call in trace.calls if trace.roles.identifies(call.name)]
    return all(call.failed and call in identifying for call in used) and any(not call.failed for call in identifying)


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


def _endless(trace: Trace) -> Iterator[Evidence]:
    """Yield the first turn after the last change of the reference's kinds, where the user talked on until the limit.

    Where none was made, the last of its look-ups counts; where the reference has no changes, its last action.

    An agent that calls nothing is not meant: it keeps the user waiting.
    """
    turns = trace.user_steps
    if len(turns) < _TURNS or len(trace.calls) < _CALLS or not LIMIT_REASONS.search(trace.episode.outcome.reason):
        return
    wanted = references(trace.episode.gold_actions or ())
    kinds = {action.name for action in wanted if trace.roles.writes(action.name)}
    done = [c.step for c in trace.calls if c.name in kinds and not c.failed]
    if not done:
        last = [action.name for action in wanted[-1:] if not kinds]
        done = [c.step for c in trace.calls if not c.failed and (c.name in last or _is_done(c, wanted))]
    step = next((i for i in turns if i > max(done, default=-1)), turns[-1])
    quote = f"{len(turns)} turns until the limit; {shorten(spoken(trace.episode.messages[step]), 140)}"
    yield Evidence(source="user:endless", category="IFU", step=step, quote=quote)


def _kept_back(trace: Trace) -> Iterator[Evidence]:
    """Yield the turn that answers a request for something of the instruction without it, never said and needed.

    A turn that gives another value of that form is no such turn. It counts where a change was never made, of what a
    reference action needs and, where nobody was identified, of who the user is.
    """
    told = trace.episode.instruction or ""
    gold = references(trace.episode.gold_actions or ())
    made = {call.name for call in trace.writes}
    if not told or not trace.has_dialogue or not any(trace.roles.writes(a.name) and a.name not in made for a in gold):
        return
    needed = [(path, str(value)) for action in gold for path, _, value in leaves(action.arguments)]
    needed = [(path, value) for path, value in needed if re.search(r"\d", value) and _letters(value) in _letters(told)]
    if not any(trace.roles.identifies(call.name) and not call.failed for call in trace.calls):
        needed += [(name, found[0]) for name, form in _WHO for found in form.finditer(told)]
    for path, value in needed:
        end = len(trace.episode.messages)
        if len(_letters(value)) < 4 or trace.sources.find(value, end) or trace.sources.supported(value, end):
            continue
        names = [re.escape(word) for word in words(path.split(".")[-1])]
        for step in trace.user_steps:
            asked = trace.episode.messages[step - 1]
            before = spoken(asked) if asked.role == "assistant" else ""
            if _WANTS.search(before) and all(re.search(rf"\b{name}\b", before, re.IGNORECASE) for name in names):
                said = spoken(trace.episode.messages[step])
                if not any(same_form(word, value) for word in re.findall(r"#?[\w@-]+(?:[.][\w@-]+)*", said)):
                    quote = shorten(f"asked for {path}, {value}: {said}", 200)
                    yield Evidence(source="user:kept_back", category="IFU", step=step, quote=quote)
                    return


def _misdated(trace: Trace) -> Iterator[Evidence]:
    """Yield a date of the user's with a year that its instruction does not have and the reference has otherwise."""
    told = trace.episode.instruction or ""
    actions = " ".join(action.arguments for action in trace.episode.gold_actions or ())
    wanted = set(_DATE.findall(actions))
    for step in trace.user_steps if told and trace.has_dialogue else ():
        for year, day in _DATE.findall(spoken(trace.episode.messages[step])):
            other = [had for had, same in wanted if same == day and had != year]
            known = trace.sources.find(f"{year}-{day}", step) or (year, day) in wanted or year in told
            if other and not known and not trace.writes:
                quote = shorten(f"{year}-{day}, not {other[0]}: {spoken(trace.episode.messages[step])}", 160)
                yield Evidence(source="user:invented", category="CM", step=step, quote=quote)
                return


def _is_done(call: Call, wanted: list[Reference]) -> bool:
    """Return whether a call is one of the reference's."""
    return any(action.name == call.name and not differences(action.arguments, call.arguments) for action in wanted)


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
