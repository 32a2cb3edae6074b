"""A user whose words lead elsewhere than its instruction: it chose otherwise, asked for more, or never said it."""

import re
from collections.abc import Iterator
from typing import Any

from fama.diagnosis.detectors.compare import Difference, match, references
from fama.diagnosis.first_cause import is_telling, said_verbs, same_form, taken_at
from fama.diagnosis.rows import record_called
from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.dialogue.facts import normal_text
from fama.dialogue.sources import Sources
from fama.dialogue.turns import shorten, spoken
from fama.episodes.records import Evidence

_WORD = re.compile(r"#?[\w-]+")
_BEST = re.compile(r"\b\w{3,}est\b", re.IGNORECASE)
_NO_BEST = frozenset("request interest suggest protest latest guest honest forest harvest invest contest".split())
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ASKS_YES = re.compile(r"\b(reply|respond|answer|say|type)\b[^.?!]{0,60}\b(yes|confirm)\b", re.IGNORECASE)
_YES = re.compile(
    r"\b(yes|yeah|yep|sure|go ahead|please do|do it|i confirm|confirmed|sounds good|that works|agreed?)\b"
    r"|^\W*(proceed|confirm)\b(?! (that|the|if|whether|all|every|what|how))",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"“][^\"”]*[\"”]")
_OPENS_YES = re.compile(r"\W*(yes|yeah|yep|sure|ok(ay)?|correct)\b", re.IGNORECASE)
#: The change is asked for so often without an answer.
_WITHHELD = 4


def detect(trace: Trace) -> Iterator[Evidence]:
    """Yield a choice against the instruction, a wish kept back, a change beyond it, a yes that never came.

    ``user:chose`` is the turn that took another one of several that the agent had offered with the right one,
    ``user:silent`` the turn that took an offer without saying what the instruction prefers, ``user:asked`` the turn
    that asked for a change of a kind that the instruction does not know, ``user:withheld`` the first of several turns
    that gave no yes to a change that the agent had asked it for.
    """
    if trace.episode.gold_actions is None or not trace.has_dialogue or not trace.episode.instruction:
        return
    changes = [action for action in references(trace.episode.gold_actions) if trace.roles.writes(action.name)]
    found = match(changes, trace.writes)
    differing = [(call, item) for _, call, items in found.pairs for item in items if _is_choice(item, call)]
    yield from _chose(trace, differing)
    yield from _silent(trace, differing)
    for call in found.extra:
        if call.name not in {action.name for action in changes}:
            yield from _asked(trace, call)
    if found.missing:
        yield from _withheld(trace)


def _is_choice(item: Difference, call: Call) -> bool:
    """Return whether a difference is between two ids or codes, other than the one that names the changed object.

    Which object it is a user need not know: it is for the agent to find.
    """
    named = next((name for name in call.arguments if name == "id" or name.endswith("_id")), "")
    both = is_telling(item.gold) and is_telling(item.actual)
    return both and item.path != named and not _DATE.fullmatch(str(item.gold))


def _chose(trace: Trace, differing: list[tuple[Call, Difference]]) -> Iterator[Evidence]:
    """Yield the first turn that names another one, or another best, of those that the agent just listed."""
    instruction = normal_text(trace.episode.instruction or "")
    wanted = " ".join(action.arguments for action in trace.episode.gold_actions or ())
    for call, item in differing:
        for step in trace.user_steps:
            offer = trace.episode.messages[step - 1] if step else None
            if offer is None or offer.role != "assistant" or step >= call.step or not _names(offer, item.gold):
                continue
            said = trace.episode.messages[step]
            if _names(said, item.gold):
                return
            others = {word for word in _WORD.findall(spoken(offer)) if same_form(word, str(item.gold))}
            named = [word for word in _WORD.findall(spoken(said)) if word in others and word not in wanted]
            taken = [word for word in named if normal_text(word) not in instruction]
            if any(_stands_open(trace, word, item.gold, step) for word in taken):
                quote = shorten(f"{taken[0]} where {item.gold} was offered, too: {spoken(said)}", 200)
                yield Evidence(source="user:chose", category="CM", step=step, quote=quote)
                return
            best = {found.lower() for found in _BEST.findall(spoken(said))} - _NO_BEST
            if _names(offer, item.actual) and any(word not in instruction for word in best):
                quote = shorten(f"{', '.join(sorted(best))}: not what it was told; {spoken(said)}", 200)
                yield Evidence(source="user:chose", category="CM", step=step, quote=quote)
                return


