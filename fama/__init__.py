"""FAMA: failure-aware selection of helper agents for small tool-use LLMs, without training them.

The names of ``__all__`` are the public interface. They are loaded on use, so that importing the package loads nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fama.advising.advice import Advice
    from fama.advising.advisor import Advisor
    from fama.advising.notebook import diagnose, import_logs, load_episodes
    from fama.advising.wrapping import wrap

__version__ = "0.1.0"
__all__ = ["Advice", "Advisor", "diagnose", "import_logs", "load_episodes", "wrap"]

_HOMES = {
    "Advice": "fama.advising.advice",
    "Advisor": "fama.advising.advisor",
    "diagnose": "fama.advising.notebook",
    "import_logs": "fama.advising.notebook",
    "load_episodes": "fama.advising.notebook",
    "wrap": "fama.advising.wrapping",
}


def __getattr__(name: str) -> object:
    """Load a public name on its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
