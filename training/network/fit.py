"""Training of the network (and adapters) by Lightning; returns the best weights."""

import copy
import pickle
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from fama.errors import BadInput
from fama.helpers.pool import member_names
from fama.randomness import derive_seed
from fama.selection.decision_rule import Floats, Objective, subsets_to_choose_from
from fama.selection.router.encoder import SegmentEncoder
from fama.selection.router.manifest import NetworkShape
from fama.selection.router.network import RouterNetwork
from fama.selection.router.scores import pair_features
from fama.subsets import exclusive_groups
from training.data.examples import Example
from training.data.row_weights import advantages, outcome_weights
from training.network.batches import Collate
from training.network.initialise import build_network, network_shape, utilities_as_labels
from training.network.loggers import loggers
from training.network.losses import Choices
from training.network.module import RouterModule
from training.network.resume import SameDraws, WholeFiles
from training.network.trained_encoder import ChunkTable, build_encoder, chunk_table, message_vectors
from training.network.warm_start import start_from
from training.settings import STATE, TrainSettings


@dataclass(frozen=True)
class Fitted:
    """The best network and encoder, with validation losses of the start (context-free) and of the best epoch."""

    encoder: SegmentEncoder
    network: RouterNetwork
    shape: NetworkShape
    start_loss: float
    best_loss: float
    epochs: int


def fit_network(
    settings: TrainSettings,
    train: Sequence[Example],
    validation: Sequence[Example],
    context_free: Floats | None,
    categories: int,
    work: Path,
    ckpt: str | None = None,
) -> Fitted | None:
    """Train with Lightning; None on every process but the first.

    The weights of the epoch with the smallest validation loss are kept, or those of the start where
    no epoch beat it. Lightning's own state stays in ``work/state`` until the caller has kept the result.

    Raises:
        BadInput: there is no state to resume from.
        KeyboardInterrupt: training was interrupted; ``--ckpt last`` goes on from its last epoch.
    """
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

    state = work / STATE
    resume = _resume(state, ckpt)
    with torch.random.fork_rng():
        encoder = build_encoder(settings.encoder, settings.seed)
        helpers = len(settings.data.pool)
        shape = network_shape(settings.network, encoder.size, len(train[0].features.evidence), helpers, categories)
        start_vectors = message_vectors(encoder, train)
        torch.manual_seed(derive_seed(settings.seed, "network"))
        network = build_network(shape, train, context_free, start_vectors)
        if settings.init is not None:
            start_from(settings.init, settings.data, encoder, network)
        untrained = copy.deepcopy(network)
        adapters = {name: part.detach().clone() for name, part in encoder.named_parameters() if part.requires_grad}
        table = chunk_table(encoder, [*train, *validation])
        module = RouterModule(encoder, network, settings, table.windows[: table.frame], _choices(settings, train))
        order = torch.Generator().manual_seed(derive_seed(settings.seed, "batches"))
        loaders = _loaders(settings, encoder, table, train, validation, categories, order)
        judged = settings.losses.outcome and any(example.success is not None for example in validation)
        monitor = "val/outcome" if judged else "val/loss"
        saver = ModelCheckpoint(state, filename="best", monitor=monitor, enable_version_counter=False)
        # of its own: with save_last, Lightning saves no last state of an epoch that is not the best one
        every = ModelCheckpoint(state, filename="last", enable_version_counter=False)
        stopper = EarlyStopping(monitor, patience=settings.optimiser.patience)
        with loggers(settings, work) as found:
            trainer = Trainer(
                accelerator=settings.trainer.accelerator,
                devices=settings.trainer.devices,
                strategy=settings.trainer.strategy,
                precision=_precision(settings.trainer.precision),
                max_epochs=settings.optimiser.epochs,
                gradient_clip_val=settings.optimiser.clip,
                callbacks=[saver, every, stopper, SameDraws(order, stopper, str(saver.dirpath))],
                plugins=[WholeFiles()],
                logger=found,
                default_root_dir=work,
                enable_progress_bar=settings.trainer.progress,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                log_every_n_steps=1,
            )
            start = float(trainer.validate(module, loaders[1], verbose=False)[0][monitor])
            with _ctrl_c_stays(trainer):
                trainer.fit(module, *loaders, ckpt_path=str(resume) if resume else None, weights_only=True)
    if not trainer.is_global_zero:
        return None
    best = float(saver.best_model_score) if saver.best_model_score is not None else start
    if best < start:
        saved = torch.load(saver.best_model_path, map_location="cpu", weights_only=True)
        module.load_state_dict(saved["state_dict"], strict=False)
        encoder, network = module.encoder.cpu(), module.network.cpu()
        label = 0 if settings.losses.coverage else 1
        if not settings.knows_success:
            scale, bias = module.label_scale.detach().cpu(), module.label_bias.detach().cpu()
            utilities_as_labels(network, float(scale[label]), bias[label])
    else:
        best, encoder, network = start, module.encoder.cpu(), untrained
        encoder.load_state_dict(adapters, strict=False)
    return Fitted(encoder, network, shape, start, best, trainer.current_epoch)


def _loaders(
    settings: TrainSettings,
    encoder: SegmentEncoder,
    table: ChunkTable,
    train: Sequence[Example],
    validation: Sequence[Example],
    categories: int,
    order: torch.Generator,
) -> tuple[DataLoader[Any], DataLoader[Any]]:
    weights = {id(e): w for e, w in zip(train, outcome_weights(train, settings.losses), strict=True)}
    gains = {**advantages(train, settings.decision.lam), **advantages(validation, settings.decision.lam)}
    collate = Collate(encoder, table, categories, weights, gains)
    size = settings.optimiser.batch

    def loader(examples: Sequence[Example], shuffle: bool) -> DataLoader[Any]:
        data: Any = list(examples)
        return DataLoader(data, size, shuffle=shuffle, collate_fn=collate, generator=order if shuffle else None)

    return loader(train, True), loader(validation, False)


def _choices(settings: TrainSettings, train: Sequence[Example]) -> Choices | None:
    """Return the subsets that the decision loss chooses from; None where it is off."""
    if not settings.losses.decision:
        return None
    executed = None
    if settings.decision.candidates == "executed":
        executed = np.array([example.subset for example in train if example.subset is not None], dtype=np.bool_)
    pool = member_names(settings.data.pool)
    members = subsets_to_choose_from(len(pool), executed, exclusive_groups(pool)).astype(np.float64)
    pairs = torch.from_numpy(pair_features(members)).float()
    objective = Objective(settings.decision.lam, settings.decision.epsilon, settings.decision.softness)
    return Choices(torch.from_numpy(members).float(), pairs, objective)


def _resume(state: Path, ckpt: str | None) -> Path | None:
    if ckpt is None:
        shutil.rmtree(state, ignore_errors=True)
        return None
    path = state / "last.ckpt" if ckpt == "last" else Path(ckpt)
    if not path.is_file():
        raise BadInput(f"{path}: no training state to resume from; leave --ckpt out to start anew")
    if path.parent.resolve() != state.resolve():  # its config and its best state are in its own folder
        raise BadInput(f"{path}: a state of another training; give the folder where it began as --out, and --ckpt last")
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError):
        raise BadInput(f"{path}: damaged or not a training state; leave --ckpt out to start anew") from None
    return path


@contextmanager
def _ctrl_c_stays(trainer: Any) -> Iterator[None]:
    """Pass Ctrl-C on as the interrupt: Lightning turns it into an exit and ignores further ones."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        if not trainer.interrupted:
            raise
        if main:
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


def _precision(name: str) -> Any:
    if name != "auto":
        return name
    return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32-true"
