"""Features of form: signs of how a log was written, not of what went wrong in it.

A label that they predict within one domain makes a router that tells logs apart; ``form_signs`` finds them.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fama.selection.decision_rule import Floats
from fama.selection.router.features import Features
from training.data.examples import Example

#: A sign is told of from this difference of a label's rate, at this level over all signs and labels (Bonferroni).
DIFFERENCE, LEVEL = 0.15, 0.01
#: Tasks that either side of a comparison needs.
LEAST_TASKS = 8
_REACT = re.compile(r"^\s*(?:Thought|Action|Action Input|Observation|API output)\s*:", re.MULTILINE)
_TAGS = re.compile(r"</?(?:think|tool_call|tool_response|function|tools)\b|<\|\w+\|>", re.IGNORECASE)


class FormSign(NamedTuple):
    """A label whose rate differs by a feature of form: over tasks of one domain that have it, and that have it not."""

    feature: str
    label: str
    domain: str
    with_it: float
    without_it: float
    p: float

    def __str__(self) -> str:
        return (
            f"{self.feature} predicts {self.label} in {self.domain or 'the data'}: {self.with_it:.0%} of the tasks' "
            f"states with it, {self.without_it:.0%} without"
        )


def _texts(features: Features, *kinds: str) -> list[str]:
    return [segment.text for segment in features.segments if segment.kind in kinds]


def _policy_length(features: Features) -> int:
    return sum(map(len, _texts(features, "policy")))


#: Features of form that a state has or has not; the policy's length is compared with its median in the domain.
FORM: Mapping[str, Callable[[Features], bool]] = {
    "having tools": lambda features: "tools" not in features.lacking,
    "having a policy": lambda features: "policy" not in features.lacking,
    "having tool messages": lambda features: bool(_texts(features, "result")),
    "having agent messages": lambda features: bool(_texts(features, "assistant")),
    "text in ReAct form": lambda features: any(_REACT.search(text) for text in _texts(features, "assistant", "user")),
    "markup of a chat template": lambda features: any(_TAGS.search(t) for t in _texts(features, "assistant", "user")),
    "ReAct instructions in the policy": lambda features: any(_REACT.search(t) for t in _texts(features, "policy")),
}


def form_signs(examples: Sequence[Example], categories: Sequence[str], pool: Sequence[str]) -> tuple[FormSign, ...]:
    """Return the labels that a feature of form predicts within a domain, the surest first.

    Compared are rates of a label over tasks, each task one number, by Welch's t-test (Welch 1947). Success is compared
    among rows that ran the same subset.

    Args:
        examples: as the router would see them.
        categories: names of ``Example.categories``.
        pool: names of ``Example.coverage`` and ``Example.distilled``.
    """
    from scipy.stats import ttest_ind

    found: list[FormSign] = []
    compared = 0
    for domain in sorted({example.domain for example in examples}):
        here = [example for example in examples if example.domain == domain]
        for name, flags in _form_flags(here).items():
            if flags.all() or not flags.any():
                continue
            for label, values in _labels(here, categories, pool).items():
                sides = [_task_rates(here, values, flags == side) for side in (True, False)]
                if min(map(len, sides)) < LEAST_TASKS:
                    continue
                compared += 1
                a, b = float(sides[0].mean()), float(sides[1].mean())
                if abs(a - b) < DIFFERENCE:
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # tasks that are all alike on a side
                    p = float(np.nan_to_num(ttest_ind(*sides, equal_var=False).pvalue))
                found.append(FormSign(name, label, domain, a, b, p))
    return tuple(sorted((sign for sign in found if sign.p * compared < LEVEL), key=lambda sign: sign.p))


def _form_flags(examples: Sequence[Example]) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    flags = {name: np.array([test(example.features) for example in examples]) for name, test in FORM.items()}
    lengths = np.array([_policy_length(example.features) for example in examples])
    return {**flags, "a long policy": lengths > np.median(lengths)}


def _labels(examples: Sequence[Example], categories: Sequence[str], pool: Sequence[str]) -> dict[str, Floats]:
    """Return every label by name, NaN where unknown."""
    columns: dict[str, list[float]] = {}
    for row, example in enumerate(examples):
        known = {
            **_named("category ", categories, example.categories),
            **_named("coverage by ", pool, example.coverage),
            **_named("the prompted choice of ", pool, example.distilled),
        }
        if example.success is not None and example.subset is not None:
            members = "+".join(name for name, flag in zip(pool, example.subset, strict=True) if flag) or "no helper"
            known[f"success with {members}"] = example.success
        for name, value in known.items():
            columns.setdefault(name, [np.nan] * len(examples))[row] = float(value)
    return {name: np.array(values) for name, values in columns.items()}


def _named(before: str, names: Sequence[str], flags: Sequence[bool] | None) -> dict[str, bool]:
    return {} if flags is None else {before + name: flag for name, flag in zip(names, flags, strict=True)}


def _task_rates(
    examples: Sequence[Example], values: Floats, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> Floats:
    """Return the share of each task's rows that have the label, in the order of the tasks' first rows."""
    tasks: dict[str, list[float]] = {}
    for row in np.flatnonzero(rows & ~np.isnan(values)).tolist():
        tasks.setdefault(examples[row].task, []).append(float(values[row]))
    return np.array([sum(flags) / len(flags) for flags in tasks.values()])
