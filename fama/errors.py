"""Errors that users see, and the four boundaries an episode's error can cross."""

from typing import Literal

Boundary = Literal["model", "environment", "user", "harness"]


class FamaError(Exception):
    """Work that failed; what was finished is kept. The command line exits with 1."""


class BadInput(FamaError):
    """Input that cannot be used: one line that names the file, the field and the fix. Exit code 2."""


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
