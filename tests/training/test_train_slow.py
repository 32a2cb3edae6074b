from pathlib import Path

import pytest
import torch

from fama.selection.router.checkpoint import load_router, read_manifest
from fama.selection.router.encoder import DEFAULT_ENCODER
from fama.selection.router.features import featurise
from fama.subsets import POOL
from training.data.examples import outcome_examples
from training.data.synthetic import best_fixed_regret, make_tasks, outcome_rows, regrets
from training.settings import TrainSettings
from training.train import train_on

LAM = 0.01


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("lora", "count", "epochs"), [(False, 300, 30), (True, 100, 2)], ids=["frozen", "lora"])
def test_minilm_on_synthetic_tasks(lora: bool, count: int, epochs: int, tmp_path: Path) -> None:
    """Frozen with enough rows it beats the best fixed subset; with adapters and few it trains, saves and loads."""
    torch.set_num_threads(1)
    settings = TrainSettings.model_validate(
        {
            "kind": "encoder",
            "decision": {"lam": LAM},
            "encoder": {} if lora else {"lora": None},
            "optimiser": {"epochs": epochs},
            "trainer": {"wandb": "disabled", "progress": False},
        }
    )
    data = outcome_examples(outcome_rows(make_tasks(count)), POOL)
    manifest = train_on(settings, data, tmp_path)
    assert manifest is not None and manifest.encoder is not None
    assert manifest.encoder.name == DEFAULT_ENCODER
    assert str(Path.cwd()) not in (tmp_path / "router.json").read_text() + (tmp_path / "README.md").read_text()
    tasks = make_tasks(150, seed=1)
    states = [featurise(task.state) for task in tasks]
    router, again = load_router(tmp_path), load_router(tmp_path)
    chosen = [router.choose(state).members for state in states]
    assert chosen == [again.choose(state).members for state in states]
    assert read_manifest(tmp_path).calibration.rows >= 60
    assert manifest.encoder.adapted == lora
    if not lora:
        assert regrets(tasks, chosen, LAM).mean() < best_fixed_regret(tasks, LAM)
