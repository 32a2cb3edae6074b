"""Roles of tools: one table, stated in a file or a tool's schema, else read off its name and description."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from fama.config import read_yaml
from fama.dialogue.language import name_words, words
from fama.episodes.keys import TaskKey
from fama.episodes.records import ROLE_KEY, ToolRole, ToolSpec
from fama.errors import BadInput
from fama.memo import by_identity
from fama.registry import Registry

ROLES: tuple[ToolRole, ...] = get_args(ToolRole)
FOLDER = Path(__file__).with_name("rules")
#: Files of the same form for benchmarks of plug-ins, by the benchmark's name.
RULES: Registry[str | Path] = Registry("rules", {})

IDENTIFY_VERBS = frozenset("verify authenticate identify".split())
READ_VERBS = IDENTIFY_VERBS | frozenset(
    "get list find search look lookup fetch show view read check query retrieve describe inspect validate track count "
    "estimate preview quote compare troubleshoot".split()
)
#: Verbs and opening words that say so in a tool's name; in running text they say little.
_NAMED_READS = frozenset(
    "browse display monitor recommend suggest summarize summarise analyze analyse diagnose test ping is has can".split()
)
OTHER_VERBS = frozenset("think calculate compute wait ask respond reply say tell inform explain reflect".split())
#: They close a case when they stand alone or name one; of anything else (an account, an order) they are a change.
CLOSE_VERBS = frozenset("close end finish finalize finalise complete done resolve conclude".split())
#: They hand over when they stand alone or name people or the case; of anything else (money) they are a change.
HANDOVER_VERBS = frozenset("transfer escalate handoff handover hand".split())
#: Alone they turn the user away, which closes the case; of something they are a decision on a record.
REFUSE_VERBS = frozenset("deny refuse".split())
WRITE_VERBS = frozenset(
    "cancel update set change modify edit create add remove delete return exchange refund book send issue "
    "apply grant revoke assign unassign suspend reset upgrade downgrade enable disable activate deactivate "
    "reactivate restore invite move transfer pay charge reserve submit make place redeem extend renew pause "
    "resume replace swap switch lock unlock rename merge archive register start stop block unblock approve "
    "reject file open toggle turn mark reassign".split()
)
_CASES = frozenset(
    "case ticket conversation chat dialog dialogue session call interaction task episode issue inquiry enquiry "
    "complaint support".split()
)
_DESKS = frozenset(
    "human humans agent agents person people representative representatives specialist specialists supervisor "
    "supervisors manager operator support team staff desk department live over off".split()
)
_WHO = frozenset(
    "user customer patient account member caller client guest person identity id pin otp password passcode credentials "
    "login".split()
)
#: What is verified of a record, not of the user.
_THINGS = frozenset(
    "address payment order item product invoice bill balance availability eligibility warranty coupon voucher code "
    "discount price stock status refund detail details serial license document shipment delivery transaction".split()
)
#: Nouns that are verbs of change, too: before a verb of reading they name what is read (``file_search``).
_NOUNS = frozenset("file book place issue charge register exchange return refund transfer order".split())
#: Verbs that reach people: with one of ``_DESKS`` they hand the case over.
_REACH_VERBS = frozenset("talk connect contact request".split())
_SECRETS = frozenset("identity otp pin password passcode credentials".split())
_SIGN_INS = (["login"], ["signin"], ["log", "in"], ["sign", "in"])
_FINDERS = frozenset("find look lookup".split())
_PEOPLE = frozenset("user customer patient account member".split())


@dataclass(frozen=True)
class StatedRoles:
    """Statements on a domain's tools: roles by tool, the lists that are complete, whether a change needs a yes."""

    by_tool: Mapping[str, ToolRole] = field(default_factory=dict)
    complete: frozenset[str] = frozenset()
    """Keys of lists that name every tool of their kind: a tool that is not in such a list is none of it."""
    confirm: bool = False

    def limit(self, role: ToolRole) -> ToolRole:
        """Return what is left of the role that a name tells, for a tool that no complete list has."""
        if role == "write" and "write" in self.complete:
            return "other"
        if role in ("close", "handover") and "end" in self.complete:
            return "other"
        return "read" if role == "identify" and "identity" in self.complete else role


