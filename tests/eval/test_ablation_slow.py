"""What 4,000 SYNTHETIC training rows teach a linear router on MiniLM: a floor, not the goal (docs/router.md)."""

from pathlib import Path

import pytest

from eval.ablation.run import ablate
from eval.ablation.settings import AblateSettings


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_four_thousand_synthetic_rows(tmp_path: Path) -> None:
    settings = AblateSettings.model_validate(
        {
            "train": {"decision": {"lam": 0.01}},
            "synthetic": {"tasks": 1000, "test_tasks": 300, "test_seed": 78},
            "variants": [{"name": "linear", "set": {"kind": "linear"}}],
        }
    )
    (cell,) = ablate(settings, tmp_path, "fama ablate", lambda line: None).cells
    assert cell.train_rows == 4000 and cell.test_tasks == 300
    closed, error = cell.measures["gap of best_fixed closed"], cell.measures["calibration error"]
    assert closed.low is not None and closed.low > 0.0
    assert error.value is not None and error.value < 0.1
