"""Hooks on recorded episodes."""

from fama.episodes.records import Episode, Outcome


def redact(episode: Episode) -> Episode | None:
    """A hook: nothing of one user, no name of another."""
    if any("secret" in (message.content or "") for message in episode.messages):
        return None
    hidden = [m.model_copy(update={"content": (m.content or "").replace("Ann", "***")}) for m in episode.messages]
    return episode.model_copy(update={"messages": tuple(hidden)})


def fail(episode: Episode) -> Episode | None:
    """A hook with a fault."""
    raise RuntimeError("Ann")


def verdict(episode: Episode) -> Episode | None:
    """A hook that knows the outcome."""
    return episode.model_copy(update={"outcome": Outcome(status="failure", reason="complaint")})
