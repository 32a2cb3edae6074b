"""Cutting of texts that are too long to be stored, with a visible mark of how much is gone."""

import json
from typing import Any

from fama.text.json_numbers import load_nulled

#: The key of what is left of arguments that are no object, or that are too many to be kept one by one.
CUT = "cut"


def cut_text(text: str, limit: int) -> str:
    """Return the first ``limit`` characters of a longer text, and how many follow: ``… [9,800,000 characters cut]``."""
    return text if len(text) <= limit else f"{text[:limit]}… [{len(text) - limit:,} characters cut]"


def cut_arguments(arguments: str, limit: int) -> str:
    """Return JSON-encoded arguments whose texts have at most ``limit`` characters together, each cut one marked.

    Arguments that are too long without their texts, or no JSON, become an object with the one key ``cut``.
    """
    if len(arguments) <= limit:
        return arguments
    try:
        value = load_nulled(arguments)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        shorter = json.dumps(_cut(value, [limit]), ensure_ascii=False)
        if len(shorter) <= 2 * limit:
            return shorter
    return json.dumps({CUT: cut_text(arguments, limit)}, ensure_ascii=False)


def _cut(value: Any, room: list[int]) -> Any:
    """Return a JSON value without what its texts hold past the room that is left, in their order."""
    if isinstance(value, str):
        kept = cut_text(value, room[0])
        room[0] = max(0, room[0] - len(value))
        return kept
    if isinstance(value, dict):
        return {key: _cut(inner, room) for key, inner in value.items()}
    return [_cut(inner, room) for inner in value] if isinstance(value, list) else value
