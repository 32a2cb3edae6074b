"""The paper's grid: configs × backbones × strategies, each cell one command."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eval.planning.cards import read_backbones
from eval.planning.comparison_plan import ComparisonPlan, plan_comparison
from fama.config import load_settings
from fama.settings import CompareSettings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "configs/compare"
BASE = f"{FOLDER}/paper.yaml"
#: The paper's base strategies, as the configs' first lines name them.
STRATEGIES = ("fc", "react")


@dataclass(frozen=True)
class PaperGridCell:
    """One comparison of the grid: ``config`` is laid over the base, backbone and strategy over both."""

    config: str
    backbone: str
    strategy: str

    @property
    def overrides(self) -> list[str]:
        """Return the settings that the cell has beyond its configs."""
        return [f"model.name={self.backbone}", f"strategy={self.strategy}"]

    @property
    def out(self) -> str:
        """Return the cell's folder."""
        name = Path(self.config).stem.removeprefix("paper-")
        return f"runs/paper/{name}/{self.backbone.rpartition('/')[2].lower()}-{self.strategy}"

    @property
    def words(self) -> list[str]:
        """Return the words of the command that runs the cell, after ``fama``."""
        return ["compare", "--config", BASE, "--config", self.config, "--out", self.out, *self.overrides]

    @property
    def command(self) -> str:
        """Return the command that runs the cell."""
        return f"fama {shlex.join(self.words)}"

    @property
    def settings(self) -> CompareSettings:
        """Return the cell's settings."""
        return load_settings(CompareSettings, [ROOT / BASE, ROOT / self.config], self.overrides)

    def plan(self) -> ComparisonPlan:
        """Return what ``--plan`` behind the command computes."""
        return plan_comparison(self.settings, ROOT / self.out)


def grid_cells() -> Iterator[PaperGridCell]:
    """Yield the cells, domain by domain."""
    for path in sorted((ROOT / FOLDER).glob("paper-*.yaml")):
        for backbone in read_backbones():
            for strategy in STRATEGIES:
                yield PaperGridCell(path.relative_to(ROOT).as_posix(), backbone, strategy)
