"""Cleaning of imported episodes on request, and hashes that tell their dialogues apart."""

import hashlib

from fama.episodes.records import Episode, Message

_THOUGHT_END = "</think>"


def strip_thinking(episode: Episode) -> tuple[Episode, int]:
    """Cut a user simulator's leaked thoughts, up to the closing tag, from user turns; returns how many turns had one.

    The agent did see them: strip for reading, labelling and training, not to replay.
    """
    cut = leaking_turns(episode)
    if not cut:
        return episode, 0
    messages = tuple(
        m.model_copy(update={"content": (m.content or "").rpartition(_THOUGHT_END)[2].strip()}) if _leaks(m) else m
        for m in episode.messages
    )
    return episode.model_copy(update={"messages": messages}), cut


def leaking_turns(episode: Episode) -> int:
    """Return how many user turns hold thoughts that a user simulator leaked."""
    return sum(map(_leaks, episode.messages))


def _leaks(message: Message) -> bool:
    return message.role == "user" and _THOUGHT_END in (message.content or "")


def dialogue_hash(episode: Episode) -> str:
    """Return a digest of who said and called what; equal for equal dialogues. Empty without messages."""
    _, whole = dialogue_hashes(episode)
    return whole


def dialogue_hashes(episode: Episode) -> tuple[list[str], str]:
    """Return the digests of the dialogue up to each message of the agent but the last message, and of all of it."""
    digest, parts = hashlib.blake2b(digest_size=16), []
    for place, message in enumerate(episode.messages, start=1):
        calls = [f"{call.function.name}\x1f{call.function.arguments}" for call in message.tool_calls or ()]
        digest.update("\x1e".join((message.role, message.content or "", *calls, "")).encode("utf-8", "surrogatepass"))
        if message.role == "assistant" and place < len(episode.messages):
            parts.append(digest.hexdigest())
    return parts, digest.hexdigest() if episode.messages else ""
