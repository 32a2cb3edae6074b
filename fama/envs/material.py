"""Tools and policies of known benchmarks, from their installed packages."""

from collections.abc import Callable

from fama.episodes.attach import Material
from fama.registry import Registry

#: By the benchmark's name in imported logs: gives the material of a domain.
MATERIALS: Registry[Callable[[str], Material]] = Registry("materials", {"tau2": "fama.envs.tau2.material:material"})


def known_material(benchmark: str, domain: str) -> Material:
    """Return a domain's own tools and policy; nothing for a benchmark that is not listed.

    Raises:
        BadInput: the benchmark's package is not installed, or does not know the domain.
    """
    return MATERIALS.load(benchmark)(domain) if benchmark in MATERIALS.names() else Material()
