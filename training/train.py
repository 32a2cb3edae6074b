"""``fama train``: examples → split → one kind of router → checkpoint folder with its card."""

import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fama.config import dump_settings
from fama.episodes.spending import Spent
from fama.errors import BadInput
from fama.files import sweep_temporary, write_atomically
from fama.selection.router.checkpoint import read_manifest
from fama.selection.router.checkpoint_files import WORK
from fama.selection.router.embedder import Embedder
from fama.selection.router.features import PromptPart, hide
from fama.selection.router.manifest import RouterManifest
from fama.settings import hashed_form
from training.data.absent import balanced, hidden_parts
from training.data.cost import data_cost
from training.data.examples import Example, ExampleSet
from training.data.form import form_signs
from training.data.load import load_examples, taxonomy_of
from training.data.splits import errors_to_certify, keep_apart, split_by_task
from training.export.checkpoint import finish
from training.export.guarantee import check_all_helpers
from training.kinds.base import FitTask, trainer_of
from training.settings import STATE, TrainSettings

log = logging.getLogger(__name__)
#: Features of form that are told of one by one.
_SIGNS = 5


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
    """Train on examples in memory, which cost ``spent``; ``embedder`` may hold vectors of earlier trainings."""
    started = time.perf_counter()
    trainer = trainer_of(settings.kind)
    if ckpt is not None and not trainer.resumable:
        raise BadInput(f"--ckpt: a {settings.kind} router is fitted in one go; leave --ckpt out")
    wanted, data = settings.data, _with_initial(settings, data)
    hidden = hidden_parts(data.examples, wanted.absent)
    examples = [replace(example, features=hide(example.features, hidden)) for example in data.examples]
    if not wanted.repairs:  # the form of a state before a decision tells how far the episode is, not which log it is of
        warn_of_form(examples, hidden, settings, data.pool)
    split = split_by_task(
        examples,
        wanted.validation,
        wanted.split_seed,
        wanted.hold_out_domains,
        wanted.hold_out_backbones,
        wanted.training_share,
    )
    if settings.guarantee is not None:
        check_all_helpers([*data.examples, *data.errors], data.pool, wanted.outcomes)
        split = keep_apart(split, settings.guarantee.share, wanted.split_seed)
        errors = [
            replace(error, features=hide(error.features, hidden))
            for error in data.errors
            if error.domain not in wanted.hold_out_domains and error.backbone not in wanted.hold_out_backbones
        ]
        chance = (1.0 - wanted.validation) * wanted.training_share * settings.guarantee.share
        certify = (*split.certify, *errors_to_certify(split, examples, errors, chance, wanted.split_seed))
        split = replace(split, certify=certify)
    fitted = replace(split, train=balanced(split.train)) if wanted.absent == "balance" else split
    work = out / WORK
    work.mkdir(parents=True, exist_ok=True)
    sweep_temporary(work)
    _remember(settings, data.digest(), work, resuming=ckpt is not None)
    trained = trainer.fit(FitTask(settings, fitted, work, hidden, ckpt, embedder))
    if trained is None:
        return None
    # of a resumed training only the last part was timed
    seconds = None if ckpt is not None else round(time.perf_counter() - started, 1)
    fit = Spent(part="training", source=settings.kind, tokens=0, seconds=seconds)
    manifest = finish(settings, data, split, hidden, trained, out, command, None if spent is None else (*spent, fit))
    if not settings.trainer.keep_state:  # only now: a process that dies before can go on from it
        shutil.rmtree(work / STATE, ignore_errors=True)
    return manifest


def _with_initial(settings: TrainSettings, data: ExampleSet) -> ExampleSet:
    """Add what the initial router learned from, without its examples: forms, prompts, domains, backbones.

    Raises:
        BadInput: ``init`` is no checkpoint, or its helpers had other forms.
    """
    if settings.init is None:
        return data
    before = read_manifest(Path(settings.init))
    if before.pool != data.pool:  # refused where its weights are taken
        return data
    return data + ExampleSet(
        (),
        data.pool,
        prompts_hash=before.prompts_hash,
        benchmark_version=before.benchmark_version,
        domains=before.domains,
        backbones=before.backbones,
        synthetic=before.synthetic,
        forms=before.forms,
    )


def warn_of_form(
    examples: Sequence[Example], hidden: Sequence[PromptPart], settings: TrainSettings, pool: Sequence[str]
) -> None:
    """Warn of parts that the router will not read, and of features of form that predict a label."""
    if hidden:
        parts = " and ".join(hidden)
        log.warning("some states lack their %s: the router will not read %s (data.absent)", parts, parts)
    signs = form_signs(examples, taxonomy_of(settings.data).codes, pool)
    for sign in signs[:_SIGNS]:
        log.warning("%s: the router may tell logs apart, not failures; give every label logs of each form", sign)
    if len(signs) > _SIGNS:
        log.warning("%d more features of form predict a label", len(signs) - _SIGNS)


def _remember(settings: TrainSettings, digest: str, work: Path, resuming: bool) -> None:
    """Write the resolved config; on a resume, refuse another one (more epochs and other hardware are fine)."""
    path = work / "config.json"
    now: dict[str, Any] = {"settings": dump_settings(settings), "data_hash": digest}
    if resuming and path.is_file():
        try:
            then = json.loads(path.read_text(encoding="utf-8"))
            before, after = ({**one["settings"], "data_hash": one["data_hash"]} for one in (then, now))
        except (ValueError, KeyError, TypeError):
            raise BadInput(
                f"{path}: not the settings of the training to resume; leave --ckpt out to start anew"
            ) from None
        for key in sorted(after.keys() | before.keys()):
            a, b = (_comparable(one.get(key), key, bool(settings.losses.decision)) for one in (before, after))
            if a != b:
                raise BadInput(f"{path}: {key} differs from the training to resume; leave --ckpt out to start anew")
    write_atomically(path, json.dumps(now, indent=2) + "\n")


def _comparable(value: object, key: str, decides: bool) -> object:
    if key == "trainer" or (key == "decision" and not decides):  # the loss of the decision has its λ
        return None
    if key == "optimiser" and isinstance(value, dict):
        return {name: part for name, part in value.items() if name not in ("epochs", "patience")}
    return hashed_form(value) if isinstance(value, dict) else value
