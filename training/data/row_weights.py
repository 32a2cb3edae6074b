"""Weights of logged rows: by the propensity of their subset, and by its advantage over others in the same state."""

import math
from collections.abc import Sequence
from dataclasses import replace

from fama.selection.router.features import Features
from training.data.examples import Example
from training.settings import LossSettings


def outcome_weights(examples: Sequence[Example], settings: LossSettings) -> list[float]:
    """Return 1 / propensity, scaled to mean 1 and clipped, or 1.0 each where that is off or unknown."""
    if not settings.inverse_propensity:
        return [1.0] * len(examples)
    raw = [1.0 / e.propensity if e.success is not None and e.propensity else math.nan for e in examples]
    known = [value for value in raw if not math.isnan(value)]
    mean = sum(known) / len(known) if known else 1.0
    return [1.0 if math.isnan(value) else min(value / mean, settings.propensity_clip) for value in raw]


def to_mean_one(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Return the examples with their weights scaled to mean 1, so that shrinkage means the same at any confidence."""
    mean = sum(example.weight for example in examples) / len(examples) if examples else 1.0
    return tuple(replace(example, weight=example.weight / mean) for example in examples)


def advantages(examples: Sequence[Example], lam: float) -> dict[int, float]:
    """Return the reward of every executed row minus the weighted mean of its state's rows, by example identity.

    The reward is success − λ · tokens / 1000. A state with one row teaches nothing about the choice and is left out;
    so are rows of unknown cost, where a price is on it.
    """
    rewards: dict[Features, list[tuple[int, float, float]]] = {}
    for example in examples:
        known = example.tokens is not None or not lam
        if example.subset is not None and example.success is not None and known:
            reward = float(example.success) - lam * (example.tokens or 0.0) / 1000.0
            rewards.setdefault(example.features, []).append((id(example), reward, example.weight))
    gains: dict[int, float] = {}
    for rows in rewards.values():
        mean = sum(reward * weight for _, reward, weight in rows) / sum(weight for *_, weight in rows)
        if len(rows) > 1:
            gains |= {name: reward - mean for name, reward, _ in rows}
    return gains
