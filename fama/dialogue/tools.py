"""Tools as helpers see them: role, parameters, and the meanings of their names and descriptions."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar

from fama.dialogue.language import meaning, meanings, name_words, sentences
from fama.dialogue.roles import role_of, roles_of
from fama.episodes.records import ToolRole, ToolSpec
from fama.episodes.state import VisibleState
from fama.memo import by_identity

T = TypeVar("T", dict[str, Any], list[Any])
ToolKind = Literal["read", "write", "close", "other"]
_KINDS: dict[ToolRole, ToolKind] = {
    "read": "read",
    "identify": "read",
    "write": "write",
    "close": "close",
    "handover": "close",
    "other": "other",
}


@dataclass(frozen=True)
class ToolView:
    """A tool's role and schema. ``stems`` are the meanings of its name and description."""

    name: str
    role: ToolRole
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
    purpose: frozenset[str] = frozenset()
    """Meanings of its description's first sentence: the rest tells what else happens, and when."""

    @property
    def kind(self) -> ToolKind:
        """Return the role without its finer half: a tool that identifies reads, one that hands over closes."""
        return _KINDS[self.role]

    @property
    def verifies(self) -> bool:
        """Return whether the tool settles who the user is."""
        return self.role == "identify"


def _of_type(value: Any, kind: type[T]) -> T:
    """Return a part of a schema, empty where it is null or of another type."""
    return value if isinstance(value, kind) else kind()


@lru_cache(maxsize=512)
def view(spec: ToolSpec, role: ToolRole | None = None) -> ToolView:
    """Return the view of a tool in a role, None for the one that its schema, name and description tell."""
    schema = spec.schema_dict()
    properties = _of_type(schema.get("properties"), dict)
    required = _of_type(schema.get("required"), list)
    name_stems = meanings(" ".join(name_words(spec.name)))
    return ToolView(
        name=spec.name,
        role=role or role_of(spec),
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
        purpose=meanings(" ".join(sentences(spec.description)[:1])),
    )


def tool_kind(state: VisibleState, name: str) -> ToolKind | None:
    """Return the kind of the tool of that name; None for one that is not offered."""
    return next((tool.kind for tool in views(state) if tool.name == name), None)


def views(state: VisibleState, kind: ToolKind | None = None) -> tuple[ToolView, ...]:
    """Return the state's tools, all or of one kind, in the state's order."""
    return _views(state.tools, state.benchmark, state.domain, kind or "")


@by_identity(256)
def _views(
    tools: tuple[ToolSpec, ...], benchmark: str, domain: str, kind: ToolKind | Literal[""]
) -> tuple[ToolView, ...]:
    roles = roles_of(tools, benchmark, domain)
    seen = (view(tool, roles.role(tool.name)) for tool in tools)
    return tuple(tool for tool in seen if kind in ("", tool.kind))
