"""Gradient-boosted trees in LightGBM's text format (Ke et al. 2017), read and evaluated here.

LightGBM's own reader trusts its file: a changed index ends the process or never returns. Nothing of a checkpoint
reaches it. Scores are equal to LightGBM's to the last bit for finite rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fama.selection.decision_rule import Floats

_MOST_TREES, _MOST_LEAVES = 20_000, 65_536
#: Largest score of a leaf; they are log odds and log tokens.
_LARGEST = 1e6
_HEADER = {"version": ("v3", "v4"), "num_class": ("1",), "num_tree_per_iteration": ("1",)}
#: Bits of a node's decision type: categorical split, and zero as a missing value. Training makes neither.
_CATEGORICAL, _ZERO_MISSING = 1, 4


@dataclass(frozen=True)
class Forest:
    """The trees of one booster. Nodes are numbered over all trees; a child below 0 is the leaf ``~child``.

    Shapes: ``roots`` (T,); ``feature``, ``threshold``, ``left`` and ``right`` (N,); ``leaves`` (L,).
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    leaves: Floats

    @property
    def columns(self) -> int:
        """Return the number of columns that rows need."""
        return int(self.feature.max(initial=-1)) + 1

    def scores(self, rows: Floats) -> Floats:
        """Return the raw score of finite rows, shape (n,): the sum over trees, in their order."""
        at = np.repeat(self.roots[:, None], len(rows), axis=1)
        every = np.arange(len(rows))
        while (inner := at >= 0).any():
            node = np.where(inner, at, 0)
            low = rows[every, self.feature[node]] <= self.threshold[node]
            at = np.where(inner, np.where(low, self.left[node], self.right[node]), at)
        total: Floats = np.cumsum(self.leaves[~at], axis=0)[-1]
        return total


def read_forest(text: str) -> Forest:
    """Read a LightGBM model.

    Raises:
        ValueError: it is not whole, a tree has a cycle, a node that is not reached or a number out of range, or it
            has splits or leaves of a sort that training does not make.
    """
    body, end, _ = text.partition("\nend of trees")
    header, *blocks = body.split("\nTree=")
    if not header.startswith("tree\n") or not end or not text.rstrip().endswith(("end of parameters", "null")):
        raise ValueError("no whole LightGBM model")
    fields = _fields(header)
    for key, allowed in _HEADER.items():
        if fields.get(key) not in allowed:
            raise ValueError(f"{key} is not {' or '.join(allowed)}")
    if "average_output" in header.splitlines():
        raise ValueError("its trees are averaged")
    if not 1 <= len(blocks) <= _MOST_TREES:
        raise ValueError(f"{len(blocks)} trees; 1 to {_MOST_TREES} are read")
    trees = []
    for place, block in enumerate(blocks):
        try:
            trees.append(_tree(_fields(block)))
        except (KeyError, ValueError, OverflowError) as error:
            raise ValueError(f"tree {place}: {error}") from None
    return _joined(trees)


@dataclass(frozen=True)
class _Tree:
    feature: NDArray[np.int64]
    threshold: Floats
    children: NDArray[np.int64]
    leaves: Floats


def _fields(block: str) -> dict[str, str]:
    return {key: value for key, found, value in (line.partition("=") for line in block.splitlines()) if found}


def _tree(fields: Mapping[str, str]) -> _Tree:
    count = _whole(fields, "num_leaves", 1)[0]
    if not 1 <= count <= _MOST_LEAVES:
        raise ValueError(f"num_leaves is {count}")
    if fields.get("num_cat", "0") != "0" or fields.get("is_linear", "0") != "0":
        raise ValueError("it has categorical splits or linear leaves")
    inner = count - 1
    leaves = _numbers(fields, "leaf_value", count)
    if np.abs(leaves).max() > _LARGEST:
        raise ValueError(f"a leaf_value is beyond {_LARGEST:g}")
    if not inner:
        none = np.empty(0, dtype=np.int64)
        return _Tree(none, np.empty(0), none.reshape(2, 0), leaves)
    feature = _whole(fields, "split_feature", inner)
    if feature.min() < 0:
        raise ValueError("a split_feature is negative")
    if (_whole(fields, "decision_type", inner) & (_CATEGORICAL | _ZERO_MISSING)).any():
        raise ValueError("it has categorical splits or zeros as missing values")
    children = np.stack([_whole(fields, "left_child", inner), _whole(fields, "right_child", inner)])
    # LightGBM numbers a node after its parent; so no path comes back, and each node and leaf has one parent
    if not np.array_equal(np.sort(children, axis=None), [*range(-count, 0), *range(1, inner)]):
        raise ValueError("a child is missing, out of range or named twice")
    if ((children >= 0) & (children <= np.arange(inner))).any():
        raise ValueError("a child comes before its parent")
    return _Tree(feature, _numbers(fields, "threshold", inner), children, leaves)


def _joined(trees: Sequence[_Tree]) -> Forest:
    nodes = np.cumsum([0, *(len(tree.feature) for tree in trees)])
    leaves = np.cumsum([0, *(len(tree.leaves) for tree in trees)])
    children = [np.where(t.children < 0, t.children - leaves[i], t.children + nodes[i]) for i, t in enumerate(trees)]
    roots = [nodes[i] if len(tree.feature) else ~leaves[i] for i, tree in enumerate(trees)]
    left, right = np.concatenate(children, axis=1)
    return Forest(
        np.array(roots, dtype=np.int64),
        np.concatenate([tree.feature for tree in trees]),
        np.concatenate([tree.threshold for tree in trees]),
        left,
        right,
        np.concatenate([tree.leaves for tree in trees]),
    )


def _whole(fields: Mapping[str, str], key: str, count: int) -> NDArray[np.int64]:
    return np.array([int(word) for word in _words(fields, key, count)], dtype=np.int64)


def _numbers(fields: Mapping[str, str], key: str, count: int) -> Floats:
    values = np.array([float(word) for word in _words(fields, key, count)], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{key} is not finite")
    return values


def _words(fields: Mapping[str, str], key: str, count: int) -> list[str]:
    words = fields[key].split() if key in fields else []
    if len(words) != count:
        raise ValueError(f"{key} has {len(words)} numbers instead of {count}")
    return words
