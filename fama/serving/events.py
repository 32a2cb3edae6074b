"""Server-sent events of a streamed reply: split, freed of a repeated opening, and put together to a whole reply."""

import json
import re
from collections.abc import Iterable
from typing import Any

from fama.advising.repeated_notes import StreamedReply, ends_words
from fama.episodes.foreign.fields import absent, from_text
from fama.episodes.foreign.logged_calls import entries_in
from fama.models.content import read_content, read_refusal
from fama.models.server_errors import error_status, find_error

#: A blank line; servers mix the ends of lines.
_END = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
#: Bytes that are held back while waiting for an event's end.
_LONGEST = 4 * 2**20
#: Bytes of an event's end that may have come with the piece before.
_END_BYTES = 3
#: Fields that all pieces of a reply share.
_NAMED = ("id", "object", "created", "model")
#: Fields of pieces that are of the whole reply; ``timings`` are llama.cpp's and hold what its cache held.
_TOP = ("id", "model", "usage", "timings")


class EventSplitter:
    """Cuts bytes into events, each with the blank line that ends it."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the events that are whole after one more piece; each byte is looked at a few times at most."""
        seen, start, events = max(0, len(self._rest) - _END_BYTES), 0, []
        self._rest += piece
        for found in _END.finditer(self._rest, seen):
            events.append(bytes(self._rest[start : found.end()]))
            start = found.end()
        del self._rest[:start]
        if len(self._rest) > _LONGEST:
            events.append(self.end())
        return events

    def end(self) -> bytes:
        """Return what is left without an end."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


def event_data(event: bytes) -> dict[str, Any] | None:
    """Return the JSON object that an event carries; None for ``[DONE]``, comments and anything else."""
    lines = _data_lines(event)
    if not lines:
        return None
    try:
        tree = json.loads(b"\n".join(lines))
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def ends_stream(event: bytes) -> bool:
    """Return whether an event says that the stream is over."""
    return b"[DONE]" in _data_lines(event)


def first_said(events: Iterable[bytes]) -> bytes | None:
    """Return the first event that says something, behind comments that only keep the connection open."""
    return next(filter(_data_lines, events), None)


def _data_lines(event: bytes) -> list[bytes]:
    return [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]


def choices_of(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the choices of a reply or of a piece of one."""
    choices = tree.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def is_failure(tree: dict[str, Any]) -> bool:
    """Return whether a reply or a piece of one says that the server failed."""
    return any(find_error(holder) is not None for holder in (tree, tree.get("x_groq"), *choices_of(tree)))


def failure_status(tree: dict[str, Any] | None) -> int | None:
    """Return the status of the error that a reply of 200, or its first event, is; None for a reply that is none."""
    error = find_error(tree)
    return None if error is None else error_status(error, 200)


class OpeningFilter:
    """Takes the opening that a reply was made to begin with off its events; an event without it keeps its bytes."""

    def __init__(self, opening: str) -> None:
        self._opening = opening
        self._words: dict[int, StreamedReply] = {}
        self._top: dict[str, Any] = {}

    def passed(self, event: bytes) -> list[bytes]:
        """Return the event as the client may see it; before ``[DONE]`` events of what is still held back."""
        tree = event_data(event)
        if tree is None:
            return [*self.rest(), event] if ends_stream(event) else [event]
        self._top = {key: tree[key] for key in _NAMED if key in tree}
        changed = False
        for choice in choices_of(tree):
            delta = choice.get("delta")
            if isinstance(delta, dict):
                changed |= self._pass(choice, delta)
        if not changed:
            return [event]
        kept = [line for line in event.splitlines() if line and not line.startswith(b"data:")]
        return [b"\n".join([*kept, b"data: " + json.dumps(tree).encode()]) + b"\n\n"]

    def rest(self) -> list[bytes]:
        """Return events with the words still held back, of choices that stopped without saying so."""
        held = {index: words.end() for index, words in self._words.items()}
        deltas = [{"index": i, "delta": {"content": text}, "finish_reason": None} for i, text in held.items() if text]
        trees = [{**self._top, "choices": [delta]} for delta in deltas]
        return [b"data: " + json.dumps(tree).encode() + b"\n\n" for tree in trees]

    def _pass(self, choice: dict[str, Any], delta: dict[str, Any]) -> bool:
        words = self._words.setdefault(_index_of(choice), StreamedReply(self._opening))
        said = delta.get("content")
        passed = words.add(said) if isinstance(said, str) else ""
        if ends_words(choice.get("finish_reason"), delta.get("tool_calls")):
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
        self._over = self._failed = False

    def add(self, event: bytes) -> None:
        """Take one more event."""
        self._left -= len(event)
        tree = event_data(event) if self._left >= 0 else None
        if tree is None:
            self._over |= ends_stream(event)
            return
        self._failed |= is_failure(tree)
        self._top |= {**_told_by_groq(tree), **{key: tree[key] for key in _TOP if tree.get(key)}}
        for choice in choices_of(tree):
            kept = self._choices.setdefault(_index_of(choice), {"message": {"role": "assistant"}, "calls": []})
            if not absent(choice.get("finish_reason")):
                kept["finish_reason"] = choice["finish_reason"]
            if choice.get("usage"):
                kept["usage"] = choice["usage"]
            if isinstance(choice.get("delta"), dict):
                _add_delta(kept, choice["delta"])

    def whole(self) -> dict[str, Any] | None:
        """Return the reply; None where it failed, was too long, or a choice has no end and no ``[DONE]`` came."""
        if self._left < 0 or self._failed or not self._choices:
            return None
        choices = []
        for index, kept in sorted(self._choices.items()):
            if "finish_reason" not in kept and not self._over:
                return None
            message = dict(kept["message"])
            if not entries_in(message.get("function_call")):
                message.pop("function_call", None)
            calls = entries_in([call for _, call in sorted(kept["calls"], key=lambda call: call[0])])
            if calls:
                message["tool_calls"] = calls
            choices.append({"index": index, "message": message, "finish_reason": kept.get("finish_reason")})
        told = {} if len(choices) > 1 else {key: kept[key] for key in ("usage",) if key in kept}  # Moonshot's place
        return {**told, **self._top, "choices": choices}


