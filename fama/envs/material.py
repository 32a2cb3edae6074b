"""Tools and policies of known benchmarks, from their installed packages."""

from collections.abc import Callable
from pathlib import Path

from fama.episodes.attach import Attachment, DomainMaterial, read_policy, read_roles, read_tools
from fama.registry import Registry

#: Word for the tools or the policy of the log's own benchmark, from its installed package.
OWN = "benchmark"
#: By the benchmark's name in imported logs: gives the material of a domain.
MATERIALS: Registry[Callable[[str], DomainMaterial]] = Registry(
    "materials", {"tau2": "fama.envs.tau2.material:material"}
)


def known_material(benchmark: str, domain: str) -> DomainMaterial:
    """Return a domain's own tools and policy; nothing for a benchmark that is not listed.

    Raises:
        BadInput: the benchmark's package is not installed, or does not know the domain.
    """
    return MATERIALS.load(benchmark)(domain) if benchmark in MATERIALS.names() else DomainMaterial()


def attachment(tools: str | None, policy: str | None, roles: str | None = None) -> Attachment:
    """Return what adds the given tools and policy to episodes, each from a file or by ``OWN``, and roles from a file.

    Raises:
        BadInput: a file cannot be read, or holds none.
    """
    given = DomainMaterial(
        None if tools in (None, OWN) else read_tools(Path(str(tools))),
        None if policy in (None, OWN) else read_policy(Path(str(policy))),
    )

    def known(benchmark: str, domain: str) -> DomainMaterial:
        if OWN not in (tools, policy):
            return given
        own = known_material(benchmark, domain)
        return DomainMaterial(own.tools if tools == OWN else given.tools, own.policy if policy == OWN else given.policy)

    return Attachment(known, read_roles(Path(roles)) if roles is not None else {})
