"""Nested cross-validation by customer: strength and features are chosen in inner folds, never where they are tried."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Literal, NamedTuple

import numpy as np

from eval.readings.agreement import Named
from eval.readings.fitted.features import CODES, PARTIES
from eval.readings.fitted.models import fit_classes, fit_steps
from eval.readings.readings import Reading
from fama.intervals import Array
from fama.randomness import generator

Target = Literal["category", "party", "step"]
TARGETS: tuple[Target, ...] = ("category", "party", "step")
OUTER, INNER = 10, 5
PENALTIES = (10.0, 30.0, 100.0)
_WHOLE = (
    ("rule",),
    ("rule", "findings"),
    ("rule", "changes", "origins"),
    ("rule", "findings", "changes", "origins", "course", "words", "coverage"),
    ("findings", "changes", "origins", "course", "words", "coverage"),
    ("rule", "findings", "meaning"),
    ("rule", "findings", "changes", "origins", "course", "words", "coverage", "meaning"),
)
_STEPS = (
    ("rule",),
    ("rule", "findings", "changes", "category"),
    ("rule", "findings", "changes", "acts", "place", "category"),
    ("findings", "changes", "acts", "place", "category"),
    ("findings", "changes", "acts", "place", "category", "meaning"),
)
#: What the inner folds choose from: feature groups and strength of the penalty.
CHOICES: Mapping[Target, tuple[tuple[tuple[str, ...], float], ...]] = {
    "category": tuple(product(_WHOLE, PENALTIES)),
    "party": tuple(product(_WHOLE, PENALTIES)),
    "step": tuple(product(_STEPS, PENALTIES)),
}


class Case(NamedTuple):
    """One read failure: its features, those of its candidate messages, what the rule names and what was read."""

    id: str
    customer: str
    whole: Array
    places: Array
    rows: Array
    ruled: Named
    reading: Reading


class Names(NamedTuple):
    """Names of the columns, ``group: feature``."""

    whole: tuple[str, ...]
    rows: tuple[str, ...]


class Guess(NamedTuple):
    """What a model names for one target, and its log loss there; None where the target has no truth to compare with."""

    value: str | int
    loss: float


class Tried(NamedTuple):
    """Guesses for failures outside of the training part, what was chosen for them, and if inner folds prefer the rule."""

    guesses: dict[str, Guess]
    choices: list[tuple[tuple[str, ...], float]]
    by_rule: dict[str, bool]


def is_target(case: Case, target: Target) -> bool:
    """Return whether a failure counts for a target: for the category it does if the agent is to blame."""
    return target != "category" or case.reading.category is not None


def is_right(case: Case, target: Target, value: str | int | None) -> bool:
    """Return whether a value is what was read; a step within one message."""
    if target == "step":
        return isinstance(value, int) and abs(value - case.reading.step) <= 1
    return value == (case.reading.category if target == "category" else case.reading.blame)


def of_rule(case: Case, target: Target) -> str | int | None:
    """Return what the rule names."""
    return {"category": case.ruled.category, "party": case.ruled.blame, "step": case.ruled.step}[target]


def folds(customers: Sequence[str], count: int, seed: int, name: str) -> dict[str, int]:
    """Return the fold of every customer, about as many customers in each."""
    order = sorted(set(customers))
    generator(seed, "readings-fitted", name).shuffle(order)
    return {customer: place % count for place, customer in enumerate(order)}


def guess(
    train: Sequence[Case], test: Sequence[Case], target: Target, names: Names, groups: tuple[str, ...], penalty: float
) -> dict[str, Guess]:
    """Fit on some failures and return the guesses for others."""
    found: dict[str, Guess] = {}
    train = [case for case in train if is_target(case, target)]
    if target == "step":
        hits = [(case.places == case.reading.step).astype(float) for case in train]
        steps = fit_steps([case.rows for case in train], hits, names.rows, groups, penalty)
        for case in test:
            chances = steps.chances(case.rows)
            right = float(chances[case.places == case.reading.step].sum())
            found[case.id] = Guess(int(case.places[int(chances.argmax())]), -float(np.log(max(right, 1e-3))))
        return found
    classes = CODES if target == "category" else PARTIES
    truth = [str(case.reading.category if target == "category" else case.reading.blame) for case in train]
    model = fit_classes(np.stack([case.whole for case in train]), truth, classes, names.whole, groups, penalty)
    for case, chances in zip(test, model.chances(np.stack([case.whole for case in test])), strict=True):
        own = case.reading.category if target == "category" else case.reading.blame
        loss = -float(np.log(chances[classes.index(own)])) if own in classes else 0.0
        found[case.id] = Guess(classes[int(chances.argmax())], loss)
    return found


def choose(
    cases: Sequence[Case], target: Target, names: Names, seed: int
) -> tuple[tuple[tuple[str, ...], float], bool]:
    """Return the choice of least log loss in inner folds, and whether the rule is right there at least as often."""
    counted = [case for case in cases if is_target(case, target)]
    fold = folds([case.customer for case in counted], INNER, seed, "inner")
    best: tuple[float, tuple[tuple[str, ...], float], float] | None = None
    for groups, penalty in CHOICES[target]:
        found: dict[str, Guess] = {}
        for part in range(INNER):
            train = [case for case in counted if fold[case.customer] != part]
            test = [case for case in counted if fold[case.customer] == part]
            found |= guess(train, test, target, names, groups, penalty)
        loss = sum(found[case.id].loss for case in counted)
        if best is None or loss < best[0]:
            right = sum(is_right(case, target, found[case.id].value) for case in counted)
            best = loss, (groups, penalty), right
    assert best is not None
    ruled = sum(is_right(case, target, of_rule(case, target)) for case in counted)
    return best[1], ruled >= best[2]


def nested(
    cases: Sequence[Case], target: Target, names: Names, part_of: Callable[[Case], int | str], seed: int
) -> Tried:
    """Return guesses for every failure by a model that was chosen and fitted without its part and its customer."""
    tried = Tried({}, [], {})
    for part in sorted({part_of(case) for case in cases}, key=str):
        test = [case for case in cases if part_of(case) == part]
        out = {case.customer for case in test}
        train = [case for case in cases if part_of(case) != part and case.customer not in out]
        (groups, penalty), ruled = choose(train, target, names, seed)
        tried.choices.append((groups, penalty))
        tried.guesses.update(guess(train, test, target, names, groups, penalty))
        tried.by_rule.update(dict.fromkeys((case.id for case in test), ruled))
    return tried
