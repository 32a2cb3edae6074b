"""Replies of the agent to the user, and what a person heard in them."""

from dataclasses import dataclass

from fama.episodes.records import Message, Record


class Place(Record):
    """Where a reply stands: a file below the data folder, the episode's id, the index of its message."""

    file: str
    episode: str
    message: int


@dataclass(frozen=True)
class Reply:
    """Words of the agent to the user, and the user's turn before them."""

    place: Place
    backbone: str
    domain: str
    user: str
    text: str


def is_words(message: Message) -> bool:
    """Return whether a message is the agent's words to the user, without a tool call."""
    return message.role == "assistant" and not message.tool_calls and bool((message.content or "").strip())
