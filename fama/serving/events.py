"""Server-sent events of a streamed reply: split, freed of a repeated opening, and put together to a whole reply."""

import json
import re
from typing import Any

from fama.advising.replies import StreamedReply

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
#: Bytes that are held back while waiting for an event's end.
_LONGEST = 4 * 2**20


class EventSplitter:
    """Cuts bytes into events, each with the blank line that ends it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the events that are whole after one more piece."""
        data, start, events = self._rest + piece, 0, []
        for found in _END.finditer(data):
            events.append(data[start : found.end()])
            start = found.end()
        self._rest = data[start:]
        if len(self._rest) > _LONGEST:
            events.append(self.end())
        return events

    def end(self) -> bytes:
        """Return what is left without an end."""
        rest, self._rest = self._rest, b""
        return rest


def event_data(event: bytes) -> dict[str, Any] | None:
    """Return the JSON object that an event carries; None for ``[DONE]``, comments and anything else."""
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    if not lines:
        return None
    try:
        tree = json.loads(b"\n".join(lines))
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def choices_of(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the choices of a reply or of a piece of one."""
    choices = tree.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


class OpeningFilter:
    """Takes the opening that a reply was made to begin with off its events; an event without it keeps its bytes."""

    def __init__(self, opening: str) -> None:
        self._opening = opening
        self._words: dict[Any, StreamedReply] = {}

    def passed(self, event: bytes) -> bytes:
        """Return the event as the client may see it."""
        tree = event_data(event)
        if tree is None:
            return event
        changed = False
        for choice in choices_of(tree):
            delta = choice.get("delta")
            if isinstance(delta, dict):
                changed |= self._pass(choice, delta)
        if not changed:
            return event
        return b"data: " + json.dumps(tree).encode() + b"\n\n"

    def _pass(self, choice: dict[str, Any], delta: dict[str, Any]) -> bool:
        words = self._words.setdefault(choice.get("index"), StreamedReply(self._opening))
        said = delta.get("content")
        passed = words.add(said) if isinstance(said, str) else ""
        if choice.get("finish_reason") is not None or delta.get("tool_calls"):
            passed += words.end()
        if passed == (said if isinstance(said, str) else ""):
            return False
        delta["content"] = passed
        return True


class Assembled:
    """The whole reply of streamed pieces, as far as an episode holds it."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._choices: dict[int, dict[str, Any]] = {}
        self._top: dict[str, Any] = {}

    def add(self, event: bytes) -> None:
        """Take one more event."""
        self._left -= len(event)
        tree = event_data(event) if self._left >= 0 else None
        if tree is None:
            return
        self._top |= {key: tree[key] for key in ("id", "model", "usage") if tree.get(key) is not None}
        for choice in choices_of(tree):
            index = choice.get("index")
            kept = self._choices.setdefault(
                index if isinstance(index, int) else 0, {"message": {"role": "assistant"}, "calls": {}}
            )
            if choice.get("finish_reason") is not None:
                kept["finish_reason"] = choice["finish_reason"]
            if isinstance(choice.get("delta"), dict):
                _add_delta(kept, choice["delta"])

    def whole(self) -> dict[str, Any] | None:
        """Return the reply; None when a choice has not come to its end, or it was too long to be kept."""
        if self._left < 0 or not self._choices:
            return None
        choices = []
        for index, kept in sorted(self._choices.items()):
            if "finish_reason" not in kept:
                return None
            calls = [call for _, call in sorted(kept["calls"].items())]
            message = {**kept["message"], **({"tool_calls": calls} if calls else {})}
            choices.append({"index": index, "message": message, "finish_reason": kept["finish_reason"]})
        return {**self._top, "choices": choices}


def _add_delta(kept: dict[str, Any], delta: dict[str, Any]) -> None:
    message = kept["message"]
    for key in ("content", "refusal"):
        if isinstance(delta.get(key), str):
            message[key] = message.get(key, "") + delta[key]
    pieces = delta.get("tool_calls")
    for place, piece in enumerate(pieces if isinstance(pieces, list) else ()):
        if not isinstance(piece, dict):
            continue
        index = piece.get("index")
        empty = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        call = kept["calls"].setdefault(index if isinstance(index, int) else place, empty)
        if isinstance(piece.get("id"), str):
            call["id"] = call["id"] or piece["id"]
        function = piece.get("function")
        if not isinstance(function, dict):
            continue
        for key in ("name", "arguments"):
            if isinstance(function.get(key), str):
                call["function"][key] += function[key]
