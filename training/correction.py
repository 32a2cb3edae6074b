"""Settings of a round of correction."""

from typing import Any

from pydantic import model_validator

from fama.mining.settings import MineSettings
from fama.settings import ExperimentSettings, Settings


class CorrectionSettings(Settings):
    """A round of correction: on which training tasks the router is run, and how its failures are mined."""

    run: ExperimentSettings
    """Tasks, model, helpers and limits, as of ``fama run``; the cadence is ``turn``, the selector the router."""
    mine: MineSettings = MineSettings()
    """Of ``fama mine``; its base is the router's own notes."""

    @model_validator(mode="before")
    @classmethod
    def _at_every_turn(cls, tree: Any) -> Any:
        """State what a round always does where it is not said, so that a dump of the settings says it."""
        if not isinstance(tree, dict):
            return tree
        run, mine = tree.get("run"), tree.get("mine", {})
        return {**tree, "run": _stating(run, "cadence", "turn"), "mine": _stating(mine, "base", "selector")}

    @model_validator(mode="after")
    def _a_round(self) -> "CorrectionSettings":
        if self.run.split == "test":
            raise ValueError("run.split: a router does not learn from test tasks; name another split")
        if self.run.cadence != "turn":
            raise ValueError("run.cadence: a round asks the router before every decision; leave it out, or say turn")
        if self.mine.base != "selector":
            raise ValueError("mine.base: a round mines what the router failed; leave it out, or say selector")
        return self


def _stating(group: Any, key: str, value: str) -> Any:
    """Return a group of settings with a value that it does not state itself; anything else as it is."""
    if isinstance(group, dict):
        return {key: value, **group}
    stated = not isinstance(group, Settings) or key in group.model_fields_set
    return group if stated else group.model_copy(update={key: value})
