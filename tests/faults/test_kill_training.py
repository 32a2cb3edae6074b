"""kill -9 at random moments of a training: what ends at last is, byte for byte, the router of an unbroken one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fama.selection.router.checkpoint import load_router
from fama.selection.router.manifest import TOLD
from tests.support.crashes import drive, kill_until
from tests.support.tiny_encoder import write_tiny_encoder

COMMON = ("seed=3", "trainer.wandb=disabled", "trainer.progress=false", "trainer.accelerator=cpu", "trainer.devices=1")


def router(out: Path) -> dict[str, object]:
    """Weights and measures of a checkpoint, and what it says about itself but how it came about."""
    assert load_router(out).folder == out
    said = {key: value for key, value in json.loads((out / "router.json").read_text()).items() if key not in TOLD}
    metrics = json.loads((out / "work" / "metrics.json").read_text())
    assert not list(out.rglob("*.tmp-*")) and not (out / "work" / "state").exists()
    return {"manifest": said, "metrics": metrics, **{p.name: p.read_bytes() for p in out.rglob("*.safetensors")}}


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_a_killed_fit_of_a_linear_router(tmp_path: Path, synthetic_table: Callable[[int], Path], kills: int) -> None:
    table = synthetic_table(16)
    hashed = ("vectors.source=hashed", "vectors.components=4", "vectors.buckets=64", "linear.folds=2")

    def command(out: Path) -> list[str]:
        return ["train", "kind=linear", *COMMON, *hashed, f"data.outcomes=[{table}]", "--out", str(out)]

    (unbroken,) = drive(tmp_path, "training", [{"argv": command(tmp_path / "unbroken")}])
    assert unbroken.code == 0, unbroken.stderr
    outs, killed = kill_until(kills, tmp_path, "training", command, unbroken)
    assert killed >= kills
    for out in outs:
        assert router(out) == router(tmp_path / "unbroken")


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kills", [4, 50])
def test_a_killed_training_of_an_encoder_goes_on_from_its_last_epoch(
    tmp_path: Path, synthetic_table: Callable[[int], Path], kills: int
) -> None:
    """With batches in random order, dropout and early stopping; ``--ckpt last`` wherever there is a state."""
    table, encoder = synthetic_table(24), write_tiny_encoder(tmp_path / "encoder")
    tiny = (f"encoder.name={encoder}", "encoder.window=32", "encoder.lora={rank: 2, alpha: 4}")
    fit = ("optimiser.epochs=5", "optimiser.patience=2", "optimiser.batch=32")

    def command(out: Path) -> list[str]:
        return ["train", "kind=encoder", *COMMON, *tiny, *fit, f"data.outcomes=[{table}]", "--out", str(out)]

    (unbroken,) = drive(tmp_path, "training", [{"argv": command(tmp_path / "unbroken")}])
    assert unbroken.code == 0, unbroken.stderr
    outs, killed = kill_until(kills, tmp_path, "training", command, unbroken, resume=("--ckpt", "last"))
    assert killed >= kills
    for out in outs:
        assert router(out) == router(tmp_path / "unbroken")
