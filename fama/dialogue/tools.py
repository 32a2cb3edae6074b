"""Tools as helpers read them: role, parameters, and the meanings of their names and descriptions."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from fama.dialogue.language import meaning, meanings, words
from fama.dialogue.memo import by_identity
from fama.dialogue.roles import Role, role_of
from fama.episodes.records import ToolSpec
from fama.episodes.state import VisibleState


@dataclass(frozen=True)
class ToolView:
    """What a helper reads off a tool's schema. ``stems`` are the meanings of its name and description."""

    name: str
    role: Role
    required: tuple[str, ...]
    parameters: tuple[str, ...]
    name_stems: frozenset[str]
    stems: frozenset[str]
    choices: frozenset[str]
    """Meanings of its parameters' allowed words, as far as they are single words."""
    schema: tuple[tuple[str, str], ...]
    """(parameter, its schema's text), for examples of ids."""

    enumerated: tuple[tuple[str, str], ...] = ()
    """(parameter, allowed value) of its parameters that have an enumeration of words."""

    @property
    def verifies(self) -> bool:
        """Whether the tool looks like the one that establishes who the user is."""
        return self.role == "read" and bool({"verify", "authenticate", "identify"} & set(words(self.name)))


@lru_cache(maxsize=512)
def view(spec: ToolSpec) -> ToolView:
    """The view of a tool. A tool whose verb is unknown counts as one that changes data."""
    try:
        schema: dict[str, Any] = spec.schema_dict()
    except ValueError:
        schema = {}
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    required = schema.get("required", []) if isinstance(schema, dict) else []
    name_stems = meanings(re.sub(r"([a-z])([A-Z])", r"\1 \2", spec.name).replace("_", " "))
    return ToolView(
        name=spec.name,
        role=role_of(spec),
        required=tuple(str(name) for name in required),
        parameters=tuple(str(name) for name in properties),
        name_stems=name_stems,
        stems=name_stems | meanings(spec.description),
        choices=frozenset(
            meaning(choice)
            for value in properties.values()
            if isinstance(value, dict) and isinstance(value.get("enum"), list)
            for choice in value["enum"]
            if isinstance(choice, str) and choice.isalpha()
        ),
        schema=tuple((str(name), str(value)) for name, value in properties.items()),
        enumerated=tuple(
            (str(name), choice)
            for name, value in properties.items()
            if isinstance(value, dict) and isinstance(value.get("enum"), list)
            for choice in value["enum"]
            if isinstance(choice, str)
        ),
    )


def role_in(state: VisibleState, name: str) -> Role | None:
    """Return the role of a tool by its name, None for one that is not offered."""
    return next((tool.role for tool in views(state) if tool.name == name), None)


def views(state: VisibleState, role: Role | None = None) -> tuple[ToolView, ...]:
    """Return the state's tools, all or of one role, in the state's order."""
    return _views(state.tools, role or "")


@by_identity(256)
def _views(tools: tuple[ToolSpec, ...], role: Role | Literal[""]) -> tuple[ToolView, ...]:
    return tuple(seen for seen in map(view, tools) if role in ("", seen.role))
