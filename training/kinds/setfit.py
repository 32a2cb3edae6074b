"""The setfit router: SetFit (Tunstall et al. 2022, arXiv 2209.11055) with one classifier per helper."""

import importlib.util
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from pydantic import Field

from fama.errors import BadInput
from fama.randomness import derive_seed
from fama.selection.decision_rule import Floats
from fama.selection.router.features import state_text
from fama.selection.router.kinds.setfit import DIFFERENCE, text_vectors, tuned_encoder
from fama.selection.router.manifest import EncoderShape
from training.kinds.base import FitTask, FittedArrays, RouterTrainer, Trained
from training.kinds.helper_labels import HeadOptions, HelperLabels, fit_heads, helper_labels

_LIBRARIES = ("setfit", "sentence_transformers", "datasets")


class SetfitOptions(HeadOptions):
    """Settings of the contrastive tuning, and of the classifiers."""

    steps: int = Field(default=100, ge=0, le=1_000_000)
    """Steps of contrastive tuning; 0 leaves the encoder as it is, and needs no setfit."""
    pairs: int = Field(default=16, ge=1)
    """Pairs of texts per step."""
    rate: float = Field(default=2e-5, gt=0.0)
    """Learning rate of the encoder."""
    states: int = Field(default=1000, ge=2, le=10_000)
    """Most training states that pairs are made of, drawn by their weights; setfit lists all pairs of them."""


class SetfitTrainer(RouterTrainer):
    """Tunes all weights of the encoder by setfit's trainer, then fits a one-vs-rest logistic regression on its vectors.

    ``encoder.name`` and ``encoder.window`` are the encoder and the tokens that it reads of a state's text. Two states
    are alike where they share a label; that no helper is needed is one, too, for the pairs alone. The head is the one
    that setfit's ``multi_target_strategy="one-vs-rest"`` makes, fitted here so that states keep their weights. The
    labels are those of ``training.kinds.helper_labels``: the coverage of labelled failures, the best executed subset of
    outcome rows, or the members of minimal repairs.
    """

    groups = frozenset({"encoder"})
    options = SetfitOptions

    def fit(self, task: FitTask) -> Trained:
        """Tune the encoder, then fit a classifier per label.

        Raises:
            BadInput: see ``helper_labels``; or the extra ``rivals`` is not installed.
        """
        from training.network.trained_encoder import encoder_shape

        settings = task.settings
        options = SetfitOptions.model_validate(settings.options)
        if options.steps:
            check_setfit()
        labels = helper_labels(task)
        shape = encoder_shape(settings.encoder, adapted=False)
        tuned = tune_encoder(shape, labels, options, settings.seed, task.work) if options.steps else {}
        texts = [state_text(state) for state in labels.states]
        design = distinct_vectors(tuned_encoder(shape, tuned), texts)
        heads = fit_heads(design, labels, options, settings.seed)
        draft = Trained(
            arrays=tuned,
            context_free=None,
            shape=shape.model_dump(),
            labelled=task.with_labels,
            notes={"states with labels": str(len(texts)), "contrastive steps": str(options.steps)},
        )
        return draft.with_heads(None, heads)

    def quieten(self) -> None:
        """Silence setfit, which sets its own log level when it is imported."""
        if importlib.util.find_spec("setfit") is not None:
            from setfit import logging

            logging.set_verbosity_error()


def check_setfit() -> None:
    """Refuse to tune without setfit.

    Raises:
        BadInput: it, or a library that it needs, is not installed.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(
            f"a setfit router needs {missing[0]} to be trained; pip install 'fama-router[rivals]', or set "
            "options.steps=0 for the classifiers alone"
        )


def distinct_vectors(encoder: Any, texts: Sequence[str]) -> Floats:
    """Return the vector of every text, shape (n, D); equal texts go through the encoder once."""
    place = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    vectors: Floats = text_vectors(encoder, list(place))[[place[text] for text in texts]]
    return vectors


def tune_encoder(
    shape: EncoderShape, labels: HelperLabels, options: SetfitOptions, seed: int, work: Path
) -> FittedArrays:
    """Return what contrastive tuning changes of the encoder's weights, by ``encoder.<name>``, in half precision."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    from fama.selection.router.encoder import encoder_path

    texts, flags = contrast_sample(labels, options.states, seed)
    number = derive_seed(seed, "setfit") % 2**31
    with own_randomness(number):
        inner = Transformer(encoder_path(shape.name), max_seq_length=shape.window)
        before = {name: value.clone() for name, value in inner.auto_model.state_dict().items()}
        body = SentenceTransformer(modules=[inner, Pooling(inner.get_embedding_dimension()), Normalize()])
        model = SetFitModel(
            model_body=body,
            model_head=OneVsRestClassifier(LogisticRegression()),
            multi_target_strategy="one-vs-rest",
            normalize_embeddings=False,
        )
        arguments = TrainingArguments(
            output_dir=str(work / "setfit"),
            max_steps=options.steps,
            batch_size=options.pairs,
            body_learning_rate=options.rate,
            seed=number,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            show_progress_bar=False,
        )
        rows = Dataset.from_dict({"text": texts, "label": flags})
        Trainer(model=model, args=arguments, train_dataset=rows).train_embeddings(texts, flags)
    after = inner.auto_model.cpu().state_dict()
    found = {name: (value - before[name]).numpy() for name, value in after.items() if value.is_floating_point()}
    halves = {DIFFERENCE + name: value.astype(np.float16) for name, value in found.items() if value.any()}
    return cast(FittedArrays, halves)


def contrast_sample(labels: HelperLabels, most: int, seed: int) -> tuple[list[str], list[list[int]]]:
    """Return texts and flags (K + 1 each, the last one "no helper") of at most ``most`` states, drawn by their weights.

    The flags are those of all labels that every state has: of the helpers alone where some have no categories.
    """
    known = ~np.isnan(labels.flags).any(axis=0)
    flags = labels.flags[:, known] > 0.5
    flags = np.concatenate([flags, ~flags.any(axis=1, keepdims=True)], axis=1)
    count = min(most, int((labels.weights > 0).sum()))
    generator = np.random.default_rng(derive_seed(seed, "setfit states"))
    chosen = generator.choice(len(flags), count, replace=False, p=labels.weights / labels.weights.sum())
    places = sorted(int(place) for place in chosen)
    return [state_text(labels.states[place]) for place in places], [
        flags[place].astype(int).tolist() for place in places
    ]


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch, which setfit draws from, and restore them afterwards."""
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
