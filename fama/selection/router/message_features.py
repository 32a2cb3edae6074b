"""Contribution of each message to a router's features, computed once per message and kept for recent ones."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from fama.dialogue.calls import call_key, is_error, is_passing
from fama.dialogue.turns import spoken
from fama.episodes.records import FunctionCall, Message
from fama.memo import RecentCache

SegmentKind = Literal["policy", "tool", "user", "assistant", "result"]

KIND_OF_ROLE: dict[str, SegmentKind] = {"user": "user", "assistant": "assistant", "tool": "result"}
#: Messages in a generation of the cache; a state may have more.
_MESSAGES = 4096

_REQUESTS = re.compile(r"\b(and|also|too|as well|plus|two|both|another|second|then|besides|additionally)\b", re.I)
#: The one request word that two user turns can spell together, since turns are read joined by a space.
_SPLIT_REQUEST = (re.compile(r"\bas\Z", re.I), re.compile(r"well\b", re.I))
_IDS = re.compile(r"#\w+|\b[A-Za-z]+[_-]?\d[\w-]*\b|\b\d{5,}\b|[\w.+-]{1,64}@[\w-]+\.\w+")
_NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")


class UserFeatures(NamedTuple):
    """Counts of a user turn's spoken text. ``opens`` and ``closes``: it has an end of ``_SPLIT_REQUEST`` there."""

    length: int
    requests: int
    opens: bool
    closes: bool
    ids: tuple[str, ...]
    numbers: tuple[str, ...]


class CallFeatures(NamedTuple):
    """A call's tool, and name and arguments in canonical form."""

    name: str
    key: str


class ResultFeatures(NamedTuple):
    """A tool's output as a call's result. ``passing``: an error that asks to come back or holds 503, even in an id."""

    text: str
    failed: bool
    passing: bool


class MessageFeatures(NamedTuple):
    """One message: its kind (None for a system message), its text with calls, and what its role brings."""

    kind: SegmentKind | None
    text: str
    user: UserFeatures | None
    calls: tuple[CallFeatures, ...]
    result: ResultFeatures | None


def _characters(message: Message) -> int:
    calls = sum(len(call.function.arguments) for call in message.tool_calls or ())
    return len(message.content or "") + calls


_CACHE: RecentCache[Message, MessageFeatures] = RecentCache(_MESSAGES, _characters)


def message_features(messages: Sequence[Message]) -> list[MessageFeatures]:
    """Return the features of every message; only those that no recent state had are read."""
    return _CACHE.get_all(messages, lambda unknown: map(read_message, unknown))


def read_message(message: Message) -> MessageFeatures:
    """Return the features of one message, independent of all others."""
    calls = message.tool_calls or ()
    called = [f"{call.function.name} {call.function.arguments}" for call in calls]
    return MessageFeatures(
        kind=KIND_OF_ROLE.get(message.role),
        text="\n".join(part for part in (message.content or "", *called) if part.strip()),
        user=_read_user(spoken(message)) if message.role == "user" else None,
        calls=tuple(_read_call(call.function) for call in calls if message.role == "assistant"),
        result=_read_result(message.content or "", message.failed is True) if message.role == "tool" else None,
    )


def request_words(users: Sequence[UserFeatures]) -> int:
    """Return how many words of further requests the user turns have, joined by spaces."""
    joined = sum(before.closes and after.opens for before, after in zip(users, users[1:], strict=False))
    return sum(user.requests for user in users) + joined


def _read_user(text: str) -> UserFeatures:
    last_part, first_part = _SPLIT_REQUEST
    return UserFeatures(
        length=len(text),
        requests=len(_REQUESTS.findall(text)),
        opens=bool(first_part.match(text)),
        closes=bool(last_part.search(text)),
        ids=tuple(dict.fromkeys(_IDS.findall(text))),
        numbers=tuple(dict.fromkeys(_NUMBERS.findall(text))),
    )


def _read_call(call: FunctionCall) -> CallFeatures:
    return CallFeatures(call.name, call_key(call.name, call.parsed(), call.arguments))


def _read_result(text: str, flagged: bool) -> ResultFeatures:
    failed = flagged or is_error(text)
    return ResultFeatures(text, failed, failed and (is_passing(text) or "503" in text))
