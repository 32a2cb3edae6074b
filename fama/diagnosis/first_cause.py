"""From the call that spoilt an episode back to the decision behind it: where a value was taken, a change offered."""

import re
from functools import lru_cache
from typing import Any

from fama.diagnosis.trace import Trace
from fama.dialogue.calls import Call
from fama.dialogue.facts import leaves
from fama.dialogue.language import meanings, words
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
_WORD = re.compile(r"#?[\w-]+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
#: A question for one of several.
_WHICH = re.compile(
    r"\bwhich\b(?! (is|are|was|were|has|have|means?|will|can|includes?|contains?)\b)"
    r"|\b(specify|provide|confirm) the \w+ (id|number)\b",
    re.IGNORECASE,
)
#: A code of letters and digits in any order, or of capitals alone: its form says nothing but its length.
_CODE = re.compile(r"(?=[A-Z0-9]*[A-Z])[A-Z0-9]{5,}")
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


def taken_at(trace: Trace, call: Call, wrong: Any, right: Any, after: int | None = None, path: str = "") -> int:
    """Return the first message of the agent that goes by a wrong value of a change, else where the change was agreed.

    A message that names the right value, too, lists choices and decides nothing. A value that another reference change
    needs was named for that one: then only the call itself mixed them up. Before an output showed the right value, a
    wrong one in words tells what is; a look-up for a wrong date goes by it. ``after`` is the turn that took it back.
    """
    if not is_telling(wrong):
        step = proposed_at(trace, call)
        if isinstance(wrong, int) and not isinstance(wrong, bool):
            return step if _counts(trace, step, path, wrong) else call.step
        named = isinstance(wrong, str) and wrong and wrong.casefold() in spoken(trace.episode.messages[step]).casefold()
        return step if named else call.step
    if any(_holds(action.arguments, wrong) for action in trace.episode.gold_actions or ()):
        return call.step
    start = max(trace.request_step if after is None else after, _shown_at(trace, call, right))
    for step, message in enumerate(trace.episode.messages[: call.step]):
        if message.role == "assistant" and step > start:
            if _looks_on(trace, step, wrong):
                return step
            said = Sources((message,), ())
            if said.find(wrong, 1) and not (is_telling(right) and said.find(right, 1)):
                return step
    return max(proposed_at(trace, call), -1 if after is None else after + 1)


def _shown_at(trace: Trace, call: Call, right: Any) -> int:
    """Return the step of the output that first showed the right value before a change, -1 if none did.

    Until then a wrong value in the agent's words tells what is, not what it chose.
    """
    if not is_telling(right):
        return -1
    return next((seen.step for seen in trace.sources.find(right, call.step) if seen.kind == "tool"), -1)


def _counts(trace: Trace, step: int, path: str, count: int) -> bool:
    """Return whether a line of a message gives a count to what an argument is named after."""
    named = meanings(path.split(".")[-1].replace("_", " "))
    lines = spoken(trace.episode.messages[step]).splitlines()
    return any(named & meanings(line) and re.search(rf"(?<![\w.$]){count}(?![\w.])", line) for line in lines)


def _looks_on(trace: Trace, step: int, wrong: Any) -> bool:
    """Return whether a call of the agent at a step looks something up for a wrong date."""
    return bool(_DATE.fullmatch(str(wrong))) and any(
        value == wrong for made in trace.calls if made.step == step for _, _, value in leaves(made.arguments)
    )


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
    verb = said_verbs(call.name)
    for step in range(trace.request_step + 1, call.step):
        message = trace.episode.messages[step]
        text = spoken(message)
        if message.role != "assistant" or not (verb.search(text) and _COMMITS.search(text)):
            continue
        if _speaks_of(trace, message, step, name, value) and not _refuses(text) and not _only_asks(text):
            return step
    return call.step


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


def _refuses(text: str) -> bool:
    """Return whether a sentence of a text turns a change down."""
    return any(turns_down(sentence) for sentence in split_sentences(text))


def is_telling(value: Any) -> bool:
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
        if path.endswith("id") and "user" not in path and "payment" not in path and is_telling(value):
            return path, value
    return "", None


def _speaks_of(trace: Trace, message: Message, step: int, name: str, value: Any) -> bool:
    """Return whether a message names the object of a change, or only that one was looked at so far."""
    if not name:
        return True
    if Sources((message,), ()).find(value, 1):
        text = spoken(message)
        others = [word for word in set(_WORD.findall(text)) if same_form(word, str(value))]
        if len([word for word in others if shape(word) == shape(str(value))]) > 1:
            return False
        return not (_WHICH.search(text) and len(others) > 1)
    looked = {str(c.arguments[name]) for c in trace.calls if c.step < step and name in c.arguments}
    return looked == {str(value)}


def same_form(word: str, value: str) -> bool:
    """Return whether a word has the form of an identifier: of the same shape, or a code of the same length."""
    if _CODE.fullmatch(value) and _CODE.fullmatch(word):
        return len(word) == len(value) and (word.isalpha() == value.isalpha() or not word.isalpha())
    return shape(word) == shape(value)


def _holds(arguments: str, value: Any) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(str(value))}(?![\w.])", arguments) is not None


@lru_cache(maxsize=256)
def said_verbs(name: str) -> re.Pattern[str]:
    """Return the words by which people speak of what a tool does."""
    first = next(iter(words(name)), name)
    return re.compile(rf"\b({_SAID.get(first, re.escape(first[:5]))})\w*", re.IGNORECASE)
