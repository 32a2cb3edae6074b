"""The one-vs-rest router: scikit-learn's TF-IDF and one logistic regression per helper."""

import numpy as np
from pydantic import Field

from fama.errors import BadInput
from fama.selection.router.features import state_text
from fama.selection.router.kinds.one_vs_rest import VOCABULARY, TfidfShape, dump_vocabulary
from training.kinds.base import FitTask, RouterTrainer, Trained
from training.kinds.helper_labels import HeadOptions, fit_heads, helper_labels
from training.settings import Strength


class OneVsRestOptions(HeadOptions):
    """Settings of the words, and of the classifiers."""

    strengths: tuple[Strength, ...] = Field(default=(1.0, 10.0, 100.0), min_length=1)
    """Inverse regularisation of the logistic regressions (scikit-learn's C); the best by folds over tasks."""
    ngrams: int = Field(default=2, ge=1, le=2)
    """Longest sequence of words that is a term."""
    terms: int = Field(default=20_000, ge=1, le=1_000_000)
    """Most frequent terms that are kept."""
    least: int = Field(default=2, ge=1)
    """States in which a term has to occur."""


class OneVsRestTrainer(RouterTrainer):
    """Fits TfidfVectorizer and OneVsRestClassifier(LogisticRegression) on the text of states.

    The labels are those of ``training.kinds.helper_labels``: the coverage of labelled failures, the best executed
    subset of outcome rows, or the members of minimal repairs.
    """

    groups = frozenset[str]()
    options = OneVsRestOptions

    def fit(self, task: FitTask) -> Trained:
        """Fit the words, then a classifier per label."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        options = OneVsRestOptions.model_validate(task.settings.options)
        labels = helper_labels(task)
        words = TfidfVectorizer(ngram_range=(1, options.ngrams), max_features=options.terms, min_df=options.least)
        try:
            design = words.fit_transform([state_text(state) for state in labels.states])
        except ValueError as error:
            raise BadInput(
                f"options.least: no term occurs in {options.least} training states ({error}); give more data"
            ) from None
        heads = fit_heads(design, labels, options, task.settings.seed)
        draft = Trained(
            arrays={"idf": words.idf_.astype(np.float32)},
            context_free=None,
            shape=TfidfShape(ngrams=options.ngrams).model_dump(),
            files={VOCABULARY: dump_vocabulary(words.get_feature_names_out().tolist())},
            labelled=task.with_labels,
            notes={"states with labels": str(len(labels.states)), "strength": f"{heads.strength:g}"},
        )
        return draft.with_heads(None, heads)
