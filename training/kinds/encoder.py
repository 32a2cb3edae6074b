"""The encoder router: a network over segment embeddings, with adapters in the encoder, trained by Lightning."""

import logging
import warnings

from training.data.load import taxonomy_of
from training.kinds.base import FitTask, RouterTrainer, Trained
from training.kinds.context_free import OutcomeArrays, fit_context_free
from training.kinds.label_arrays import LabelArrays


class EncoderTrainer(RouterTrainer):
    """Trains in epochs, from the context-free model, on every loss."""

    groups = frozenset({"encoder", "network", "optimiser"})
    losses = frozenset({"outcome", "coverage", "distillation", "categories", "decision"})
    resumable = True
    warm_start = True

    def fit(self, task: FitTask) -> Trained | None:
        """Fit the network and the adapters; None on every process but the first."""
        from training.network.fit import fit_network
        from training.network.trained_encoder import encoder_shape

        settings, split = task.settings, task.split
        context_free = fit_context_free(OutcomeArrays(split.train, settings.losses)) if task.with_outcomes else None
        if task.with_labels:
            LabelArrays(split.train)
        categories = len(taxonomy_of(settings.data).codes)
        fitted = fit_network(settings, split.train, split.validation, context_free, categories, task.work, task.ckpt)
        if fitted is None:
            return None
        encoder = fitted.encoder
        adapter = None
        if encoder.trainable:
            weights = {name: value.numpy() for name, value in encoder.adapter_state().items()}
            adapter = (encoder.adapter_config(), weights)
        start = "context-free model" if settings.init is None else "initial router"
        kept = "" if fitted.best_loss < fitted.start_loss else " (no epoch beat the start, which was kept)"
        return Trained(
            arrays={name: value.detach().float().numpy() for name, value in fitted.network.state_dict().items()},
            context_free=context_free,
            adapter=adapter,
            encoder=encoder_shape(settings.encoder, adapted=encoder.trainable),
            network=fitted.shape,
            labelled=bool(settings.losses.categories),
            notes={
                "epochs": str(fitted.epochs),
                f"validation loss of the {start} (start)": f"{fitted.start_loss:.4f}",
                "best validation loss": f"{fitted.best_loss:.4f}{kept}",
            },
        )

    def quieten(self) -> None:
        """Keep the progress bar; drop the libraries' tips and their notices about each other's versions."""
        import lightning.pytorch  # noqa: F401 - sets the level of its logger when it is imported

        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        for library in ("transformers", "lightning"):
            warnings.filterwarnings("ignore", module=library)
