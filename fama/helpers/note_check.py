"""The check that every note passes before it is injected; a note that fails is dropped and counted."""

import re
import unicodedata

from fama.dialogue.facts import known_facts, normal_token, stated_facts, visible_texts
from fama.dialogue.language import STOP
from fama.dialogue.tools import views
from fama.dialogue.values import is_id, thing_of
from fama.episodes.state import RESPOND, VisibleState
from fama.helpers.base import Helper
from fama.text.tokens import estimate_tokens

#: So many words in a row, the same as in a user's or a tool's text, must be within quotes; two Chinese or Japanese
#: signs, between which no blanks are set, count as a word.
COPIED_WORDS = 5

_QUOTED = re.compile(r"\"[^\"]*\"|“[^“”]*”|「[^「」]*」")
_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_MARKERS = re.compile(
    r"<[|\uff5c]|[|\uff5c]>|<</?SYS>>|</?s>|<(?:bos|eos|pad|unk|mask|(?:start|end)_of_\w+|(?:start|end)_function_call)>"
    r"|\[/?(?:INST|THINK|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|\u25c1/?think\u25b7"
    r"|</?(?:think|tool_call|tool_response|tools)>|<(?:function|invoke|parameter)(?:=|\s+name=)"
    r"|\{\{|\}\}|\{%|%\}|\{#|#\}|```|###"
    r"|(?:^|[\"“.!?]\s*)(?:system|assistant|user|human|developer)\s*:"
    r"|\b(?:Thought|Action|Action Input|Observation|API output)\s*:",
    re.IGNORECASE,
)
#: Two numbers that a sign joins, as in ``10:45`` or ``12,50``: each alone may stand anywhere. No thousands, no years.
_JOINED = re.compile(r"(?<!\d)(\d+)(:|,(?!\d{3,4}(?!\d)))(?=(\d+))")
_SNAKE = re.compile(r"(?<![\w@.-])[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+(?![\w@])")
_CAMEL = re.compile(r"(?<![\w@.-])[a-z]+[A-Z]\w*(?![\w@])")
_AFTER = re.compile(r"\b(?:tool|call)(?:s|ed|ing)?\b\s*:?\s+[\"'“]?([A-Za-z][\w-]*)", re.IGNORECASE)
#: Words that a code of capital letters stands behind, beside those for what the tools' ids name.
_NAMING = ("code", "id", "number", "reference")
_BAD_CATEGORIES = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cs"})


def check_note(helper: Helper, text: str, state: VisibleState) -> str | None:
    """Return why a note may not be injected, or None when it may.

    It must fit the helper's token cap and one line; it may name only tools that exist and state only
    ids, amounts, dates, times and addresses that the visible state holds; words of users and tools stand in
    double quotes; nothing in it may look like a chat template or a turn of somebody's. Never raises.
    """
    return (
        _form_fault(helper, text)
        or _tool_fault(text, state)
        or _fact_fault(text, state)
        or _quotation_fault(text, state)
    )


def _form_fault(helper: Helper, text: str) -> str | None:
    if not text.strip():
        return "empty"
    if any(unicodedata.category(sign) in _BAD_CATEGORIES for sign in text):
        return "more than one line, or control characters"
    if found := _MARKERS.search(text):
        return f"template or role marker {found[0].strip()!r}"
    tokens = estimate_tokens(text)
    if tokens > helper.token_cap:
        return f"{tokens} tokens, over the cap of {helper.token_cap}"
    return None


def _tool_fault(text: str, state: VisibleState) -> str | None:
    tools = state.tool_names() | {RESPOND}
    named = [*_SNAKE.findall(text), *_CAMEL.findall(text)]
    named += [word for word in _AFTER.findall(text) if word.lower() not in STOP]
    named += [word for word in _codes(text, state) if word.lower() not in STOP]
    unknown = [name for name in dict.fromkeys(named) if name not in tools]
    if unknown:
        visible = {word.lower() for part in visible_texts(state) for word in re.findall(r"[\w-]+", part)}
        for name in unknown:
            if name.lower() not in visible:
                return f"no tool or visible value is called {name!r}"
    return None


def _codes(text: str, state: VisibleState) -> list[str]:
    """Return codes of capital letters alone, behind a word for what they name; other words in capitals are loud."""
    things = {thing_of(name) for tool in views(state) for name in tool.parameters if is_id(name)}
    nouns = "|".join(re.escape(noun) for noun in sorted({*_NAMING, *things}))
    return re.findall(rf"\b(?i:(?:{nouns})s?)\s*(?i:is\b|:|#)?\s*[\"'“#]?([A-Z]{{5,}})(?![\w@])", text)


def _fact_fault(text: str, state: VisibleState) -> str | None:
    stated = stated_facts(text)
    if not stated:
        return None
    known: set[str] = set()
    for part in visible_texts(state):
        known |= known_facts(part)
    for fact in stated:
        if fact not in known:
            return f"{fact!r} is not in the visible state"
    if joined := _joined(text):
        seen = set().union(*map(_joined, visible_texts(state)))
        for pair in joined:
            if pair not in seen:
                return f"{pair!r} is not in the visible state"
    return None


def _joined(text: str) -> list[str]:
    """Return the pairs of numbers that a sign joins, normalised; of ``10:45:00`` two."""
    return [f"{normal_token(one)}{sign}{normal_token(other)}" for one, sign, other in _JOINED.findall(text)]


def _grams(text: str) -> set[tuple[str, ...]]:
    found = _windows([word.lower() for word in _WORD.findall(text)], COPIED_WORDS)
    return found if text.isascii() else found | _windows(_UNSPACED.findall(text), 2 * COPIED_WORDS)


def _windows(pieces: list[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(pieces[i : i + size]) for i in range(len(pieces) - size + 1)}


def _quotation_fault(text: str, state: VisibleState) -> str | None:
    own = set().union(*(_grams(part) for part in _QUOTED.split(text)))
    if not own:
        return None
    for message in state.messages:
        if message.role in ("user", "tool") and (copied := own & _grams(message.content or "")):
            return f"words of a {message.role} without quotes: {' '.join(sorted(copied)[0])!r}"
    return None
