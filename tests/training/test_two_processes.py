"""Lightning's data-parallel strategy: two processes see the halves of each batch and learn what one would."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from fama.selection.router.checkpoint import read_manifest
from tests.support.tiny_encoder import write_tiny_encoder

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 4


def curve(out: Path, column: str) -> list[float]:
    """A column of Lightning's CSV log, epoch by epoch."""
    (log,) = out.rglob("metrics.csv")
    with log.open(encoding="utf-8", newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def train(folder: Path, processes: int, table: Path, encoder: Path) -> Path:
    """``fama train`` in a process of its own, as Lightning starts the second one with the same command line."""
    trainer: dict[str, str | int | bool] = {"accelerator": "cpu", "devices": processes}
    if processes > 1:
        trainer["strategy"] = "ddp"
    settings = {
        "kind": "encoder",
        "data": {"outcomes": [str(table)]},
        # no dropout anywhere, as each process draws its own: the encoder is frozen
        "encoder": {"name": str(encoder), "window": 32, "lora": None},
        "network": {"dropout": 0.0},
        # one batch holds all examples of a process, so that one step sees the same examples however many there are
        "optimiser": {"epochs": EPOCHS, "batch": 100_000, "lr": 0.01, "patience": EPOCHS},
        "trainer": {"wandb": "disabled", "progress": False, **trainer},
    }
    config, out = folder / f"{processes}.yaml", folder / f"out{processes}"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "fama", "train", "--config", str(config), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=1500,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_processes_give_the_loss_curve_of_one(tmp_path: Path, synthetic_table: Callable[[int], Path]) -> None:
    table, encoder = synthetic_table(40), write_tiny_encoder(tmp_path / "encoder")
    one, two = (train(tmp_path, processes, table, encoder) for processes in (1, 2))
    for column in ("train/loss", "val/loss"):
        alone, together = curve(one, column), curve(two, column)
        assert len(alone) >= EPOCHS
        # an odd example is seen twice by two processes: that is the tolerance
        assert together == pytest.approx(alone, rel=0.02), column
    assert curve(one, "train/loss")[-1] < curve(one, "train/loss")[0]
    assert read_manifest(two).data_hash == read_manifest(one).data_hash
