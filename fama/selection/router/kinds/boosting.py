"""The boosting router: gradient-boosted trees (Friedman 2001; LightGBM, Ke et al. 2017) in LightGBM's text format.

All boosters of a router are one JSON file, name → text, so that a checkpoint stays safetensors and JSON.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fama.errors import BadInput
from fama.redaction import shortened
from fama.selection.decision_rule import Floats, Masks
from fama.selection.router.features import Features
from fama.selection.router.kinds.base import RouterKind, StoredRouter
from fama.selection.router.kinds.checks import Arrays, check_shapes
from fama.selection.router.kinds.label_heads import LabelPredictor
from fama.selection.router.kinds.state_vectors import UNKNOWN, StateVectors, stored_vectors
from fama.selection.router.kinds.trees import Forest, read_forest
from fama.selection.router.scores import RawScores, StateScores, split_heads
from fama.selection.traits import SelectorTraits

TREES = "trees.json"
SUCCESS, TOKENS = "success", "tokens"


class BoostingRouter(RouterKind):
    """Trees on state vectors, on top of the context-free model."""

    title = "gradient-boosted trees on state vectors, on top of the context-free model"
    selector = "boosting"
    traits = SelectorTraits(setup="checkpoint", lead=2)
    files = (TREES,)
    unknown = UNKNOWN

    def __init__(self, stored: StoredRouter) -> None:
        super().__init__(stored)
        self.boosters = load_trees(stored.folder / TREES)

    def outcomes(self) -> "BoostingPredictor":
        """Return the predictor of success and tokens."""
        stored = self.stored
        vectors = stored_vectors(stored)
        self._check_columns(vectors.width + stored.helpers, SUCCESS, TOKENS)
        return BoostingPredictor(vectors, stored.arrays, self.boosters, stored.helpers)

    def labels(self) -> LabelPredictor:
        """Return the predictor of categories and coverage."""
        vectors, manifest = stored_vectors(self.stored), self.stored.manifest
        labels = len(manifest.categories) + self.stored.helpers
        check_shapes(self.stored.arrays, {"label_bias": (labels,)})
        self._check_columns(vectors.width, *(f"label-{place}" for place in range(labels)))
        return LabelPredictor(TreeLabels(vectors, self.stored.arrays, self.boosters), len(manifest.categories))

    def _check_columns(self, width: int, *names: str) -> None:
        for name in names:
            if name in self.boosters and self.boosters[name].columns > width:
                raise ValueError(f"{name}: its trees read more than the {width} columns of a row")


def dump_trees(texts: Mapping[str, str]) -> bytes:
    """Return the file of these boosters."""
    return (json.dumps(dict(texts), indent=0, sort_keys=True) + "\n").encode()


def load_trees(path: Path) -> dict[str, Forest]:
    """Read every booster by its name; LightGBM is not needed.

    Raises:
        BadInput: the file is not whole, or a model is none that training makes.
    """
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise BadInput(f"{path}: not JSON; copy the checkpoint again") from None
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise BadInput(f"{path}: holds no models by name; copy the checkpoint again")
    forests = {}
    for name, text in texts.items():
        try:
            forests[name] = read_forest(text)
        except ValueError as error:
            reason = shortened(error)
            raise BadInput(f"{path}: {name}: {reason}; copy the checkpoint again") from None
    return forests


def subset_rows(vector: Floats, masks: Masks) -> Floats:
    """Return one row per subset: the state vector, then a flag per helper."""
    return np.concatenate([np.tile(vector, (len(masks), 1)), masks.astype(np.float64)], axis=1)


class BoostingPredictor:
    """The context-free model plus trees over the state vector and the subset's flags, for success and log tokens."""

    def __init__(self, vectors: StateVectors, arrays: Arrays, boosters: Mapping[str, Forest], helpers: int) -> None:
        self.vectors = vectors
        self.context_free = split_heads(np.asarray(arrays["population"], dtype=np.float64), helpers)
        self.success, self.tokens = boosters.get(SUCCESS), boosters.get(TOKENS)

    def scores(self, features: Features) -> StateScores:
        """Return success logits and log tokens of any subset in this state."""
        vector = self.vectors(features)

        def score(masks: Masks) -> RawScores:
            logit, log_tokens = self.context_free(masks)
            rows = subset_rows(vector, masks)
            if self.success is not None:
                logit = logit + self.success.scores(rows)
            if self.tokens is not None:
                log_tokens = log_tokens + self.tokens.scores(rows)
            return RawScores(logit, log_tokens)

        return score


class TreeLabels:
    """Label logits: ``label_bias`` (C + H,) plus the trees of every label that has some, ``label-0`` and so on."""

    def __init__(self, vectors: StateVectors, arrays: Arrays, boosters: Mapping[str, Forest]) -> None:
        self.vectors = vectors
        self.bias = np.asarray(arrays["label_bias"], dtype=np.float64)
        self.boosters = [boosters.get(f"label-{place}") for place in range(len(self.bias))]

    def __call__(self, features: Features) -> Floats:
        """Return the logits in this state."""
        row = self.vectors(features)[None]
        more = [0.0 if one is None else float(one.scores(row)[0]) for one in self.boosters]
        logits: Floats = self.bias + np.array(more)
        return logits
