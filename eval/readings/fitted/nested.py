"""Nested cross-validation by customer: strength and features are chosen in inner folds, never where they are tried."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal, NamedTuple

import numpy as np

from eval.readings.annotator_agreement import Named
from eval.readings.fitted.failure_features import CODES, PARTIES
from eval.readings.fitted.softmax import Classes, Steps, fit_classes, fit_steps
from eval.readings.reader_answers import Reading
from fama.intervals import Array
from fama.randomness import generator

Target = Literal["category", "party", "step"]
TARGETS: tuple[Target, ...] = ("category", "party", "step")
OUTER, INNER = 10, 5
PENALTIES = (10.0, 30.0, 100.0)
#: Log losses are cut here, so that one message that no model thinks of does not decide.
_LEAST = 1e-3
_ALL = ("findings", "changes", "origins", "course", "words", "coverage")
_WHOLE = (
    ("rule",),
    ("rule", "findings"),
    ("rule", "changes", "origins"),
    ("rule", *_ALL),
    _ALL,
    ("rule", "findings", "meaning"),
    ("rule", *_ALL, "meaning"),
)
_OF_STEPS = ("findings", "changes", "acts", "place", "category")
_STEPS = (
    ("rule",),
    ("rule", "findings", "changes", "category"),
    ("rule", *_OF_STEPS),
    _OF_STEPS,
    (*_OF_STEPS, "meaning"),
)


class FeatureChoice(NamedTuple):
    """Groups of features and the strength of the penalty."""

    groups: tuple[str, ...]
    penalty: float


#: What the inner folds choose from.
CHOICES: Mapping[Target, tuple[FeatureChoice, ...]] = {
    target: tuple(FeatureChoice(groups, penalty) for groups, penalty in product(sets, PENALTIES))
    for target, sets in zip(TARGETS, (_WHOLE, _WHOLE, _STEPS), strict=True)
}


class Case(NamedTuple):
    """One read failure: its features, those of its candidate messages, what the rule names and what was read."""

    id: str
    customer: str
    whole: Array
    places: tuple[int, ...]
    rows: Array
    ruled: Named
    reading: Reading


class Names(NamedTuple):
    """Names of the columns, ``group: feature``."""

    whole: tuple[str, ...]
    rows: tuple[str, ...]


class Guess(NamedTuple):
    """The answer of a model for one target, and its log loss there; 0 where nothing true is to be compared with."""

    value: str | int
    loss: float


class Tried(NamedTuple):
    """Guesses for failures outside of the training part, what was chosen, and where inner folds prefer the rule."""

    guesses: dict[str, Guess]
    choices: list[FeatureChoice]
    by_rule: dict[str, bool]


def is_target(case: Case, target: Target) -> bool:
    """Return whether a failure counts for a target: for the category it does if the agent is to blame."""
    return target != "category" or case.reading.category is not None


def is_right(case: Case, target: Target, value: str | int | None) -> bool:
    """Return whether a value is what was read; a step within one message."""
    if target == "step":
        return isinstance(value, int) and abs(value - case.reading.step) <= 1
    return value == _read(case, target)


def of_rule(case: Case, target: Target) -> str | int | None:
    """Return what the rule names."""
    return {"category": case.ruled.category, "party": case.ruled.blame, "step": case.ruled.step}[target]


def folds(customers: Sequence[str], count: int, seed: int, name: str) -> dict[str, int]:
    """Return the fold of every customer, about as many customers in each."""
    order = sorted(set(customers))
    generator(seed, "readings-fitted", name).shuffle(order)
    return {customer: place % count for place, customer in enumerate(order)}


def fit_target(train: Sequence[Case], target: Target, names: Names, choice: FeatureChoice) -> Classes | Steps:
    """Fit the model of one target on the failures that count for it."""
    counted = [case for case in train if is_target(case, target)]
    if target == "step":
        return fit_steps(
            [case.rows for case in counted], [_hit(case) for case in counted], names.rows, choice.groups, choice.penalty
        )
    classes = CODES if target == "category" else PARTIES
    truth = [_read(case, target) or "" for case in counted]
    table = np.stack([case.whole for case in counted])
    return fit_classes(table, truth, classes, names.whole, choice.groups, choice.penalty)


def guess(
    train: Sequence[Case], test: Sequence[Case], target: Target, names: Names, choice: FeatureChoice
) -> dict[str, Guess]:
    """Fit on some failures and return the guesses for others."""
    model = fit_target(train, target, names, choice)
    found: dict[str, Guess] = {}
    for case in test:
        if isinstance(model, Steps):
            chances = model.chances(case.rows)
            value: str | int = case.places[int(chances.argmax())]
            right = float(chances @ _hit(case))
        else:
            chances = model.chances(case.whole[None])[0]
            value, own = model.classes[int(chances.argmax())], _read(case, target)
            right = float(chances[model.classes.index(own)]) if own in model.classes else 1.0
        found[case.id] = Guess(value, -float(np.log(max(right, _LEAST))))
    return found


def choose(cases: Sequence[Case], target: Target, names: Names, seed: int) -> tuple[FeatureChoice, bool]:
    """Return the choice of least log loss in inner folds, and whether the rule is right there at least as often."""
    counted = [case for case in cases if is_target(case, target)]
    fold = folds([case.customer for case in counted], INNER, seed, "inner")
    losses: list[tuple[float, int]] = []
    hits: list[int] = []
    for number, choice in enumerate(CHOICES[target]):
        found: dict[str, Guess] = {}
        for part in range(INNER):
            train = [case for case in counted if fold[case.customer] != part]
            test = [case for case in counted if fold[case.customer] == part]
            found |= guess(train, test, target, names, choice)
        losses.append((sum(found[case.id].loss for case in counted), number))
        hits.append(sum(is_right(case, target, found[case.id].value) for case in counted))
    best = min(losses)[1]
    ruled = sum(is_right(case, target, of_rule(case, target)) for case in counted)
    return CHOICES[target][best], ruled >= hits[best]


def nested(cases: Sequence[Case], target: Target, names: Names, part_of: Mapping[str, int | str], seed: int) -> Tried:
    """Return guesses for every failure by a model chosen and fitted without its part and the customers in it.

    ``part_of`` names the part of every failure by its id.
    """
    tried = Tried({}, [], {})
    for part in sorted(set(part_of.values()), key=str):
        test = [case for case in cases if part_of[case.id] == part]
        out = {case.customer for case in test}
        train = [case for case in cases if case.customer not in out]
        choice, ruled = choose(train, target, names, seed)
        tried.choices.append(choice)
        tried.guesses.update(guess(train, test, target, names, choice))
        tried.by_rule.update(dict.fromkeys((case.id for case in test), ruled))
    return tried


def _read(case: Case, target: Target) -> str | None:
    return case.reading.category if target == "category" else case.reading.blame


def _hit(case: Case) -> Array:
    return np.array([place == case.reading.step for place in case.places], dtype=float)
