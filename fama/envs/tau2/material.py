"""Tools and policy of a τ²-bench domain, without a task."""

from fama.envs.tau2.package import load_module
from fama.envs.tau2.world import specs_of
from fama.episodes.attach import DomainMaterial
from fama.errors import BadInput


def material(domain: str) -> DomainMaterial:
    """Return what the installed package gives the agent of a domain.

    Raises:
        BadInput: the package is not installed or does not know the domain.
    """
    registry = load_module("registry").registry
    if domain not in registry.get_domains():
        raise BadInput(f"tau2: no domain {domain!r}; known: {', '.join(registry.get_domains())}")
    world = registry.get_env_constructor(domain)()
    return DomainMaterial(specs_of(world), str(world.get_policy()))
