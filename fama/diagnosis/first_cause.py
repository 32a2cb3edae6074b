"""From the call that spoilt an episode back to the decision behind it: where a value was taken, a change offered."""

import re
from functools import lru_cache
from typing import Any

from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.dialogue.facts import leaves
from fama.dialogue.language import meaning, meanings, name_words
from fama.dialogue.requests import turns_down
from fama.dialogue.sources import Sources
from fama.dialogue.turns import spoken
from fama.dialogue.values import shape
from fama.episodes.records import Message

#: Words by which an agent commits itself to a change that it names.
_COMMITS = re.compile(
    r"\b(proceed|confirm\w*|go(ing)? ahead|eligible|possible|would you like (me )?to|shall i|should i|do you want"
    r"|i(?:'ll| will| can| am going to)|we(?:'ll| will| can)|let(?: me|'s|s)|ready to|to be (made|done))\b",
    re.IGNORECASE,
)
#: A sum of money, or a number that is said to be one.
AMOUNT = re.compile(r"(?:[$€£]\s?|\bUSD\s)(\d[\d,]*(?:\.\d+)?)")
#: As in ``12,50``; three digits are thousands.
_DECIMAL_COMMA = re.compile(r",(?=\d{1,2}$)")
_TELLING = 10
_WORD = re.compile(r"#?[\w-]+")
_LOOKS = re.compile(r"\b(which|provide|what is|could you (please )?(share|give|tell|let))\b", re.IGNORECASE)
#: Verbs of one meaning: what an agent says it will do, by the verb of the tool that does it.
_SAID = {
    "modify": "modif|chang|updat|switch|upgrad|downgrad",
    "update": "updat|modif|chang|upgrad|downgrad|add|remov",
    "send": "send|issu|certificate|compensat|offer|credit|voucher",
    "book": "book",
    "exchange": "exchang|swap|replac",
    "return": "return|refund",
    "cancel": "cancel",
    "schedule": "schedul|book|appointment",
    "reschedule": "reschedul|mov|chang",
}


def taken_at(trace: Trace, call: Call, wrong: Any, right: Any, after: int | None = None) -> int:
    """Return the first message of the agent that goes by a wrong value of a change, else where the change was agreed.

    A message that names the right value, too, lists choices and decides nothing. A value that another reference change
    needs was named for that one: then only the call itself mixed them up. ``after`` is the turn that took it back.
    """
    if not _is_telling(wrong):
        step = proposed_at(trace, call)
        named = isinstance(wrong, str) and wrong and wrong.casefold() in spoken(trace.episode.messages[step]).casefold()
        return step if named else call.step
    if any(_holds(action.arguments, wrong) for action in trace.episode.gold_actions or ()):
        return call.step
    start = trace.request_step if after is None else after
    choices = set(_said_at(trace, right, call.step)) if _is_telling(right) else set()
    for step in _said_at(trace, wrong, call.step):
        if step > start and step not in choices:
            return step
    return max(proposed_at(trace, call), -1 if after is None else after + 1)


def _said_at(trace: Trace, value: Any, before: int) -> list[int]:
    """Return the agent's messages before a step that name a value."""
    return [seen.step for seen in trace.sources.find(value, before) if seen.kind == "agent"]


def proposed_at(trace: Trace, call: Call) -> int:
    """Return the agent's words that the user answered right before a change; the call's own message without any."""
    spoke = next((i for i in range(call.step - 1, -1, -1) if trace.episode.messages[i].role == "user"), -1)
    for step in range(spoke - 1, max(trace.request_step, -1), -1):
        message = trace.episode.messages[step]
        if message.role == "assistant":
            return step if spoken(message) and not message.tool_calls else call.step
    return call.step


def offered_at(trace: Trace, call: Call) -> int:
    """Return the first message in which the agent commits itself to a change, in words; the call's own without one."""
    name, value = _object_of(call)
    verb = _verbs(call.name)
    for step in range(trace.request_step + 1, call.step):
        message = trace.episode.messages[step]
        text = spoken(message)
        if message.role != "assistant" or not (verb.search(text) and _COMMITS.search(text)):
            continue
        if _speaks_of(trace, message, step, name, value) and not _refuses(text) and not _only_asks(text):
            return step
    return call.step