@dataclass(frozen=True)
class Roles:
    """The roles of a domain's tools, of those offered and of any other name that may be called.

    ``stated`` holds what the file and the schemas say, ``told`` what names and descriptions of offered tools tell.
    """

    stated: StatedRoles
    told: Mapping[str, ToolRole]

    def role(self, tool: str) -> ToolRole:
        """Return the role of a tool: by the file, else by its schema, else by its name and description.

        A tool that nothing states is none of what a file lists completely.
        """
        return self.stated.by_tool.get(tool) or self.stated.limit(self.own_role(tool))

    def own_role(self, tool: str) -> ToolRole:
        """Return the role that is stated of this very tool, else what its name and description tell."""
        return self.stated.by_tool.get(tool) or self.told.get(tool) or role_by_name(tool)

    def writes(self, tool: str) -> bool:
        """Return whether the tool changes data."""
        return self.role(tool) == "write"

    def closes(self, tool: str) -> bool:
        """Return whether the tool ends the conversation, by a hand-over or otherwise."""
        return self.role(tool) in ("close", "handover")

    def hands_over(self, tool: str) -> bool:
        """Return whether the tool gives the case to a human."""
        return self.role(tool) == "handover"

    def identifies(self, tool: str) -> bool:
        """Return whether the tool checks or finds who is speaking."""
        return self.role(tool) == "identify"

    @property
    def asks_identity(self) -> bool:
        """Return whether the domain has a tool that settles who is speaking."""
        return "identify" in self.stated.by_tool.values() or any(map(self.identifies, self.told))


def roles_of(tools: tuple[ToolSpec, ...], benchmark: str = "", domain: str = "") -> Roles:
    """Return the roles of a domain's tools.

    Raises:
        BadInput: the domain's file or a tool's schema states something that is no role.
    """
    return _roles_of(tools, benchmark, domain)


@by_identity(256)
def _roles_of(tools: tuple[ToolSpec, ...], benchmark: str, domain: str) -> Roles:
    file = stated_roles(benchmark, domain)
    by_schema = {tool.name: role for tool in tools if (role := schema_role(tool)) is not None}
    told = {tool.name: role_by_name(tool.name, tool.description) for tool in tools}
    return Roles(replace(file, by_tool={**by_schema, **file.by_tool}), told)


def role_of(tool: ToolSpec) -> ToolRole:
    """Return the role of a tool by its schema's ``x-fama-role``, else by its name and description.

    Raises:
        BadInput: the schema states something that is no role.
    """
    return schema_role(tool) or role_by_name(tool.name, tool.description)


@lru_cache(maxsize=512)
def schema_role(tool: ToolSpec) -> ToolRole | None:
    """Return the role that a tool's schema states, None for none.

    Raises:
        BadInput: what it states is no role.
    """
    stated = tool.schema_dict().get(ROLE_KEY)
    return None if stated is None else _checked(stated, f"tool {tool.name}: {ROLE_KEY}")


@lru_cache(maxsize=2_000)
def role_by_name(name: str, description: str = "") -> ToolRole:
    """Return the role that a tool's name tells: by its first word, its description's first two, its other words.

    A tool whose verb is unknown counts as one that changes data.
    """
    own = name_words(name)
    if own in _SIGN_INS:
        return "identify"
    if len(own) > 1 and own[0] in _NOUNS and own[-1] in READ_VERBS:
        return "read"
    told = words(description)[:10]
    # a verb further on has the words before it as its object, too: ``account_close`` closes an account
    tails = ([own[place], *own[place + 1 :], *own[:place]] for place in range(1, len(own)))
    readings = [own, told, told[1:], *tails]
    return next((role for reading in readings if (role := _role_by_verb(reading)) is not None), "write")


def _role_by_verb(reading: list[str]) -> ToolRole | None:
    if not reading:
        return None
    verb, rest = reading[0], reading[1:]
    if verb not in _VERBS:  # the third person of a description
        singular = (f"{verb[:-3]}y" if verb.endswith("ies") else "", verb.removesuffix("es"), verb.removesuffix("s"))
        verb = next((form for form in singular if form in _VERBS), verb)
    if verb in READ_VERBS or verb in _NAMED_READS:
        return _role_of_reading(verb, rest)
    if verb in CLOSE_VERBS:
        return "close" if not rest or _CASES & set(rest) else "write"
    if verb in HANDOVER_VERBS:
        return "handover" if verb == "escalate" or not rest or (_DESKS | _CASES) & set(rest) else "write"
    if verb in _REACH_VERBS and _DESKS & set(rest):
        return "handover"
    if verb == "confirm" and _SECRETS & set(rest):
        return "identify"
    if verb in REFUSE_VERBS:
        return "write" if rest else "close"
    if verb in OTHER_VERBS:
        return "other"
    return "write" if verb in WRITE_VERBS else None


