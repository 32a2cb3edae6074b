"""Export, calibrate and evaluate a fitted router: written, loaded back and measured as it will be used."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from fama.episodes.spending import Spent
from fama.files import write_atomically
from fama.intervals import Interval, clustered_mean
from fama.provenance import git_commit, library_versions
from fama.selection.decision import Floats
from fama.selection.router.checkpoint import WORK, load_router, write_router
from fama.selection.router.manifest import RouterManifest
from fama.selection.router.router import Router
from fama.selection.router.scores import split_heads
from fama.subsets import flagged, subset_label
from training.data.examples import Example, ExampleSet
from training.data.load import taxonomy_of
from training.data.splits import Split
from training.export.calibration import calibrate, cross_fitted
from training.export.card import render_card
from training.export.collapse import collapse
from training.export.guarantee import certify
from training.export.reliability import reliability_svg
from training.kinds.base import Trained
from training.metrics import brier, log_loss
from training.settings import TrainSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """The router on its validation split. ``chosen`` counts states by the chosen subset.

    ``matched`` is the success of rows whose executed subset is the router's choice, weighted by
    1 / propensity; None where there is none.
    """

    rows: int
    tasks: int
    metrics: dict[str, Interval]
    chosen: dict[str, int]
    matched: Interval | None
    matched_rows: int


def finish(
    settings: TrainSettings,
    data: ExampleSet,
    split: Split,
    trained: Trained,
    out: Path,
    command: str,
    cost: tuple[Spent, ...] | None = None,
) -> RouterManifest:
    """Write the checkpoint folder ``out`` and ``out/work/metrics.json``; returns the manifest.

    ``cost`` is what was spent on the data and the fit, None if unknown.
    """
    draft = out / WORK / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    manifest = write_router(
        draft, _manifest(settings, data, split, trained, command), trained.arrays, "", trained.adapter, trained.files
    )
    router = load_router(draft, embedder=trained.embedder)
    outcomes = [example for example in split.validation if example.subset is not None and example.success is not None]
    success = np.array([float(bool(example.success)) for example in outcomes])
    logits = executed_logits(router, outcomes)
    tasks = [example.task for example in outcomes]
    calibration = calibrate(logits, success, tasks, settings.seed)
    manifest = manifest.model_copy(update={"calibration": calibration, "cost": cost})
    router = replace(router, manifest=manifest)
    if settings.guarantee is not None:
        certified = certify(router, split.certify, settings.guarantee)
        manifest = manifest.model_copy(update={"guarantee": certified})
        router = replace(router, manifest=manifest)
    measured = measure(router, split.validation, outcomes, logits / calibration.temperature, trained.context_free)
    warning = collapse(measured.chosen, data.pool)
    if warning is not None:
        log.warning("%s: %s", out, warning)
    apart = _held_out(router, split.held_out, trained.context_free)
    after = cross_fitted(logits, success, tasks, settings.seed)
    figure = reliability_svg(logits, calibration.temperature, after, success)
    card = render_card(manifest, settings, data, split, measured, trained.notes, apart, figure is not None)
    numbers = asdict(measured) | ({"held_out": asdict(apart)} if apart is not None else {})
    write_atomically(out / WORK / "metrics.json", json.dumps(numbers, indent=2) + "\n")
    manifest = write_router(out, manifest, trained.arrays, card, trained.adapter, trained.files, figure)
    shutil.rmtree(draft)
    return manifest


def _held_out(router: Router, examples: Sequence[Example], context_free: Floats | None) -> Measured | None:
    """Measure the router on held-out domains and backbones, calibrated elsewhere; None where nothing is held out."""
    if not examples:
        return None
    outcomes = [example for example in examples if example.subset is not None and example.success is not None]
    logits = executed_logits(router, outcomes) / router.manifest.calibration.temperature
    return measure(router, examples, outcomes, logits, context_free)


def executed_logits(router: Router, examples: Sequence[Example]) -> Floats:
    """Return uncalibrated success logits of the executed subsets."""
    return np.array([float(router.predictor.scores(e.features)(np.array([e.subset])).logit[0]) for e in examples])


def measure(
    router: Router,
    validation: Sequence[Example],
    outcomes: Sequence[Example],
    logits: Floats,
    context_free: Floats | None,
) -> Measured:
    """Measure log loss and Brier score beside the context-free model's, the chosen subsets and their success if run."""
    pool, seed = router.manifest.pool, router.manifest.seed
    choices = {features: router.choose(features).members for features in {e.features for e in validation}}
    names = Counter(subset_label(flagged(members, pool)) for members in choices.values())
    metrics: dict[str, Interval] = {}
    matched = None
    agreeing: list[Example] = []
    tasks = [example.task for example in outcomes]
    if outcomes:
        success = np.array([float(bool(example.success)) for example in outcomes])
        loss = log_loss(logits, success)
        metrics["log loss"] = clustered_mean(loss, tasks, seed)
        metrics["Brier score"] = clustered_mean(brier(logits, success), tasks, seed)
        if context_free is not None:
            quadratic = split_heads(context_free, len(pool))
            plain = quadratic(np.array([example.subset for example in outcomes])).logit
            metrics["log loss of the context-free model"] = clustered_mean(log_loss(plain, success), tasks, seed)
            metrics["log loss, router − context-free model"] = clustered_mean(
                loss - log_loss(plain, success), tasks, seed
            )
        agreeing = [example for example in outcomes if choices[example.features] == example.subset]
    if agreeing:
        weights = np.array([1.0 / (example.propensity or 1.0) for example in agreeing])
        reached = np.array([float(bool(example.success)) for example in agreeing])
        matched = clustered_mean(reached, [e.task for e in agreeing], seed, weights)
    return Measured(len(outcomes), len(set(tasks)), metrics, dict(names.most_common()), matched, len(agreeing))


def _candidates(
    settings: TrainSettings, pool: Sequence[str], train: Sequence[Example]
) -> tuple[tuple[str, ...], ...] | None:
    """Return the subsets that training rows executed, where choices are limited to these."""
    executed = {example.subset for example in train if example.subset is not None}
    if settings.decision.candidates == "all" or not executed:
        return None
    flags = sorted(executed, key=lambda subset: (sum(subset), [not flag for flag in subset]))
    return tuple(flagged(subset, pool) for subset in flags)


def _manifest(
    settings: TrainSettings, data: ExampleSet, split: Split, trained: Trained, command: str
) -> RouterManifest:
    from fama.selection.router.evidence import EVIDENCE_NAMES

    taxonomy = taxonomy_of(settings.data)
    return RouterManifest(
        kind=settings.kind,
        pool=data.pool,
        taxonomy_version=taxonomy.version,
        categories=taxonomy.codes,
        evidence_names=tuple(EVIDENCE_NAMES),
        encoder=trained.encoder,
        network=trained.network,
        vectors=trained.vectors,
        knn=trained.knn,
        label_knn=trained.label_knn,
        prior=trained.prior,
        shape=trained.shape,
        labelled=trained.labelled,
        view=settings.data.view,
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
        synthetic=data.synthetic,
        seed=settings.seed,
        versions=library_versions(),
        git_commit=git_commit(),
        command=command,
    )
