"""Softmax models with a penalty on squared weights: one over classes, one over the candidate messages of a failure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from fama.intervals import Array

#: Of the penalty, for features of the group ``rule``: what the rule says is known to be worth something.
RULES_SHARE = 0.1


class Scale(NamedTuple):
    """Columns of a table, the mean and spread that they are standardised by, and the share of a penalty of each."""

    names: tuple[str, ...]
    columns: tuple[int, ...]
    mean: Array
    spread: Array
    shares: Array

    @classmethod
    def of(cls, table: Array, names: Sequence[str], groups: Sequence[str]) -> "Scale":
        """Take the columns of some groups, named ``group: feature``, that are not the same in all rows."""
        spread = table.std(axis=0)
        kept = [i for i, name in enumerate(names) if name.split(":")[0] in groups and spread[i] > 1e-9]
        shares = np.array([RULES_SHARE if names[i].startswith("rule:") else 1.0 for i in kept])
        return cls(tuple(names[i] for i in kept), tuple(kept), table.mean(axis=0)[kept], spread[kept], shares)

    def __call__(self, table: Array) -> Array:
        """Return the standardised columns."""
        found: Array = (table[:, list(self.columns)] - self.mean) / self.spread
        return found


class Classes(NamedTuple):
    """A softmax over classes; ``weights`` is ``[columns, classes]``."""

    classes: tuple[str, ...]
    scale: Scale
    weights: Array
    biases: Array

    def chances(self, table: Array) -> Array:
        """Return the probability of each class, ``[rows, classes]``."""
        found: Array = softmax(self.scale(table) @ self.weights + self.biases, axis=1)
        return found


class Steps(NamedTuple):
    """A softmax over the candidate messages of a failure, one row each."""

    scale: Scale
    weights: Array

    def chances(self, table: Array) -> Array:
        """Return the probability of each candidate."""
        found: Array = softmax(self.scale(table) @ self.weights)
        return found


def fit_classes(
    table: Array,
    truth: Sequence[str],
    classes: tuple[str, ...],
    names: Sequence[str],
    groups: Sequence[str],
    penalty: float,
) -> Classes:
    """Fit by the sum of log losses and the penalty times the squared weights; biases are free."""
    scale = Scale.of(table, names, groups)
    given = np.hstack([scale(table), np.ones((len(table), 1))])
    wanted = np.array([[name == one for one in classes] for name in truth], dtype=float)
    each = np.array([*(penalty * scale.shares), 0.0])[:, None]
    shape = (given.shape[1], len(classes))

    def loss(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(shape)
        logs = log_softmax(given @ weights, axis=1)
        slope = given.T @ (np.exp(logs) - wanted) + 2 * each * weights
        return float(-(wanted * logs).sum() + (each * weights**2).sum()), slope.ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B").x.reshape(shape)
    return Classes(classes, scale, found[:-1], found[-1])


def fit_steps(
    tables: Sequence[Array], hits: Sequence[Array], names: Sequence[str], groups: Sequence[str], penalty: float
) -> Steps:
    """Fit by the log loss of the candidates in ``hits``, together; a failure without a hit is left out."""
    scale = Scale.of(np.vstack(tables), names, groups)
    kept = [(scale(table), hit) for table, hit in zip(tables, hits, strict=True) if hit.any()]
    given, hit = np.vstack([table for table, _ in kept]), np.concatenate([own for _, own in kept])
    sizes = np.array([len(own) for _, own in kept])
    starts = np.cumsum(sizes) - sizes
    each = penalty * scale.shares

    def loss(weights: Array) -> tuple[float, Array]:
        scores = given @ weights
        raised = np.exp(scores - np.repeat(np.maximum.reduceat(scores, starts), sizes))
        every, right = np.add.reduceat(raised, starts), np.add.reduceat(raised * hit, starts)
        slope = raised / np.repeat(every, sizes) - raised * hit / np.repeat(right, sizes)
        total = float(np.log(every).sum() - np.log(right).sum() + each @ weights**2)
        return total, given.T @ slope + 2 * each * weights

    found: Array = minimize(loss, np.zeros(given.shape[1]), jac=True, method="L-BFGS-B").x
    return Steps(scale, found)
