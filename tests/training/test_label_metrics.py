"""Measures of a router on labelled failures, worked by hand."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from fama.selection.router.features import Features
from fama.selection.router.router import Router
from training.data.examples import Example
from training.export.label_metrics import measure_labels

POOL, CODES = ("A", "B"), ("X", "Y")
STATES = [Features((), (float(number),)) for number in range(4)]
CHOSEN = {STATES[0]: (True, False), STATES[1]: (True, True), STATES[2]: (False, False), STATES[3]: (False, True)}
LIKELY = {state: np.array([0.9, 0.1]) for state in STATES} | {STATES[3]: np.array([0.2, 0.3])}


def router(labels: bool = True) -> Router:
    """A router whose choices and categories are those of the tables above."""
    return cast(
        Router,
        SimpleNamespace(
            manifest=SimpleNamespace(pool=POOL, categories=CODES, seed=0),
            labels=object() if labels else None,
            choose=lambda state: SimpleNamespace(members=CHOSEN[state]),
            categories=lambda state: LIKELY[state],
        ),
    )


def test_by_hand() -> None:
    covering = [(True, False), (False, True), (True, True), (True, False)]
    named = [(True, False), (False, True), (True, False), (False, True)]
    rows = [
        Example(task=f"t{i}", features=state, coverage=covering[i], categories=named[i])
        for i, state in enumerate(STATES)
    ]
    train = [Example(task="u", features=STATES[0], categories=flags) for flags in ((False, True), (False, True))]
    found = measure_labels(router(), [*rows, Example(task="no label", features=STATES[0])], train)
    assert (found.rows, found.tasks) == (4, 4)
    assert {name: one.value for name, one in found.metrics.items()} == {
        "failures that a chosen helper addresses": 0.5,  # the first by A, the second by B
        "chosen helpers that address the failure": pytest.approx((1 + 0.5 + 0) / 3),  # the third chose none
        "the likeliest category is right": 0.75,  # all but the second
        "always Y, the commonest of training, is right": 0.5,
    }
    assert all("category" not in name for name in measure_labels(router(labels=False), rows, train).metrics)


def test_without_labels_there_is_nothing() -> None:
    found = measure_labels(router(), [Example(task="t", features=STATES[0], success=True)], [])
    assert (found.rows, found.tasks, found.metrics) == (0, 0, {})
