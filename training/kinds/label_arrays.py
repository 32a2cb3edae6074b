"""Labelled failures as arrays, for the label heads of the kinds without a network."""

from collections.abc import Sequence

import numpy as np

from fama.errors import BadInput
from fama.selection.decision_rule import Floats
from training.data.examples import Example
from training.kinds.state_vectors import Rows

#: Pseudo-rows of a label's rate, half a row each way: no rate of 0 or 1 from a finite log.
_HALF = 0.5


class LabelArrays:
    """The labelled failures as arrays: flags (n, C + H), the categories first; weights (n,); and their tasks."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = [e for e in examples if e.coverage is not None and e.categories is not None]
        if not self.examples:
            raise BadInput("data.failures: no training task has a labelled failure to learn from; give more")
        flags = [(*(e.categories or ()), *(e.coverage or ())) for e in self.examples]
        self.flags: Floats = np.array(flags, dtype=np.float64)
        self.weights: Floats = np.array([example.weight for example in self.examples])
        self.tasks = [example.task for example in self.examples]

    def rates(self, rows: Rows | None = None) -> Floats:
        """Return the smoothed rate of every label on some rows."""
        keep = np.ones(len(self.flags), dtype=np.bool_) if rows is None else rows
        rate: Floats = (self.counts(keep) + _HALF) / (self.weights[keep].sum() + 2 * _HALF)
        return rate

    def counts(self, rows: Rows) -> Floats:
        """Return the weight of every label on some rows."""
        count: Floats = self.weights[rows] @ self.flags[rows]
        return count
