"""Separation of a reasoning model's thoughts from what it says and does."""

import re
from typing import NamedTuple

_NAMES = (
    "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|scratch_pad"
    "|inner_monologue|internal_monologue|inner_thoughts|antthinking|analysis"
)
_TAG = re.compile(
    rf"(?P<open><(?:\w+:)?(?:{_NAMES})(?:\s[^<>]*)?>|<\|(?:begin_)?(?:{_NAMES})\|>|\[THINK\]|\u25c1think\u25b7|<\|(?:START_THINKING|begin_of_thought)\|>"
    r"|<\|channel>(?:thought\b)?|<unused94>(?:thought\b)?)"
    rf"|(?P<close></(?:\w+:)?(?:{_NAMES})\s*>|<\|(?:/|end_)(?:{_NAMES})\|>|\[/THINK\]|\u25c1/think\u25b7|<\|(?:END_THINKING|end_of_thought)\|>"
    r"|<channel\|>|<unused95>)",
    re.IGNORECASE,
)


class Separated(NamedTuple):
    """``words`` without thoughts; ``unclosed`` if a thought has no end, which then reaches to the end of the text."""

    words: str
    thought: str
    unclosed: bool


def separate_thoughts(text: str) -> Separated:
    """Take thoughts out of a text: closed, nested, unclosed, or closed only (their start was part of the prompt).

    An opening tag that is repeated at once counts as one. A closing tag without an opening one makes a thought of all
    that comes before it.
    """
    words: list[str] = []
    thoughts: list[str] = []
    depth = position = 0
    reopened = False
    for tag in _TAG.finditer(text):
        piece = text[position : tag.start()]
        position = tag.end()
        (thoughts if depth else words).append(piece)
        if tag["open"]:
            depth += 0 if reopened and not piece.strip() else 1
            reopened = True
            continue
        if not depth:
            thoughts += words
            words = []
        depth = max(0, depth - 1)
        reopened = False
    (thoughts if depth else words).append(text[position:])
    thought = "\n".join(part.strip() for part in thoughts if part.strip())
    return Separated("".join(words), thought, depth > 0)
