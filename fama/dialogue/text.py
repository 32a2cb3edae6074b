"""Texts of a conversation: without a model's thoughts, cut, quoted, folded for search."""

import re

from fama.episodes.records import Message

_THOUGHT = re.compile(r"^.*</think>", re.DOTALL)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")


def spoken(message: Message) -> str:
    """Return what a message says, without a reasoning model's ``<think>`` text."""
    return _THOUGHT.sub("", message.content or "").strip()


def shorten(text: str, limit: int) -> str:
    """Return one line of at most ``limit`` characters; a cut shows as an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: max(limit - 1, 0)].rstrip() + "…"


def fold(text: str) -> str:
    """Return a text as it is searched: lower case, no hash signs, no thousands commas, single blanks."""
    return _THOUSANDS.sub("", " ".join(text.casefold().replace("#", " ").split()))


def quote(text: str, limit: int = 80) -> str:
    """Return text of a user or a tool as data: one line in double quotes, cut at ``limit`` characters."""
    clean = "".join(sign if sign.isprintable() else " " for sign in text)
    clean = re.sub(r"\s+", " ", clean).replace('"', "'").replace("“", "'").replace("”", "'").strip()
    if len(clean) > limit:
        clean = clean[: limit - 1].rsplit(" ", 1)[0] + "…"
    return f'"{clean}"'
