"""State of a training beside Lightning's own, so that it ends as if it had never been interrupted."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO

from fama.files import replacing


class SameDraws(Callback):
    """Keeps the random draws of batches and dropout, and the patience that is used up, from one part to the next.

    The draws of dropout are kept for one process on the CPU; several processes, and GPUs, go on with other draws.

    Args:
        order: what shuffles the training batches.
        stopper: the early stopping, which forgets on a resume that it had stopped, and takes back an earlier patience.
        folder: where Lightning's states are, by the name that it has for it.
    """

    def __init__(self, order: torch.Generator, stopper: EarlyStopping, folder: str) -> None:
        self._folder = folder
        self._order = order
        self._stopper = stopper
        self._patience = stopper.patience
        self._dropout: torch.Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the generators' states, after the epoch that a checkpoint follows."""
        return {"order": self._order.get_state(), "dropout": torch.get_rng_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back; dropout's once training starts, which seeds it."""
        self._order.set_state(state_dict["order"])
        self._dropout = state_dict["dropout"]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Look for the best state where it is now: of a folder that was moved, Lightning forgets the best score."""
        for state in checkpoint["callbacks"].values():
            if "best_k_models" in state:
                state |= {name: self._here(path) for name, path in state.items() if name.endswith("_model_path")}
                state["best_k_models"] = {self._here(path): score for path, score in state["best_k_models"].items()}
                state["dirpath"] = self._folder

    def _here(self, path: str) -> str:
        return str(Path(self._folder) / Path(path).name) if path else path

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on from the states that were loaded; do not go on after an early stop."""
        if self._dropout is not None and trainer.world_size == 1:
            torch.set_rng_state(self._dropout)
        self._stopper.patience = self._patience
        if self._stopper.wait_count >= self._stopper.patience:
            trainer.should_stop = True


class WholeFiles(TorchCheckpointIO):
    """Writes a training state whole or not at all, and synced: killed in the midst of it, the one before is there."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write beside the old file first, then in its place."""
        with replacing(Path(path)) as temporary:
            torch.save(checkpoint, temporary)