def _told_by_groq(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the usage that Groq puts into the last piece of a reply, asked for or not."""
    own = tree.get("x_groq")
    return {"usage": own["usage"]} if isinstance(own, dict) and own.get("usage") else {}


def _add_delta(kept: dict[str, Any], delta: dict[str, Any]) -> None:
    message = kept["message"]
    said = {"content": _words(delta.get("content")), "refusal": "".join(read_refusal(delta.get("refusal"))) or None}
    for key, words in said.items():
        if words is not None:
            message[key] = message.get(key, "") + words
    legacy = from_text(delta.get("function_call"))
    if isinstance(legacy, dict):
        _grow(message.setdefault("function_call", {"name": "", "arguments": ""}), _told(legacy))
    pieces = from_text(delta.get("tool_calls"))
    for piece in pieces if isinstance(pieces, list) else [pieces]:
        if isinstance(piece, dict):
            _add_call(kept["calls"], piece)


def _words(content: Any) -> str | None:
    """Return the words of a piece of content, a text or parts; None where it holds none."""
    if isinstance(content, list | dict):
        return "".join(read_content(content).text)
    return content if isinstance(content, str) else None


def _told(function: dict[str, Any]) -> dict[str, str]:
    """Return what a piece adds to the name and the arguments of its call; whole arguments may be an object."""
    told = {key: function[key] for key in ("name", "arguments") if isinstance(function.get(key), str)}
    if isinstance(function.get("arguments"), dict) and function["arguments"]:
        told["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
    return told


def _add_call(calls: list[tuple[int, dict[str, Any]]], piece: dict[str, Any]) -> None:
    """Add a piece to its call, or begin one. Servers that send whole calls give all the same index, or none.

    Of whole calls that have no id, either, each has a name and whole arguments of its own (Gemini).
    """
    index, id_, function = piece.get("index"), piece.get("id"), piece.get("function")
    id_, told = id_ if isinstance(id_, str) else "", _told(function if isinstance(function, dict) else piece)
    where = index if isinstance(index, int) else None
    begun = [call for at, call in calls if at == where] if where is not None else [call for _, call in calls[-1:]]
    if not begun or _is_another(begun[-1], id_, told):
        begun = [{"id": "", "type": "function", "function": {"name": "", "arguments": ""}}]
        calls.append((len(calls) if where is None else where, begun[0]))
    call = begun[-1]
    call["id"] = call["id"] or id_
    _grow(call["function"], told)


def _grow(made: dict[str, str], told: dict[str, str]) -> None:
    """Add what a piece says to its call; some servers say the whole name in every piece (MiniMax, NVIDIA NIM)."""
    for key, text in told.items():
        if key != "name" or text != made[key]:
            made[key] += text


def _is_another(begun: dict[str, Any], id_: str, told: dict[str, str]) -> bool:
    """Return whether a piece begins another call than the one that was begun at its place."""
    made = begun["function"]
    if not told.get("name") or not made["name"]:
        return False
    if id_ or begun["id"]:
        return id_ not in ("", begun["id"])
    return all(isinstance(from_text(text), dict) for text in (made["arguments"], told.get("arguments")))


def _index_of(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0
