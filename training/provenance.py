"""What produced a checkpoint: versions of the libraries."""

import platform
from importlib.metadata import PackageNotFoundError, version

from fama import __version__

_LIBRARIES = ("torch", "transformers", "peft", "lightning", "scikit-learn", "lightgbm", "numpy", "safetensors")


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of the libraries that training uses."""
    found = {"python": platform.python_version(), "fama": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