def answered_at(trace: Trace, value: str) -> int | None:
    """Return the agent's answer to the last question about a value that an output held before; None without one.

    The question shares a word with the field of the output that holds the value: "the tracking number".
    """
    for call in trace.calls:
        for path, _, leaf in call.leaves:
            if str(leaf) != value:
                continue
            field = frozenset(meaning(word) for word in name_words(path.split(".")[-1])) - {"id"}
            for step in range(len(trace.episode.messages) - 1, call.result_step or call.step, -1):
                message = trace.episode.messages[step]
                if message.role == "user" and field & meanings(spoken(message)):
                    return next((i for i in trace.spoken_steps if i > step), None)
    return None


def computed_at(trace: Trace) -> tuple[int, str] | None:
    """Return the first number that the agent told and no output, user or rule had, and where it was computed."""
    for step in trace.spoken_steps:
        for match in AMOUNT.finditer(spoken(trace.episode.messages[step])):
            number = _DECIMAL_COMMA.sub(".", match[1]).replace(",", "")
            value = float(number)
            if value >= _TELLING and not trace.sources.supported(int(value) if value.is_integer() else value, step):
                return step, match[0]
            made = [c for c in trace.calls if c.step < step and not trace.roles.writes(c.name) and _gives(c, value)]
            if made and not trace.sources.find(number, made[0].step):
                return made[0].step, match[0]
    return None


def split_sentences(text: str) -> list[str]:
    """Return a text cut behind marks of a sentence's end and at line ends, marks kept."""
    return re.split(r"(?<=[.?!])\s+|\n+", text)


def said_first(trace: Trace, pattern: re.Pattern[str]) -> tuple[int, str] | None:
    """Return the agent's first message to the user that a pattern meets, and the sentence."""
    for step in trace.spoken_steps:
        for sentence in split_sentences(spoken(trace.episode.messages[step])):
            if pattern.search(sentence):
                return step, sentence
    return None


def _gives(call: Call, value: float) -> bool:
    """Return whether a call did nothing but compute a number."""
    try:
        return float((call.result or "").strip()) == value
    except ValueError:
        return False


def _refuses(text: str) -> bool:
    """Return whether a sentence of a text turns a change down."""
    return any(turns_down(sentence) for sentence in split_sentences(text))


def _is_telling(value: Any) -> bool:
    """Return whether a value is one of a kind, so that a text that holds it speaks of it: an id, a date, a sum."""
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, int | float):
        return abs(value) >= 100 or not float(value).is_integer()
    return len(str(value)) > 3 and bool(re.search(r"\d|@", str(value)))


def _only_asks(text: str) -> bool:
    last = text.strip().splitlines()[-1] if text.strip() else ""
    return bool(_LOOKS.search(last)) and not re.search(r"\b(yes|confirm|proceed)\b", text, re.IGNORECASE)


def _object_of(call: Call) -> tuple[str, Any]:
    """Return the first argument of a change that names its object, and the value; ("", None) where there is none."""
    for path, _, value in leaves(call.arguments):
        names = path.lower()
        if names.endswith("id") and "user" not in names and "payment" not in names and _is_telling(value):
            return path, value
    return "", None


def _speaks_of(trace: Trace, message: Message, step: int, name: str, value: Any) -> bool:
    """Return whether a message names the object of a change, or only that one was looked at so far."""
    if not name:
        return True
    if Sources((message,), ()).find(value, 1):
        return len({word for word in _WORD.findall(spoken(message)) if shape(word) == shape(str(value))}) < 2
    looked = {str(c.arguments[name]) for c in trace.calls if c.step < step and name in c.arguments}
    return looked == {str(value)}


def _holds(arguments: str, value: Any) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(str(value))}(?![\w.])", arguments) is not None


@lru_cache(maxsize=256)
def _verbs(name: str) -> re.Pattern[str]:
    first = next(iter(name_words(name)), name)
    return re.compile(rf"\b({_SAID.get(first, re.escape(first[:5]))})\w*", re.IGNORECASE)
