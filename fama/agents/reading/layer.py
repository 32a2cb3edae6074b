"""The fitted linear layer that turns the vector of a sentence into the act of its speaker, read from its file."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from fama.episodes.state import UserAct
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.selection.router.embedder import Vectors
from fama.settings import ReadingMode

ACTS: tuple[UserAct, ...] = get_args(UserAct)
#: Raised when what follows from the layer's numbers changes; part of the digest that runs log.
_RULES = 2


@dataclass(frozen=True)
class ReadingLayer:
    """The fitted linear layer: ``weight`` (acts, size), ``bias`` (acts,), in the order of ``acts``.

    ``encoder`` names the vectors that it reads. ``least`` is the smallest fit of a request to a tool, ``margin`` how
    far another tool may be behind the best one.
    """

    encoder: str
    acts: tuple[UserAct, ...]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    least: float
    margin: float
    digest: str

    def probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the probability of every act, shape (n, acts)."""
        logits = vectors @ self.weight.T + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        chances: NDArray[np.float64] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return chances


def parse_layer(text: str, name: str = "layer") -> ReadingLayer:
    """Return the layer that ``training.reading`` wrote; ``name`` says in errors which file it is.

    Raises:
        BadInput: it is not one.
    """
    try:
        value = json.loads(text)
        weight, bias = (np.asarray(value[name], dtype=np.float64) for name in ("weight", "bias"))
        acts = tuple(value["acts"])
        if set(acts) != set(ACTS) or weight.shape[0] != len(acts) or bias.shape != (len(acts),) or weight.ndim != 2:
            raise ValueError("acts, weight and bias do not fit")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError("a number is not finite")
        numbers = float(value["least"]), float(value["margin"])
        return ReadingLayer(str(value["encoder"]), acts, weight, bias, *numbers, content_hash([_RULES, value])[:12])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{name}: {error}; make it again with: python -m training.reading") from None


@cache
def shipped_layer(mode: ReadingMode) -> ReadingLayer:
    """Return the layer that ships for a mode of reading, ``meaning`` or ``static``."""
    file = f"{mode}.json"
    return parse_layer(resources.files("fama.agents.reading").joinpath(file).read_text(encoding="utf-8"), file)
