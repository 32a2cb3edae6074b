"""What a domain's tools do: read, change, check identity, end. From a small YAML file, else from their names."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fama.config import read_yaml
from fama.errors import BadInput

FOLDER = Path(__file__).with_name("rules")
_FIELDS = {"identity", "write", "end", "handover", "confirm"}
_READ = re.compile(
    r"^(get|find|list|search|look_?up|look|check|calculate|compute|think|verify|authenticate|identify|read|fetch|show|"
    r"view|describe|track|query|count|compare|inspect|troubleshoot|respond|ask)(_|$)"
)
_END = re.compile(
    r"^(transfer|escalate|hand_?over|close|finish|finali[sz]e|end|done|complete|resolve|deny|refuse)(_|$)"
)
_HANDOVER = re.compile(r"transfer|escalate|hand_?over|human")
_IDENTITY = re.compile(r"^(verify|authenticate|identify)_|^(find|look_?up)_(user|customer|patient|account|member)")


@dataclass(frozen=True)
class DomainRules:
    """Roles of a domain's tools. ``write`` None: every tool whose name begins with no verb of reading or ending."""

    identity: frozenset[str] = frozenset()
    write: frozenset[str] | None = None
    end: frozenset[str] | None = None
    handover: frozenset[str] | None = None
    confirm: bool = False
    known: bool = False

    def writes(self, tool: str) -> bool:
        """Whether the tool changes data."""
        if self.write is not None:
            return tool in self.write
        return not _READ.match(tool) and not self.ends(tool)

    def ends(self, tool: str) -> bool:
        """Whether the tool ends the conversation."""
        return tool in self.end if self.end is not None else bool(_END.match(tool))

    def hands_over(self, tool: str) -> bool:
        """Whether the tool gives the case to a human."""
        return tool in self.handover if self.handover is not None else bool(_HANDOVER.search(tool))

    def identifies(self, tool: str) -> bool:
        """Whether the tool checks or finds who is speaking."""
        return tool in self.identity if self.known else bool(_IDENTITY.match(tool))


#: τ²-bench took airline and retail over from τ-bench, with their tools and policies.
_SAME = {"tau2": "tau-bench"}


@lru_cache(maxsize=64)
def rules_for(benchmark: str, domain: str) -> DomainRules:
    """The rules of a domain; for one without a file, roles are read off the tools' names.

    A benchmark that is run and its imported logs (``tau_bench``, ``tau-bench``) have the same rules, and so has a
    domain with a user's trait (``retail-skeptical``).

    Raises:
        BadInput: the rule file has an unknown key.
    """
    path = FOLDER / f"{_SAME.get(benchmark, benchmark.replace('_', '-'))}.yaml"
    if not re.fullmatch(r"[\w.-]+", benchmark) or not path.is_file():
        return DomainRules()
    rules = read_yaml(path, "rules")
    return _parse(path, domain, rules.get(domain, rules.get(domain.partition("-")[0])))


def _parse(path: Path, domain: str, value: Any) -> DomainRules:
    if value is None:
        return DomainRules()
    unknown = set(value) - _FIELDS
    if unknown:
        raise BadInput(f"{path}: {domain}: unknown key {sorted(unknown)[0]!r}; known: {', '.join(sorted(_FIELDS))}")

    def names(key: str) -> frozenset[str] | None:
        return frozenset(value[key]) if key in value else None

    return DomainRules(
        identity=names("identity") or frozenset(),
        write=names("write"),
        end=names("end"),
        handover=names("handover"),
        confirm=bool(value.get("confirm", False)),
        known=True,
    )
