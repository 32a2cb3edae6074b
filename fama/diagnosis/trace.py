"""A finished episode as detectors look at it: its calls, and the roles of its tools."""

from dataclasses import dataclass
from functools import cached_property

from fama.dialogue.calls import Call, pair_calls
from fama.dialogue.domain_rules import DomainRules, rules_for
from fama.dialogue.roles import ToolRoles
from fama.dialogue.sources import has_dialogue
from fama.episodes.records import Episode, Message


@dataclass(frozen=True)
class Trace:
    """An episode, its calls and the roles of its tools."""

    episode: Episode
    calls: tuple[Call, ...]
    roles: ToolRoles

    @classmethod
    def of(cls, episode: Episode, rules: DomainRules | None = None) -> "Trace":
        """Read an episode; ``rules`` win over those that ship for its benchmark and domain."""
        rules = rules or rules_for(episode.benchmark, episode.domain)
        return cls(episode, pair_calls(episode.messages), ToolRoles.of(episode.tools, rules))

    @property
    def rules(self) -> DomainRules:
        """Return the roles that a file states for the episode's domain."""
        return self.roles.rules

    @cached_property
    def has_dialogue(self) -> bool:
        """Whether the log holds what users and tools said, and not the agent's calls alone."""
        return has_dialogue(self.episode)

    @cached_property
    def writes(self) -> tuple[Call, ...]:
        """Calls that changed data: of a writing tool, and not answered by an error."""
        return tuple(call for call in self.calls if self.roles.writes(call.name) and not call.failed)

    @cached_property
    def last_agent_step(self) -> int | None:
        """Index of the agent's last message."""
        steps = [i for i, message in enumerate(self.episode.messages) if message.role == "assistant"]
        return steps[-1] if steps else None

    def user_before(self, step: int) -> Message | None:
        """The user's last message before a step."""
        return next((m for m in reversed(self.episode.messages[:step]) if m.role == "user"), None)