def _silent(trace: Trace, differing: list[tuple[Call, Difference]]) -> Iterator[Evidence]:
    """Yield the turn that took a wrong row though the instruction names what sets the right one off, never said."""
    instruction = normal_text(trace.episode.instruction or "")
    for call, item in differing:
        right, wrong = (record_called(trace, value) for value in (item.gold, item.actual))
        said = Sources([m for m in trace.episode.messages[: call.step] if m.role == "user"], ())
        for key, value in right.items():
            text = normal_text(str(value))
            if not isinstance(value, str) or len(text) < 3 or wrong.get(key) in (None, value) or is_telling(value):
                continue
            if value.isupper():
                continue  # a code of something that people call by its name
            if re.search(rf"(?<!\w){re.escape(text)}(?!\w)", instruction) and not said.find(value, call.step):
                offered = taken_at(trace, call, item.actual, item.gold)
                step = next((i for i in trace.user_steps if offered < i < call.step), None)
                if step is not None:
                    quote = shorten(f"never said: {key} = {value!r}; {spoken(trace.episode.messages[step])}", 200)
                    yield Evidence(source="user:silent", category="CM", step=step, quote=quote)
                    return


def _asked(trace: Trace, call: Call) -> Iterator[Evidence]:
    """Yield the first turn that asks for a kind of change that the instruction never mentions.

    The opening turn only says in its own words what the instruction wants.
    """
    verb = said_verbs(call.name)
    if verb.search(trace.episode.instruction or ""):
        return
    step = next(
        (i for i in trace.user_steps[1:] if i < call.step and verb.search(spoken(trace.episode.messages[i]))), None
    )
    if step is not None and not _OPENS_YES.match(spoken(trace.episode.messages[step])):
        quote = shorten(f"{spoken(trace.episode.messages[step])} → {call.quote(100)}", 240)
        yield Evidence(source="user:asked", category="CM", step=step, quote=quote)


def _withheld(trace: Trace) -> Iterator[Evidence]:
    """Yield the first of at least four turns in a row that answer a plain request for a yes with anything else."""
    first, count = None, 0
    for step in trace.user_steps:
        before = trace.episode.messages[step - 1] if step else None
        if before is None or before.role != "assistant" or not _ASKS_YES.search(spoken(before)):
            continue
        following = next((i for i in trace.user_steps if i > step), len(trace.episode.messages))
        said = _QUOTED.sub("", spoken(trace.episode.messages[step]))
        if _YES.search(said) or any(step < w.step < following for w in trace.writes):
            first, count = None, 0
            continue
        first, count = step if first is None else first, count + 1
        if count == _WITHHELD:
            quote = shorten(f"asked for a yes again and again: {spoken(trace.episode.messages[first])}", 200)
            yield Evidence(source="user:withheld", category="IFU", step=first, quote=quote)
            return


def _names(message: Any, value: Any) -> bool:
    return bool(Sources((message,), ()).find(value, 1))


def _stands_open(trace: Trace, word: str, right: Any, step: int) -> bool:
    """Return whether outputs do not rule a choice out: no field says no where the right one's says yes."""
    own, other = record_called(trace, word, step), record_called(trace, right, step)
    return not any(value is False and other.get(key) is True for key, value in own.items())
