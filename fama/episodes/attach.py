"""Attachment of tools, policy and roles of tools to imported episodes whose log leaves them out."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, get_args

from fama.config import read_yaml
from fama.episodes.foreign.fields import cite, from_text
from fama.episodes.foreign.logged_tools import tools_of
from fama.episodes.records import ROLE_KEY, Episode, Message, ToolRole, ToolSpec
from fama.errors import BadInput


class DomainMaterial(NamedTuple):
    """Tools and policy of a domain; None for what is not known."""

    tools: tuple[ToolSpec, ...] | None = None
    policy: str | None = None


#: Gives the material of a benchmark's domain.
MaterialLookup = Callable[[str, str], DomainMaterial]


@dataclass
class Attachment:
    """Adds what an episode lacks, never changes what it has; ``tools`` and ``policies`` count what was added.

    ``roles`` are stated in the schemas of tools that state none; ``named`` are the tools that got one.
    """

    known: MaterialLookup
    roles: Mapping[str, ToolRole] = field(default_factory=dict)
    tools: int = 0
    policies: int = 0
    named: set[str] = field(default_factory=set)
    _stated: dict[tuple[ToolSpec, ...], tuple[ToolSpec, ...]] = field(default_factory=dict)
    _seen: dict[tuple[str, str], DomainMaterial] = field(default_factory=dict)

    def __call__(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """Yield the episodes with what they lacked. One without messages stays as it is."""
        for episode in episodes:
            domain = (episode.benchmark, episode.domain)
            if episode.messages and domain not in self._seen:
                self._seen[domain] = self.known(*domain)
            yield self._completed(episode, self._seen.get(domain, DomainMaterial()))

    def _completed(self, episode: Episode, material: DomainMaterial) -> Episode:
        update: dict[str, object] = {}
        if not episode.messages:
            return episode
        if material.tools and not episode.tools:
            update["tools"] = material.tools
            self.tools += 1
        if material.policy and episode.messages[0].role != "system":
            update["messages"] = (Message(role="system", content=material.policy), *episode.messages)
            self.policies += 1
        if update:
            episode = episode.model_copy(update=update)
        return episode.model_copy(update={"tools": self._with_roles(episode.tools)}) if self.roles else episode

    def _with_roles(self, tools: tuple[ToolSpec, ...]) -> tuple[ToolSpec, ...]:
        if tools not in self._stated:
            self._stated[tools] = tuple(map(self._with_role, tools))
        return self._stated[tools]

    def _with_role(self, tool: ToolSpec) -> ToolSpec:
        schema = tool.schema_dict()
        if tool.name not in self.roles or schema.get(ROLE_KEY) is not None:
            return tool
        self.named.add(tool.name)
        stated = {**schema, ROLE_KEY: self.roles[tool.name]}
        return tool.model_copy(update={"parameters": json.dumps(stated, ensure_ascii=False)})


def read_tools(path: Path) -> tuple[ToolSpec, ...]:
    """Read tools from a JSON file: a list of definitions, or an object that holds one under ``tools``.

    Raises:
        BadInput: the file cannot be read or holds no tools.
    """
    value = from_text(read_policy(path))
    for key in ("tools", "functions", "tool_defs"):
        if isinstance(value, dict) and isinstance(value.get(key), list):
            value = value[key]
    try:
        found = tools_of(value)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    if not found:
        raise BadInput(f"{path}: holds no tools; give a JSON list of tool definitions")
    return found


def read_roles(path: Path) -> dict[str, ToolRole]:
    """Read roles of tools from a YAML file: a mapping of tools' names to roles.

    Raises:
        BadInput: the file cannot be read or a role is none.
    """
    known: tuple[ToolRole, ...] = get_args(ToolRole)
    found: dict[str, ToolRole] = {}
    for tool, stated in read_yaml(path, "roles", "x-fama-role in docs/benchmarks.md").items():
        role = next((role for role in known if role == stated), None)
        if role is None:
            raise BadInput(f"{path}: {tool}: {cite(stated)} is no role; use one of {', '.join(known)}")
        found[str(tool)] = role
    return found


def read_policy(path: Path) -> str:
    """Read a policy's text.

    Raises:
        BadInput: the file cannot be read or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give a text file") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: not UTF-8 text; save it as UTF-8") from None
    if not text.strip():
        raise BadInput(f"{path}: is empty; give a text file")
    return text
