"""Weights of findings fitted to readings, and whether they choose better than the ones set by hand.

A failure's findings compete: each has its source's weight, the chance of each is the softmax, and a fit raises the
expected agreement of the chosen one with the reading (its party, category and step), pulled towards the hand weights.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from eval.readings.annotator_agreement import AgreementRow, Named, measure_agreement
from eval.readings.reader_answers import Reading
from fama.diagnosis.detectors.base import collect_findings
from fama.diagnosis.orchestrator import credit, weight
from fama.diagnosis.taxonomy import Taxonomy
from fama.diagnosis.trace import Trace
from fama.episodes.records import Episode
from fama.intervals import Array
from fama.randomness import generator

#: Hand weights times this are the start and the centre of the penalty; found no better at 2.
SCALE = 4.0
PENALTIES = (0.1, 0.3, 1.0, 3.0)
FOLDS = 10
_NONE = "none"


class FindingChoice(NamedTuple):
    """The findings of one failure to choose from, and what each agrees with the reading in, 0 to 3."""

    id: str
    sources: tuple[str, ...]
    named: tuple[Named, ...]
    worth: Array


def choices(
    episodes: Mapping[str, Episode], readings: Mapping[str, Reading], taxonomy: Taxonomy
) -> list[FindingChoice]:
    """Return what the detectors find in every read failure, each finding as a label of its own."""
    found = []
    for one, reading in readings.items():
        trace = Trace.of(episodes[one])
        pairs = [
            (item.source, Named(item.category, _party(item.source), item.step))
            for item in credit(trace, collect_findings(trace, taxonomy))
        ] or [(_NONE, Named("IFU", "agent", trace.last_agent_step))]
        pairs = list(dict.fromkeys(pairs))
        worth = np.array([_worth(named, reading) for _, named in pairs])
        found.append(FindingChoice(one, tuple(s for s, _ in pairs), tuple(n for _, n in pairs), worth))
    return found


def cross_validate(
    given: Sequence[FindingChoice], readings: Mapping[str, Reading], tasks: Mapping[str, str]
) -> list[AgreementRow]:
    """Return the agreement of the hand weights, and of weights fitted without the task they are tried on."""
    sources = sorted({source for choice in given for source in choice.sources})
    by_hand = np.array([SCALE * weight(source) for source in sources])
    rows = [measure_agreement("set by hand", readings, {c.id: _chosen(c, sources, by_hand) for c in given}, tasks)]
    names = sorted({tasks[choice.id] for choice in given})
    generator(0, "readings-folds").shuffle(names)
    fold = {task: place % FOLDS for place, task in enumerate(names)}
    for penalty in PENALTIES:
        named: dict[str, Named] = {}
        for part in range(FOLDS):
            fitted = fit_weights([c for c in given if fold[tasks[c.id]] != part], sources, by_hand, penalty)
            named |= {c.id: _chosen(c, sources, fitted) for c in given if fold[tasks[c.id]] == part}
        rows.append(measure_agreement(f"fitted, penalty {penalty:g}, {FOLDS} folds of tasks", readings, named, tasks))
    return rows


def fit_weights(given: Sequence[FindingChoice], sources: Sequence[str], centre: Array, penalty: float) -> Array:
    """Return the weight of each source: the most expected agreement less the squared distance from ``centre``."""
    places = [[sources.index(source) for source in choice.sources] for choice in given]

    def loss(weights: Array) -> tuple[float, Array]:
        total, slope = 0.0, np.zeros_like(weights)
        for choice, place in zip(given, places, strict=True):
            chance = np.exp(weights[place] - weights[place].max())
            chance /= chance.sum()
            expected = float(chance @ choice.worth)
            total -= expected
            np.subtract.at(slope, place, chance * (choice.worth - expected))
        away = weights - centre
        return total + penalty * float(away @ away), slope + 2 * penalty * away

    result: Array = minimize(loss, centre, jac=True, method="L-BFGS-B").x
    return result


def _chosen(choice: FindingChoice, sources: Sequence[str], weights: Array) -> Named:
    return choice.named[int(np.argmax([weights[sources.index(source)] for source in choice.sources]))]


def _party(source: str) -> str:
    return "user" if source.startswith("user:") else "agent"


def _worth(named: Named, reading: Reading) -> float:
    party = named.blame == reading.blame
    category = party and (reading.blame != "agent" or named.category == reading.category)
    step = named.step is not None and abs(named.step - reading.step) <= 1
    return float(party) + float(category) + float(step)
