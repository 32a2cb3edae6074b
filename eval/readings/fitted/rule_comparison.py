"""The fitted models beside the rule, paired on failures that they were not fitted on; intervals over customers."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from eval.metrics.formats import percent
from eval.readings.fitted.nested import (
    OUTER,
    TARGETS,
    Case,
    FeatureChoice,
    Names,
    Target,
    Tried,
    folds,
    guess,
    is_right,
    is_target,
    nested,
    of_rule,
)
from eval.stats.resampling import Resample
from fama.episodes.records import Record
from fama.intervals import Array, Interval
from fama.randomness import generator

PARTITIONS, DRAWS = 3, 2000
PROCEDURES = ("fitted", "fitted or rule")
#: Shares of the training customers that the learning curve is fitted on.
SHARES = (0.25, 0.5, 0.75, 1.0)
Runs = Mapping[Target, Sequence[Tried]]


class Compared(Record):
    """A procedure beside the rule on one target: shares that are right, and their difference."""

    target: str
    procedure: str
    failures: int
    rule: Interval
    fitted: Interval
    difference: Interval


class LearningPoint(NamedTuple):
    """The learning curve at one size: mean number of training failures, share right, mean log loss."""

    target: Target
    train: float
    right: float
    loss: float


def outer(cases: Sequence[Case], names: Names, targets: Sequence[Target] = TARGETS) -> dict[Target, list[Tried]]:
    """Return the guesses of every partition of the customers into outer folds."""
    found: dict[Target, list[Tried]] = {target: [] for target in targets}
    for target in targets:
        for seed in range(PARTITIONS):
            found[target].append(nested(cases, target, names, _parts(cases, seed), seed))
    return found


def leave_out(cases: Sequence[Case], names: Names, part_of: Mapping[str, str]) -> dict[Target, list[Tried]]:
    """Return the guesses for every part, a domain or a backbone, by models fitted without it and its customers."""
    return {target: [nested(cases, target, names, part_of, 0)] for target in TARGETS}


def curve(cases: Sequence[Case], names: Names, runs: Runs) -> list[LearningPoint]:
    """Return how often the choice made most often is right, fitted on parts of the training customers.

    The penalty grows with the share, as the sum of the losses does.
    """
    points = []
    for target, tried in runs.items():
        own = [case for case in cases if is_target(case, target)]
        choice = Counter(one for run in tried for one in run.choices).most_common(1)[0][0]
        for share in SHARES:
            sizes, hits, losses = [], [], []
            for seed in range(PARTITIONS):
                part_of = _parts(cases, seed)
                for part in range(OUTER):
                    customers = sorted({case.customer for case in own if part_of[case.id] != part})
                    generator(seed, "readings-fitted", "curve", str(part)).shuffle(customers)
                    kept = set(customers[: round(share * len(customers))])
                    train = [case for case in own if case.customer in kept]
                    test = [case for case in own if part_of[case.id] == part]
                    found = guess(train, test, target, names, FeatureChoice(choice.groups, choice.penalty * share))
                    sizes.append(len(train))
                    hits += [is_right(case, target, found[case.id].value) for case in test]
                    losses += [found[case.id].loss for case in test]
            points.append(LearningPoint(target, float(np.mean(sizes)), float(np.mean(hits)), float(np.mean(losses))))
    return points


def among_findings(cases: Sequence[Case], names: Names, counted: Collection[str] | None = None) -> dict[str, Interval]:
    """Return how often the category, and the step within one message, that was read is that of some finding.

    No choice among the findings is right more often.
    """
    own = [case for case in cases if counted is None or case.id in counted]
    agents = [case for case in own if case.reading.category is not None]
    named = [case.whole[names.whole.index(f"rule: score {case.reading.category}")] > 0 for case in agents]
    here = names.rows.index("findings: strongest here")
    near = [
        any(row[here] > 0 and is_right(case, "step", place) for place, row in zip(case.places, case.rows, strict=True))
        for case in own
    ]
    return {"category": _share(agents, np.array(named)), "step ±1": _share(own, np.array(near))}


def compare_with_rule(cases: Sequence[Case], runs: Runs, counted: Collection[str] | None = None) -> list[Compared]:
    """Compare both procedures with the rule, on all failures or the ``counted``; a hit is the mean over the runs."""
    rows = []
    for target, tried in runs.items():
        own = [case for case in cases if is_target(case, target) and (counted is None or case.id in counted)]
        for name, right in _measures(target):
            ruled = np.array([right(case, of_rule(case, target)) for case in own], dtype=float)
            for procedure in PROCEDURES:
                may_keep = procedure == PROCEDURES[1]
                hits = [[right(case, _named(case, target, run, may_keep)) for case in own] for run in tried]
                rows.append(_compared(name, procedure, own, ruled, np.mean(np.array(hits, dtype=float), axis=0)))
    return rows


def compared_markdown(rows: Sequence[Compared]) -> str:
    """Return the comparison as a Markdown table, in per cent; the difference in points."""
    lines = [f"| {' | '.join(compared_columns())} |", f"|{'---|' * len(compared_columns())}"]
    return "\n".join([*lines, *(f"| {' | '.join(compared_cells(row))} |" for row in rows)])


def compared_columns() -> tuple[str, ...]:
    """Return the columns of a table of comparisons."""
    return "target", "procedure", "failures", "customers", "rule", "fitted", "difference"


def compared_cells(row: Compared) -> tuple[str, ...]:
    """Return a row of such a table."""
    shares = percent(row.rule, 0), percent(row.fitted, 0), percent(row.difference, 1, signed=True)
    return row.target, row.procedure, str(row.failures), str(row.difference.n), *shares


def chosen(runs: Runs) -> list[str]:
    """Return what the inner folds chose, and how often."""
    lines = []
    for target, tried in runs.items():
        counts = Counter(choice for run in tried for choice in run.choices)
        lines += [f"{target}: {n} × {'+'.join(one.groups)}, penalty {one.penalty:g}" for one, n in counts.most_common()]
    return lines


def _parts(cases: Sequence[Case], seed: int) -> dict[str, int]:
    fold = folds([case.customer for case in cases], OUTER, seed, "outer")
    return {case.id: fold[case.customer] for case in cases}


def _measures(target: Target) -> list[tuple[str, Callable[[Case, str | int | None], bool]]]:
    def right(case: Case, value: str | int | None) -> bool:
        return is_right(case, target, value)

    def exact(case: Case, value: str | int | None) -> bool:
        return value == case.reading.step

    return [("step ±1", right), ("step ±0", exact)] if target == "step" else [(target, right)]


def _named(case: Case, target: Target, run: Tried, may_keep: bool) -> str | int | None:
    return of_rule(case, target) if may_keep and run.by_rule[case.id] else run.guesses[case.id].value


def _compared(target: str, procedure: str, own: Sequence[Case], ruled: Array, hits: Array) -> Compared:
    shares = {"rule": ruled, "fitted": hits, "difference": hits - ruled}
    intervals = {name: _share(own, values) for name, values in shares.items()}
    return Compared(target=target, procedure=procedure, failures=len(own), **intervals)


def _share(own: Sequence[Case], values: Array) -> Interval:
    resample = Resample([case.customer for case in own], DRAWS, 0, "readings-fitted")
    return resample.interval(lambda total, n: total / n, values.astype(float), np.ones(len(own)))
