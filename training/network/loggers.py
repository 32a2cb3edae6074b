"""CSV logs always; wandb beside them, offline unless told otherwise, and never outside the output folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fama.config import dump_settings
from fama.redaction import redact_tree
from training.settings import TrainSettings


@contextmanager
def contained(work: Path, mode: str) -> Iterator[str]:
    """Keep what wandb writes under ``work``, by its environment; yields the mode, which WANDB_MODE wins."""
    mode = os.environ.get("WANDB_MODE") or mode
    folder = work.resolve() / "wandb"
    if mode != "disabled":
        folder.mkdir(parents=True, exist_ok=True)
    places = {f"WANDB_{name}_DIR": str(folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT")}
    ours = {"WANDB_MODE": mode, "WANDB_DIR": str(work.resolve()), "WANDB_SILENT": "true", **places}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update({name: value for name, value in ours.items() if before[name] is None})
    try:
        yield mode
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


@contextmanager
def loggers(settings: TrainSettings, work: Path) -> Iterator[list[Any]]:
    """Open Lightning loggers that write under ``work``; wandb's environment is restored afterwards."""
    from lightning.pytorch.loggers import CSVLogger

    found: list[Any] = [CSVLogger(work, name="logs")]
    with contained(work, settings.trainer.wandb) as mode:
        if mode == "disabled":
            yield found
            return
        from lightning.pytorch.loggers import WandbLogger

        wandb = WandbLogger(
            project=settings.trainer.project,
            save_dir=work,
            mode=mode,
            config=redact_tree(dump_settings(settings)),
            log_model=False,
        )
        yield [*found, wandb]
        import wandb as library

        library.finish()
