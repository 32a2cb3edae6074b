"""Parts of a state that some logs lack: hidden from the router, or shown with and without.

A log that lacks its tools or its policy differs in form, not in what went wrong. A router that reads whether a part is
there learns which log a state comes from.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from fama.selection.decision_rule import Floats
from fama.selection.router.features import PARTS, PromptPart, hide
from training.data.examples import Example


def hidden_parts(examples: Sequence[Example], absent: Literal["drop", "balance"]) -> tuple[PromptPart, ...]:
    """Return the parts that the router must not read: with ``drop`` those that any state lacks, else none."""
    lacking = {part for features in {example.features for example in examples} for part in features.lacking}
    return tuple(part for part in PARTS if part in lacking) if absent == "drop" else ()


def balanced(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Return every example as it is and without each of its parts; the versions share its weight equally."""
    shown: list[Example] = []
    for example in examples:
        states = [example.features, *(hide(example.features, (p,)) for p in PARTS if p not in example.features.lacking)]
        shown += [replace(example, features=state, weight=example.weight / len(states)) for state in states]
    return tuple(shown)


def filled(rows: Floats) -> Floats:
    """Return the rows with the mean of its column in place of every unknown entry (NaN), 0 where all are unknown."""
    unknown = np.isnan(rows)
    if not unknown.any():
        return rows
    mean = np.nansum(rows, axis=0) / np.maximum((~unknown).sum(axis=0), 1)
    return np.where(unknown, mean, rows)
