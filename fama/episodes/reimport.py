"""Files that are imported again: what they say otherwise than the store, or no longer."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from fama.episodes.records import Episode

#: What numbering and place of a file decide, and what only tells how an episode came here.
_NOT_SAID = frozenset({"id", "task_id", "trial", "source", "package_version", "commit"})
_FIELDS = tuple(name for name in Episode.model_fields if name not in _NOT_SAID)


def said_digest(episode: Episode) -> bytes:
    """Return a digest of all that a log, the options and what was attached say of an episode."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(episode.model_dump_json(exclude=set(_NOT_SAID)).encode("utf-8", "surrogatepass"))
    return digest.digest()


def differing_fields(stored: Iterable[Episode], read: Episode, id_: str) -> tuple[str, ...]:
    """Return the fields in which an episode differs from the stored one of that id."""
    for episode in stored:
        if episode.id == id_:
            return tuple(_differing(episode, read))
    return ()


def _differing(one: Any, other: Any) -> Iterator[str]:
    return (name for name in _FIELDS if getattr(one, name) != getattr(other, name))