def _role_of_reading(verb: str, rest: list[str]) -> ToolRole:
    if verb == "check" and rest[:1] in (["out"], ["in"]):
        return "write"
    if verb in ("check", "validate", "confirm") and _SECRETS & set(rest):
        return "identify"
    if rest[:1] in (["and"], ["or"], ["then"]) and set(rest[1:2]) <= WRITE_VERBS:
        return "write"  # search and book, get or create
    if verb in IDENTIFY_VERBS:
        return "read" if _THINGS & set(rest) and not _WHO & set(rest) else "identify"
    who = rest[1:] if verb == "look" and rest[:1] == ["up"] else rest
    found = verb in _FINDERS and set(who[:1]) <= _PEOPLE and who[1:2] in ([], ["id"], ["by"])
    return "identify" if found and who else "read"


_VERBS = READ_VERBS | _NAMED_READS | OTHER_VERBS | CLOSE_VERBS | HANDOVER_VERBS | REFUSE_VERBS | WRITE_VERBS

#: Lists of a file, and the role that each gives; a later one wins. τ²-bench took airline and retail over from τ-bench.
_LISTS: dict[str, ToolRole] = {"identity": "identify", "write": "write", "end": "close", "handover": "handover"}
_KEYS = (*_LISTS, "confirm", "roles")
_SAME = {"tau2": "tau-bench"}


@lru_cache(maxsize=64)
def stated_roles(benchmark: str, domain: str) -> StatedRoles:
    """Return what a file in ``FOLDER``, or of a plug-in, says of a domain's tools; nothing for a domain without one.

    A benchmark that is run and its imported logs (``tau_bench``, ``tau-bench``) have the same roles, and so have a
    domain with a user's trait (``retail-skeptical``), and τ-trait's airline and retail, which are τ-bench's.

    Raises:
        BadInput: the file has an unknown key, or a value that is no list, no role or no yes or no.
    """
    own = str(TaskKey(benchmark, domain, "").canonical.benchmark).replace("_", "-")
    path = FOLDER / f"{_SAME.get(benchmark, own)}.yaml"
    if not re.fullmatch(r"[\w.-]+", benchmark) or not path.is_file():
        if benchmark not in RULES.names():
            return StatedRoles()
        path = Path(RULES.load(benchmark))
    domains = read_yaml(path, "rules")
    return _parse(f"{path}: {domain}", domains.get(domain, domains.get(domain.partition("-")[0])))


def _parse(place: str, value: Any) -> StatedRoles:
    if value is None:
        return StatedRoles()
    if not isinstance(value, dict):
        raise BadInput(f"{place}: expected a mapping; its keys are {', '.join(_KEYS)}")
    if unknown := sorted(set(map(str, value)) - set(_KEYS)):
        raise BadInput(f"{place}: unknown key {unknown[0]!r}; known: {', '.join(_KEYS)}")
    by_tool: dict[str, ToolRole] = {}
    for key, role in _LISTS.items():
        listed = value.get(key, [])
        if not isinstance(listed, list) or not all(isinstance(tool, str) for tool in listed):
            raise BadInput(f"{place}.{key}: expected a list of tools' names")
        by_tool |= dict.fromkeys(listed, role)
    stated = value.get("roles", {})
    if not isinstance(stated, dict):
        raise BadInput(f"{place}.roles: expected tools' names with a role each, such as `ask_user: other`")
    by_tool |= {str(tool): _checked(role, f"{place}.roles.{tool}") for tool, role in stated.items()}
    confirm = value.get("confirm", False)
    if not isinstance(confirm, bool):
        raise BadInput(f"{place}.confirm: {confirm!r} is neither true nor false; give one of them")
    return StatedRoles(by_tool, frozenset(value) & {"identity", "write", "end"}, confirm)


def _checked(value: Any, place: str) -> ToolRole:
    if value not in ROLES:
        raise BadInput(f"{place}: {value!r} is no role; use one of {', '.join(ROLES)}")
    return next(role for role in ROLES if role == value)
