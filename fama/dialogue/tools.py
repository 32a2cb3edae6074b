"""Reading of tools: which ones look things up, which ones change data, which ones end the case."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from fama.dialogue.language import meaning, meanings, words
from fama.dialogue.memo import by_identity
from fama.episodes.records import ToolSpec
from fama.episodes.state import VisibleState

Kind = Literal["read", "write", "close", "other"]

#: First verbs of a tool's name, or of its description, by what such a tool does.
READ_VERBS = frozenset(
    "get list find search look lookup fetch show view read check query retrieve describe inspect verify authenticate "
    "identify validate track count estimate preview quote".split()
)
CLOSE_VERBS = frozenset("close end finish escalate transfer handoff hand resolve conclude respond reply say".split())
OTHER_VERBS = frozenset("think calculate compute wait".split())
WRITE_VERBS = frozenset(
    "cancel update set change modify edit create add remove delete return exchange refund book send issue "
    "apply grant revoke assign unassign suspend reset upgrade downgrade enable disable activate deactivate "
    "reactivate restore invite move transfer pay charge reserve submit make place redeem extend renew pause "
    "resume replace swap switch lock unlock rename merge archive register start stop block unblock approve "
    "reject file open toggle turn mark reassign".split()
)


@dataclass(frozen=True)
class ToolView:
    """What a helper reads off a tool's schema. ``stems`` are the meanings of its name and description."""

    name: str
    kind: Kind
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
        return self.kind == "read" and bool({"verify", "authenticate", "identify"} & set(words(self.name)))


def _kind(name: str, description: str) -> Kind:
    parts = words(re.sub(r"([a-z])([A-Z])", r"\1 \2", name))
    tables: tuple[tuple[Kind, frozenset[str]], ...] = (
        ("close", CLOSE_VERBS),
        ("other", OTHER_VERBS),
        ("read", READ_VERBS),
        ("write", WRITE_VERBS),
    )
    for candidates in (parts[:1], words(description)[:2], parts[1:]):
        for word in candidates:
            for kind, verbs in tables:
                if word in verbs or (word.endswith("s") and word[:-1] in verbs):
                    return kind
    return "write"


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
        kind=_kind(spec.name, spec.description),
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


def is_write_tool(spec: ToolSpec) -> bool:
    """Whether a tool changes data, by the verb of its name or description."""
    return view(spec).kind == "write"


def kind_of(state: VisibleState, name: str) -> Kind | None:
    """What kind of tool a name is; None for one that is not offered."""
    return next((tool.kind for tool in views(state) if tool.name == name), None)


def views(state: VisibleState, kind: Kind | None = None) -> tuple[ToolView, ...]:
    """The state's tools, all or of one kind, in the state's order."""
    return _views(state.tools, kind or "")


@by_identity(256)
def _views(tools: tuple[ToolSpec, ...], kind: Kind | Literal[""]) -> tuple[ToolView, ...]:
    return tuple(found for found in map(view, tools) if kind in ("", found.kind))
