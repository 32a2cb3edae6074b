"""Export of a fitted router: written, loaded back, calibrated and measured as it will be used."""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from fama.episodes.spending import Spent
from fama.files import write_atomically
from fama.provenance import git_commit, library_versions
from fama.selection.router.checkpoint import load_router, read_manifest, write_router
from fama.selection.router.checkpoint_files import WORK
from fama.selection.router.features import PromptPart
from fama.selection.router.kinds.base import ROUTER_KINDS
from fama.selection.router.manifest import RouterManifest, task_hash
from fama.subsets import flagged
from training.data.examples import Example, ExampleSet
from training.data.load import taxonomy_of
from training.data.splits import Split
from training.export.calibration import calibrate, cross_fitted
from training.export.card import render_card
from training.export.collapse import collapse
from training.export.evaluation import evaluate_router, executed_logits, measure_held_out
from training.export.guarantee import certify
from training.export.label_metrics import measure_labels
from training.export.reliability import reliability_svg
from training.kinds.base import Trained
from training.settings import TrainSettings

log = logging.getLogger(__name__)


def finish(
    settings: TrainSettings,
    data: ExampleSet,
    split: Split,
    hidden: tuple[PromptPart, ...],
    trained: Trained,
    out: Path,
    command: str,
    cost: tuple[Spent, ...] | None = None,
) -> RouterManifest:
    """Write the checkpoint folder ``out`` and ``out/work/metrics.json``; returns the manifest.

    ``hidden`` are parts of a state that the router does not read; ``cost`` is what was spent on the data and the fit,
    None if unknown.
    """
    draft = out / WORK / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    manifest = write_router(
        draft,
        _manifest(settings, data, split, hidden, trained, command),
        trained.arrays,
        "",
        trained.adapter,
        trained.files,
    )
    router = load_router(draft, embedder=trained.embedder)
    outcomes = [example for example in split.validation if example.subset is not None and example.success is not None]
    predicts = ROUTER_KINDS.load(manifest.kind).predicts_success and settings.knows_success
    scored = outcomes if predicts else []
    success = np.array([float(bool(example.success)) for example in scored])
    logits = executed_logits(router, scored)
    weights = np.array([example.weight for example in scored])
    tasks = [example.task for example in scored]
    before = 1.0 if settings.init is None else read_manifest(Path(settings.init)).calibration.temperature
    calibration = calibrate(logits, success, tasks, settings.seed, weights, before)
    manifest = manifest.model_copy(update={"calibration": calibration, "cost": cost})
    router = replace(router, manifest=manifest)
    if settings.guarantee is not None:
        certified = certify(router, split.certify, settings.guarantee)
        manifest = manifest.model_copy(update={"guarantee": certified})
        router = replace(router, manifest=manifest)
    tempered = logits / calibration.temperature if predicts else None
    measured = evaluate_router(router, split.validation, outcomes, tempered, trained.context_free)
    warning = collapse(measured.chosen, data.pool)
    if warning is not None:
        log.warning("%s: %s", out, warning)
    apart = measure_held_out(router, split.held_out, trained.context_free, predicts)
    after = cross_fitted(logits, success, tasks, settings.seed, weights)
    figure = reliability_svg(logits, calibration.temperature, after, success, weights)
    labelled = measure_labels(router, split.validation, split.train)
    labelled_apart = None if apart is None else measure_labels(router, split.held_out, split.train)
    card = render_card(
        manifest,
        settings,
        data,
        split,
        measured,
        labelled,
        trained.notes,
        apart,
        labelled_apart,
        figure is not None,
    )
    numbers = asdict(measured) | ({"held_out": asdict(apart)} if apart is not None else {})
    numbers |= {"labels": asdict(labelled)} if labelled.rows else {}
    write_atomically(out / WORK / "metrics.json", json.dumps(numbers, indent=2) + "\n")
    manifest = write_router(out, manifest, trained.arrays, card, trained.adapter, trained.files, figure)
    shutil.rmtree(draft)
    return manifest


def _candidates(
    settings: TrainSettings, pool: Sequence[str], train: Sequence[Example]
) -> tuple[tuple[str, ...], ...] | None:
    """Return the subsets that training rows executed, or those of the initial router, where choices are limited so."""
    executed = {example.subset for example in train if example.subset is not None}
    if settings.init is not None:
        before = read_manifest(Path(settings.init)).candidates or ()
        executed |= {tuple(name in subset for name in pool) for subset in before}
    if settings.decision.candidates == "all" or not executed:
        return None
    flags = sorted(executed, key=lambda subset: (sum(subset), [not flag for flag in subset]))
    return tuple(flagged(subset, pool) for subset in flags)


def _learned_from(settings: TrainSettings, split: Split) -> tuple[str, ...] | None:
    """Return hashes of the tasks that were fitted or calibrated on, by the router it started from, too; else None."""
    before = () if settings.init is None else read_manifest(Path(settings.init)).tasks
    if before is None:
        return None
    own = {task_hash(one.task) for one in (*split.train, *split.validation, *split.certify)}
    return tuple(sorted(own.union(before)))


def _manifest(
    settings: TrainSettings,
    data: ExampleSet,
    split: Split,
    hidden: tuple[PromptPart, ...],
    trained: Trained,
    command: str,
) -> RouterManifest:
    from fama.selection.router.turn import evidence_names

    taxonomy = taxonomy_of(settings.data)
    turn = bool(settings.data.repairs)
    return RouterManifest(
        kind=settings.kind,
        pool=data.pool,
        forms=None if data.forms is None else dict(data.forms),
        taxonomy_version=taxonomy.version,
        categories=taxonomy.codes,
        evidence_names=evidence_names(data.pool, turn),
        encoder=trained.encoder,
        network=trained.network,
        vectors=trained.vectors,
        knn=trained.knn,
        label_knn=trained.label_knn,
        prior=trained.prior,
        shape=trained.shape,
        labelled=trained.labelled,
        view=settings.data.view,
        cadence="turn" if turn else "episode",
        cost_unit=settings.data.cost,
        hidden=hidden,
        lam=settings.decision.lam,
        epsilon=settings.decision.epsilon,
        softness=settings.decision.softness,
        candidates=_candidates(settings, data.pool, split.train),
        data_hash=data.digest(),
        split_hash=split.hash,
        prompts_hash=data.prompts_hash,
        benchmark_version=data.benchmark_version,
        domains=data.domains,
        backbones=data.backbones,
        tasks=_learned_from(settings, split),
        synthetic=data.synthetic,
        seed=settings.seed,
        versions=library_versions(),
        git_commit=git_commit(),
        command=command,
    )
