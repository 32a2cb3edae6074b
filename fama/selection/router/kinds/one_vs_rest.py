"""The one-vs-rest router: a logistic regression per helper on TF-IDF of the state's text, as in scikit-learn.

Words are counted and weighed here as scikit-learn's ``TfidfVectorizer`` does, from a stored vocabulary and its inverse
document frequencies: a checkpoint holds no pickle, and choosing needs no scikit-learn.
"""

import json
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from pydantic import Field

from fama.episodes.records import Record
from fama.redaction import shortened
from fama.selection.decision_rule import Floats
from fama.selection.router.checkpoint_files import read_regular
from fama.selection.router.features import Features, state_text
from fama.selection.router.kinds.base import RouterKind, StoredRouter
from fama.selection.router.kinds.checks import Arrays, check_shapes
from fama.selection.router.kinds.label_heads import LabelLogits, ThresholdPredictor
from fama.selection.traits import SelectorTraits

VOCABULARY = "vocabulary.json"
#: The words of scikit-learn's vectorizers: two characters or more.
_WORD = re.compile(r"(?u)\b\w\w+\b")


class TfidfShape(Record):
    """Longest word sequence that is a term: 1 is single words, 2 also pairs."""

    ngrams: int = Field(ge=1, le=2)


class OneVsRestRouter(RouterKind):
    """Helpers of probability 1/2 or more, by one classifier per helper on TF-IDF.

    Arrays: ``idf`` (V,), the terms' inverse document frequencies, and ``weight`` (C + H, 1 + V), the intercept first;
    without labelled failures C is 0. The terms are in ``vocabulary.json``.
    """

    title = "one-vs-rest logistic regression on TF-IDF (scikit-learn), one classifier per helper"
    selector = "one_vs_rest"
    traits = SelectorTraits(setup="checkpoint", lead=6, rival=3)
    files = (VOCABULARY,)
    predicts_success = False

    def __init__(self, stored: StoredRouter) -> None:
        super().__init__(stored)
        shape = TfidfShape.model_validate(stored.manifest.shape or {})
        terms = _terms(read_regular(stored.folder, VOCABULARY))
        categories = len(stored.manifest.categories) if stored.manifest.labelled else 0
        check_shapes(stored.arrays, {"idf": (len(terms),), "weight": (categories + stored.helpers, 1 + len(terms))})
        if not stored.arrays["idf"].min() >= 1:
            raise ValueError("idf: holds a number below 1, the frequency of a term of every state")
        tfidf = Tfidf(terms, np.asarray(stored.arrays["idf"], dtype=np.float64), shape.ngrams)
        self.predictor = ThresholdPredictor(text_labels(tfidf, stored.arrays), categories)

    def outcomes(self) -> ThresholdPredictor:
        """Return the predictor of helpers."""
        return self.predictor

    def labels(self) -> ThresholdPredictor:
        """Return the predictor of helpers and of categories."""
        return self.predictor


class Tfidf:
    """Texts to TF-IDF vectors of length one, equal to scikit-learn's up to rounding (default settings)."""

    def __init__(self, terms: Sequence[str], idf: Floats, ngrams: int) -> None:
        self.place = {term: place for place, term in enumerate(terms)}
        self.idf = idf
        self.ngrams = ngrams

    def __call__(self, text: str) -> Floats:
        """Return the vector of a text, shape (V,); zeros where no term of the vocabulary occurs."""
        words = _WORD.findall(text.lower())
        terms = [*words, *(f"{a} {b}" for a, b in pairwise(words))] if self.ngrams == 2 else words
        places = [self.place[term] for term in terms if term in self.place]
        row: Floats = np.bincount(np.array(places, dtype=np.int64), minlength=len(self.idf)) * self.idf
        length = float(np.linalg.norm(row))
        return row / length if length else row


def text_labels(tfidf: Tfidf, arrays: Arrays) -> LabelLogits:
    """Return logits linear in the TF-IDF vector: ``weight`` (C + H, 1 + V), the intercept first."""
    weight = np.asarray(arrays["weight"], dtype=np.float64)

    def logits(features: Features) -> Floats:
        values: Floats = weight[:, 0] + weight[:, 1:] @ tfidf(state_text(features))
        return values

    return logits


def dump_vocabulary(terms: Sequence[str]) -> bytes:
    """Return the file of these terms, in the order of ``idf``."""
    return (json.dumps(list(terms), indent=0, ensure_ascii=False) + "\n").encode()


def _terms(content: bytes) -> list[str]:
    try:
        terms = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{VOCABULARY}: not JSON ({shortened(error)})") from None
    if not isinstance(terms, list) or not terms or not all(isinstance(term, str) for term in terms):
        raise ValueError(f"{VOCABULARY}: no list of terms")
    if len(set(terms)) < len(terms):
        raise ValueError(f"{VOCABULARY}: names a term twice")
    return terms
