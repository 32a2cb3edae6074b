"""Roles of a domain's tools as a YAML file states them."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fama.config import read_yaml
from fama.errors import BadInput

FOLDER = Path(__file__).with_name("rules")
_FIELDS = {"identity", "write", "end", "handover", "confirm"}


@dataclass(frozen=True)
class DomainRules:
    """Tools by role as a file states them.

    ``write``, ``end`` and ``handover`` are complete lists; None leaves the role to the tool's schema and name.
    """

    identity: frozenset[str] = frozenset()
    write: frozenset[str] | None = None
    end: frozenset[str] | None = None
    handover: frozenset[str] | None = None
    confirm: bool = False
    known: bool = False


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
