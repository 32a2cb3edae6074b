"""``fama train``: examples → split → one kind of router → checkpoint folder with its card."""

import json
import shutil
import time
from pathlib import Path

from fama.config import dump_settings
from fama.episodes.spending import Spent
from fama.errors import BadInput
from fama.files import sweep, write_atomically
from fama.selection.router.checkpoint import WORK
from fama.selection.router.embedder import Embedder
from fama.selection.router.manifest import RouterManifest
from training.data.cost import data_cost
from training.data.examples import ExampleSet
from training.data.load import load_examples, taxonomy_of
from training.data.splits import Split, keep_apart, split_by_task
from training.export.checkpoint import finish
from training.kinds.base import Trained
from training.kinds.baseline_kinds import train_baseline
from training.kinds.context_free import OutcomeArrays, fit_population
from training.network.encoder import encoder_shape
from training.settings import STATE, TrainSettings


def train(settings: TrainSettings, out: Path, command: str = "", ckpt: str | None = None) -> RouterManifest | None:
    """Train on the files that the settings name and write ``out``; None on all processes but the first.

    Args:
        settings: what to learn from, and how.
        out: the checkpoint's folder; logs go to ``out/work``.
        command: the command line, for the card.
        ckpt: ``last`` or a path: resume an interrupted training of the same config.

    Raises:
        BadInput: data or settings cannot be used.
    """
    return train_on(settings, load_examples(settings), out, command, ckpt, data_cost(settings))


def train_on(
    settings: TrainSettings,
    data: ExampleSet,
    out: Path,
    command: str = "",
    ckpt: str | None = None,
    spent: tuple[Spent, ...] | None = None,
    embedder: Embedder | None = None,
) -> RouterManifest | None:
    """As ``train``, on examples in memory, which cost ``spent``; ``embedder`` may hold vectors of earlier trainings."""
    started = time.perf_counter()
    if ckpt is not None and settings.kind != "encoder":
        raise BadInput(f"--ckpt: a {settings.kind} router is fitted in one go; leave --ckpt out")
    wanted = settings.data
    split = split_by_task(
        data.examples,
        wanted.validation,
        wanted.split_seed,
        wanted.hold_out_domains,
        wanted.hold_out_backbones,
        wanted.training_share,
    )
    if settings.guarantee is not None:
        split = keep_apart(split, settings.guarantee.share, wanted.split_seed)
    work = out / WORK
    work.mkdir(parents=True, exist_ok=True)
    sweep(work)
    _remember(settings, data.digest(), work, resuming=ckpt is not None)
    if settings.kind == "encoder":
        trained = _train_encoder(settings, split, work, ckpt)
    else:
        trained = train_baseline(settings, split.train, embedder)
    if trained is None:
        return None
    # of a resumed training only the last part was timed
    seconds = None if ckpt is not None else round(time.perf_counter() - started, 1)
    fit = Spent(part="training", source=settings.kind, tokens=0, seconds=seconds)
    manifest = finish(settings, data, split, trained, out, command, None if spent is None else (*spent, fit))
    if not settings.trainer.keep_state:  # only now: a process that dies before can go on from it
        shutil.rmtree(work / STATE, ignore_errors=True)
    return manifest


def _train_encoder(settings: TrainSettings, split: Split, work: Path, ckpt: str | None) -> Trained | None:
    from training.network.fit import fit_network

    with_outcomes = bool(settings.losses.outcome)
    population = fit_population(OutcomeArrays(split.train, settings.losses)) if with_outcomes else None
    categories = len(taxonomy_of(settings.data).codes)
    fitted = fit_network(settings, split.train, split.validation, population, categories, work, ckpt)
    if fitted is None:
        return None
    encoder = fitted.encoder
    adapter = None
    if encoder.trainable:
        adapter = (encoder.adapter_config(), {name: value.numpy() for name, value in encoder.adapter_state().items()})
    state = fitted.network.state_dict()
    return Trained(
        arrays={name: value.detach().float().numpy() for name, value in state.items()},
        population=population,
        adapter=adapter,
        encoder=encoder_shape(settings.encoder, adapted=encoder.trainable),
        network=fitted.shape,
        labelled=bool(settings.losses.categories),
        notes={
            "epochs": str(fitted.epochs),
            "validation loss of the population (start)": f"{fitted.start_loss:.4f}",
            "best validation loss": f"{fitted.best_loss:.4f}"
            + ("" if fitted.best_loss < fitted.start_loss else " (no epoch beat the start, which was kept)"),
        },
    )


def _remember(settings: TrainSettings, digest: str, work: Path, resuming: bool) -> None:
    """Write the resolved config; on a resume, refuse another one (more epochs and other hardware are fine)."""
    path = work / "config.json"
    now = {**dump_settings(settings), "data_hash": digest}
    if resuming and path.is_file():
        then = json.loads(path.read_text(encoding="utf-8"))
        for key in sorted(now.keys() | then.keys()):
            a, b = (_comparable(value.get(key), key) for value in (then, now))
            if a != b:
                raise BadInput(f"{path}: {key} differs from the training to resume; leave --ckpt out to start anew")
    write_atomically(path, json.dumps(now, indent=2) + "\n")


def _comparable(value: object, key: str) -> object:
    if key in ("trainer", "decision"):
        return None
    if key == "optimiser" and isinstance(value, dict):
        return {name: part for name, part in value.items() if name not in ("epochs", "patience")}
    return value
