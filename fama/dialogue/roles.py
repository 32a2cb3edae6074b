"""Roles of tools: which ones read, change data, close the case; which ones identify the user or hand over.

One table for helpers, gates, router features and detectors. A role is what a file says, else what the tool's schema
says under ``x-fama-role``, else what the verb of its name or description tells.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, get_args

from fama.dialogue.domain_rules import DomainRules
from fama.dialogue.language import words
from fama.episodes.records import ToolSpec
from fama.errors import BadInput

Role = Literal["read", "write", "close", "other"]
ROLES: tuple[Role, ...] = get_args(Role)
#: Key of a tool's JSON schema that states its role.
SCHEMA_KEY = "x-fama-role"

#: Verbs by what a tool does whose name, or description, begins with them.
READ_VERBS = frozenset(
    "get list find search look lookup fetch show view read check query retrieve describe inspect verify authenticate "
    "identify validate track count estimate preview quote compare troubleshoot".split()
)
CLOSE_VERBS = frozenset(
    "close end finish finalize finalise complete done escalate transfer handoff hand handover resolve conclude respond "
    "reply say".split()
)
OTHER_VERBS = frozenset("think calculate compute wait ask".split())
WRITE_VERBS = frozenset(
    "cancel update set change modify edit create add remove delete return exchange refund book send issue "
    "apply grant revoke assign unassign suspend reset upgrade downgrade enable disable activate deactivate "
    "reactivate restore invite move transfer pay charge reserve submit make place redeem extend renew pause "
    "resume replace swap switch lock unlock rename merge archive register start stop block unblock approve "
    "reject deny refuse decline file open toggle turn mark reassign".split()
)
#: A verb that closes does so alone or for one of these: ``close_case`` ends a conversation, ``close_account`` does not.
_CONVERSATION = frozenset(
    "case conversation chat call session dialogue dialog interaction ticket task issue request turn to over off user "
    "customer human agent agents support representative supervisor specialist team operator".split()
)
_ALWAYS_CLOSE = frozenset("respond reply say escalate handoff handover hand".split())
_HANDOVER = re.compile(r"transfer|escalate|hand_?over|hand_?off|human")
_IDENTITY = re.compile(r"^(verify|authenticate|identify)_|^(find|look_?up)_(user|customer|patient|account|member)")


@dataclass(frozen=True)
class ToolRoles:
    """Roles of the tools of one conversation: ``rules`` from a file, ``specs`` the tools by name."""

    rules: DomainRules = DomainRules()
    specs: Mapping[str, ToolSpec] = field(default_factory=dict)

    @classmethod
    def of(cls, tools: Iterable[ToolSpec], rules: DomainRules | None = None) -> "ToolRoles":
        """Return the roles of some tools, where a log has them."""
        return cls(rules or DomainRules(), {tool.name: tool for tool in tools})

    def role(self, name: str) -> Role:
        """Return a tool's role; a name that no tool has goes by its verb."""
        if name in (self.rules.write or ()):
            return "write"
        if name in (self.rules.end or ()):
            return "close"
        spec = self.specs.get(name)
        role = role_of(spec) if spec is not None else role_of_name(name)
        if role == "write" and self.rules.write is not None:
            return "other"  # the file lists all tools that change data
        if role == "close" and self.rules.end is not None:
            return "other"
        return role

    def writes(self, name: str) -> bool:
        """Return whether the tool changes data."""
        return self.role(name) == "write"

    def ends(self, name: str) -> bool:
        """Return whether the tool ends the conversation."""
        return self.role(name) == "close"

    def hands_over(self, name: str) -> bool:
        """Return whether the tool gives the case to a human."""
        return name in self.rules.handover if self.rules.handover is not None else bool(_HANDOVER.search(name))

    def identifies(self, name: str) -> bool:
        """Return whether the tool checks or finds who is speaking."""
        return name in self.rules.identity if self.rules.known else bool(_IDENTITY.match(name))


@lru_cache(maxsize=512)
def role_of(spec: ToolSpec) -> Role:
    """Return the role that a tool's schema states, else that of its name and description.

    Raises:
        BadInput: the schema states a role that does not exist.
    """
    try:
        schema = spec.schema_dict()
    except ValueError:
        schema = {}
    stated = schema.get(SCHEMA_KEY) if isinstance(schema, dict) else None
    if stated is None:
        return role_of_name(spec.name, spec.description)
    if stated not in ROLES:
        raise BadInput(f"tool {spec.name}: {SCHEMA_KEY} is {stated!r}; it must be one of {', '.join(ROLES)}")
    role: Role = stated
    return role


@lru_cache(maxsize=512)
def role_of_name(name: str, description: str = "") -> Role:
    """Return the role that a tool's verb tells; a tool whose verb is unknown counts as one that changes data."""
    parts = words(re.sub(r"([a-z])([A-Z])", r"\1 \2", name))
    for candidates in (parts[:1], words(description)[:2], parts[1:]):
        for word in candidates:
            role = _role_of_verb(word, parts)
            if role is not None:
                return role
    return "write"


def _role_of_verb(word: str, parts: list[str]) -> Role | None:
    for verb in (word, word.removesuffix("s")):
        if verb in CLOSE_VERBS:
            rest = [part for part in parts if part != word]
            closes = verb in _ALWAYS_CLOSE or not rest or bool(_CONVERSATION & set(rest))
            return "close" if closes else "write"
        if verb in OTHER_VERBS:
            return "other"
        if verb in READ_VERBS:
            return "read"
        if verb in WRITE_VERBS:
            return "write"
    return None
