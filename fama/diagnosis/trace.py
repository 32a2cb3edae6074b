"""An episode as detectors look at it: its calls with their results and the roles of its tools."""

from dataclasses import dataclass
from functools import cached_property

from fama.dialogue.calls import Call, calls_of
from fama.dialogue.roles import Roles, roles_of
from fama.dialogue.sources import Sources
from fama.episodes.records import Episode, Message


@dataclass(frozen=True)
class Trace:
    """An episode, its calls and the roles of its tools."""

    episode: Episode
    calls: tuple[Call, ...]
    roles: Roles

    @classmethod
    def of(cls, episode: Episode) -> "Trace":
        """Read an episode."""
        roles = roles_of(episode.tools, episode.benchmark, episode.domain)
        return cls(episode, calls_of(episode.messages), roles)

    @cached_property
    def has_dialogue(self) -> bool:
        """Return whether the log holds what users and tools said, and not the agent's calls alone."""
        return any(message.role in ("user", "tool") for message in self.episode.messages)

    @cached_property
    def sources(self) -> Sources:
        """Return where values stood; what the user was told to say stands in for words that the log lacks."""
        told = "" if self.has_dialogue else self.episode.instruction or ""
        return Sources(self.episode.messages, self.episode.tools, told)

    @cached_property
    def writes(self) -> tuple[Call, ...]:
        """Return the calls that changed data: of a writing tool, and not answered by an error."""
        return tuple(call for call in self.calls if self.roles.writes(call.name) and not call.failed)

    @cached_property
    def last_agent_step(self) -> int | None:
        """Return the index of the agent's last message."""
        steps = [i for i, message in enumerate(self.episode.messages) if message.role == "assistant"]
        return steps[-1] if steps else None

    @cached_property
    def spoken_steps(self) -> tuple[int, ...]:
        """Return the indices of the agent's messages with words for the user."""
        return tuple(
            i for i, m in enumerate(self.episode.messages) if m.role == "assistant" and not m.tool_calls and m.content
        )

    @cached_property
    def user_steps(self) -> tuple[int, ...]:
        """Return the indices of the user's messages."""
        return tuple(i for i, m in enumerate(self.episode.messages) if m.role == "user")

    @property
    def request_step(self) -> int:
        """Return the index of the user's first message, -1 in a log without one."""
        return self.user_steps[0] if self.user_steps else -1

    def user_before(self, step: int) -> Message | None:
        """Return the user's last message before a step."""
        return next((m for m in reversed(self.episode.messages[:step]) if m.role == "user"), None)
