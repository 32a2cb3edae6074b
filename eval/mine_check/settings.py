"""Settings of ``fama mine-check``. What an execution is comes from the mined episodes and from their repairs."""

from pydantic import Field

from fama.mining.settings import RouteSettings
from fama.settings import Settings


class MineCheckSettings(Settings):
    """Settings of ``fama mine-check``."""

    failures: int | None = Field(default=None, ge=1)
    """Failures to check at most; None checks all."""
    largest: int = Field(default=6, ge=1)
    """Helpers left open, above which a failure is not checked: k helpers are 2^k − 1 runs."""
    model: RouteSettings = RouteSettings()
    """The way to the backbone; None is as in mining, whose response cache is used on."""
    concurrency: int = Field(default=1, ge=1)
    """Failures checked at once."""
    seed: int = 0
    """Seed of the intervals' bootstrap."""
