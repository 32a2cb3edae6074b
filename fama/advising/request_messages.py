"""Messages of requests, each read once: every request of a conversation brings those of the one before it again."""

import marshal
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fama.episodes.foreign.logged_messages import Spoken, messages_of, paired, spoken_in
from fama.episodes.records import Message
from fama.errors import BadInput
from fama.memo import RecentCache
from fama.redaction.api_keys import keys_in_use
from fama.text.clean import clean_value

#: A message's bytes, and the keys that were taken out of its texts.
_Key = tuple[bytes, tuple[str, ...]]
_KNOWN: RecentCache[_Key, tuple[Spoken, ...]] = RecentCache(16_384, lambda key: len(key[0]), 2**23)


#: A time of day, also with seconds and parts of one, alone or behind the date of a time stamp.
_TIME = re.compile(r"(?<![\d:])\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[AaPp]\.?[Mm]\b\.?)?(?![\d:])")


def known_as(message: Message) -> Message:
    """Return a message as its conversation is known again by.

    A clock in a system message says no time of day. Calls and results have no ids: some clients make these anew for
    every request.
    """
    if message.role == "system" and message.content and ":" in message.content:
        return message.model_copy(update={"content": _TIME.sub("00:00", message.content)})
    if not message.tool_calls and not message.tool_call_id:
        return message
    calls = tuple(call.model_copy(update={"id": ""}) for call in message.tool_calls or ()) or None
    return message.model_copy(update={"tool_calls": calls, "tool_call_id": None})


def content_key(value: Any) -> bytes | None:
    """Return bytes that only equal values of JSON's types have; None for a value of others.

    Version 2 of the format has no references, so that equal values have equal bytes.
    """
    try:
        return marshal.dumps(value, 2)
    except ValueError:
        return None


def read_messages(chat: Sequence[dict[str, Any]]) -> tuple[Message, ...]:
    """Return the messages of a chat, cleaned; one that a recent request had, too, is the same object.

    Raises:
        BadInput: a message is none, its role is unknown, or a call has no name.
    """
    redacted, rows = keys_in_use(), {}
    keys: list[_Key] = []
    for row in chat:
        told = content_key(row)
        if told is None:
            return messages_of(clean_value(list(chat)))
        keys.append((told, redacted))
        rows[keys[-1]] = row
    try:
        return paired(_KNOWN.get_all(keys, lambda unknown: [_read(rows[key]) for key in unknown]), Counter())
    except BadInput:
        return messages_of(clean_value(list(chat)))  # its error names the place


def _read(row: dict[str, Any]) -> tuple[Spoken, ...]:
    (cleaned,) = clean_value([row])
    return tuple(spoken_in(cleaned, Counter()))
