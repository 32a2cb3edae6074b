"""The LightningModule: encoder (trained or frozen), network and losses."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from fama.randomness import derive_seed
from fama.selection.router.encoder import SegmentEncoder
from fama.selection.router.network import Heads, NetworkInput, RouterNetwork
from training.network.batches import Batch
from training.network.losses import Choices, all_losses
from training.settings import TrainSettings


class RouterModule(LightningModule):
    """Trains a router. Frozen encoder weights stay out of Lightning's checkpoints."""

    strict_loading = False

    def __init__(
        self,
        encoder: SegmentEncoder,
        network: RouterNetwork,
        settings: TrainSettings,
        frame: Sequence[Sequence[int]] = (),
        choices: Choices | None = None,
    ) -> None:
        """``frame`` are the token ids of the chunks of policies and tools, for an encoder that is trained."""
        super().__init__()
        self.frame = frame
        self.frame_vectors = torch.zeros((0, encoder.size))
        self.choices = choices
        self.settings = settings
        self.network = network
        self.encoder = encoder
        helpers = network.shape.helpers
        self.label_scale = nn.Parameter(torch.ones(2))
        self.label_bias = nn.Parameter(torch.zeros(2, helpers))
        losses = settings.losses
        for parameter in (self.label_scale, self.label_bias):
            parameter.requires_grad_(bool(losses.coverage or losses.distillation))
        network.categories.requires_grad_(bool(losses.categories))

    def forward(self, batch: Batch) -> Heads:
        """Return the heads of every state of the batch."""
        vectors = self._vectors(batch) if self.encoder.trainable else batch.vectors
        return self.network(  # type: ignore[no-any-return]
            NetworkInput(vectors.float(), batch.place, batch.mask, batch.kinds, batch.buckets, batch.evidence)
        )

    def _vectors(self, batch: Batch) -> Tensor:
        own = self.encoder(batch.ids, batch.id_mask).float() if len(batch.ids) else batch.vectors
        return torch.cat([own, self.frame_vectors[batch.frame]])

    def on_train_epoch_start(self) -> None:
        """Encode policies and tools with the encoder as it is now."""
        self._encode_frame()

    def on_validation_epoch_start(self) -> None:
        """Encode policies and tools with the encoder as it is now."""
        self._encode_frame()

    def _encode_frame(self) -> None:
        if not self.frame:
            return
        training = self.encoder.training
        self.encoder.eval()
        with torch.no_grad():
            ids, mask = (part.to(self.device) for part in self.encoder.pad(self.frame))
            self.frame_vectors = self.encoder(ids, mask).float()
        self.encoder.train(training)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the switched-on losses and their sum; utilities are scaled and shifted into label logits."""
        heads = self(batch)
        coverage = self.label_scale[0] * heads.utility + self.label_bias[0]
        distilled = self.label_scale[1] * heads.utility + self.label_bias[1]
        return all_losses(self.settings.losses, heads, batch.targets, coverage, distilled, self.choices)

    def on_fit_start(self) -> None:
        """Seed the draws of dropout, independent of what ran before."""
        torch.manual_seed(derive_seed(self.settings.seed, "dropout", self.global_rank, self.current_epoch))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss of one step."""
        losses = self.losses(batch)
        self._log("train", losses, batch)
        return losses["loss"]

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the validation losses."""
        self._log("val", self.losses(batch), batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW with its own rate and decay for the context-free part, heads, adapters and the rest."""
        rates, network = self.settings.optimiser, self.network
        heads, context_free = [network.heads.weight], [network.population]
        special = {id(p) for p in (*heads, *context_free)}
        rest = [p for p in network.parameters() if id(p) not in special]
        adapters = [p for p in self.encoder.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": context_free, "lr": rates.lr_population, "weight_decay": 0.0},
            {"params": heads, "lr": rates.lr, "weight_decay": rates.decay_heads},
            {"params": rest, "lr": rates.lr, "weight_decay": rates.decay},
            {"params": [self.label_scale, self.label_bias], "lr": rates.lr, "weight_decay": 0.0},
        ]
        if adapters:
            groups.append({"params": adapters, "lr": rates.lr_encoder, "weight_decay": rates.decay})
        return torch.optim.AdamW(groups)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep only what is trained, and buffers of the network."""
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        checkpoint["state_dict"] = {
            name: value
            for name, value in checkpoint["state_dict"].items()
            if name in trained or name.startswith("network.")
        }

    def _log(self, stage: str, losses: dict[str, Tensor], batch: Batch) -> None:
        size = len(batch.evidence)
        for name, value in losses.items():
            self.log(
                f"{stage}/{name}",
                value.detach(),
                on_step=False,
                on_epoch=True,
                batch_size=size,
                prog_bar=name == "loss",
                sync_dist=True,
            )
