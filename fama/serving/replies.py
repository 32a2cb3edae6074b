"""A whole reply of the upstream for the client: its own bytes, one more field, no note."""

import json
from dataclasses import dataclass
from typing import Any

from fama.advising.repeated_notes import own_content
from fama.serving.advice_report import FIELD
from fama.serving.events import choices_of


@dataclass(frozen=True)
class WholeReply:
    """The bytes for the client, and the reply as read; ``tree`` is None where it is no JSON object."""

    body: bytes
    tree: dict[str, Any] | None


def whole_reply(body: bytes, opening: str, field: dict[str, Any]) -> WholeReply:
    """Add ``field`` to a reply and take a repeated ``opening`` off its choices; anything else keeps its bytes."""
    try:
        tree = json.loads(body.decode("utf-8-sig"))  # JSON in another encoding could not take the field
    except (ValueError, RecursionError):
        return WholeReply(body, None)
    if not isinstance(tree, dict):
        return WholeReply(body, None)
    if opening and _strip(tree, opening):
        body = json.dumps(tree).encode()
    if tree and FIELD not in tree:
        head = body.rstrip()[:-1].rstrip()  # without the last brace
        body = head + b', "' + FIELD.encode() + b'": ' + json.dumps(field).encode() + b"}"
    return WholeReply(body, tree)


def _strip(tree: dict[str, Any], opening: str) -> bool:
    """Take the opening off the words of all choices; return whether there was one."""
    changed = False
    for choice in choices_of(tree):
        message = choice.get("message")
        if not isinstance(message, dict) or not message.get("content"):
            continue
        own = own_content(message["content"], opening)
        changed |= own != message["content"]
        message["content"] = own
    return changed
