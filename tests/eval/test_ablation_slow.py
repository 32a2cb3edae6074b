"""Results of 4,000 SYNTHETIC training rows: the goals that a router on words reaches (docs/router.md)."""

from pathlib import Path

import pytest

from eval.ablation.settings import AblateSettings
from eval.ablation.variant_runs import ablate


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_four_thousand_synthetic_rows(tmp_path: Path) -> None:
    settings = AblateSettings.model_validate(
        {
            "train": {"decision": {"lam": 0.01, "epsilon": 0.02}},
            "synthetic": {"effects": "strong", "tasks": 1000, "test_tasks": 300, "test_seed": 78},
            "variants": [{"name": "linear-hashed", "set": {"kind": "linear", "vectors": {"source": "hashed"}}}],
        }
    )
    ceiling, cell = ablate(settings, tmp_path, "fama ablate", lambda line: None).cells
    assert cell.train_rows == 4000 and cell.test_tasks == 300
    found = {name: measure.value or 0.0 for name, measure in cell.measures.items()}
    assert found["regret"] <= 0.03 and found["gap of best_fixed closed"] >= 0.5
    assert 0.0 < found["calibration error"] <= 0.05 and found["exactly the minimal"] >= 0.75
    assert (ceiling.measures["exactly the minimal"].value or 0.0) > found["exactly the minimal"] - 0.1
