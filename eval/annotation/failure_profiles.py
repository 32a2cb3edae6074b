"""Failure profiles: the share of each category, with intervals, and a test of whether two profiles differ."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.annotation.labels import NONE
from eval.metrics.figure_text import legend_text, plain_text
from eval.metrics.formats import p_statement
from eval.stats.paired import holm
from fama.diagnosis.orchestrator import rests_on
from fama.episodes.records import Failure, Record
from fama.intervals import Array, Interval, clustered_share
from fama.randomness import derive_seed

LEVEL = 0.05
#: Profiles that one panel can hold apart by colour.
TOGETHER = 4
#: Share of labels that rest on reference actions, beside none, from which profiles are told to be unlike.
_REFERENCES = 0.1


class CategoryShare(Record):
    """Share of the failures with a category among the primary ones; an interval over tasks."""

    category: str
    count: int
    value: float
    low: float | None
    high: float | None

    @property
    def interval(self) -> Interval:
        """Return the share with its interval."""
        return Interval(self.value, self.low, self.high)


class Profile(Record):
    """The categories of one set of failures.

    A failure with two primary categories counts in both; one without a cause counts as ``NO_CAUSE`` alone, one that no
    category fits as ``NONE``.
    """

    name: str
    failures: int
    tasks: int
    shares: tuple[CategoryShare, ...]


class Change(Record):
    """The difference of a category's share between two profiles; ``p`` is adjusted by Holm over the categories."""

    category: str
    before: float
    after: float
    p: float


class Drift(Record):
    """Test of a new profile against an old one. ``p`` is of the largest total difference under permutation."""

    p: float
    changes: tuple[Change, ...]

    @property
    def is_significant(self) -> bool:
        """True if the profiles differ at the 5 % level."""
        return self.p < LEVEL


def profile(name: str, failures: Sequence[Failure], codes: Sequence[str]) -> Profile:
    """Return the share of each category, with 95 % intervals over tasks as clusters."""
    counts, totals = _by_task(failures, codes)
    shares = []
    for place, code in enumerate(codes):
        estimate = clustered_share(counts[:, place].tolist(), totals.tolist())
        shares.append(
            CategoryShare(
                category=code,
                count=int(counts[:, place].sum()),
                value=estimate.value or 0.0,
                low=estimate.low,
                high=estimate.high,
            )
        )
    return Profile(name=name, failures=len(failures), tasks=len(totals), shares=tuple(shares))


def drift(
    old: Sequence[Failure], new: Sequence[Failure], codes: Sequence[str], draws: int = 5000, seed: int = 0
) -> Drift:
    """Test by permutation whether two profiles differ.

    The failures of one task in one log are one block, and blocks change sides; the statistic of the whole is the sum of
    absolute differences of shares, of a category its own absolute difference. The observed split is counted in, so
    that no p is 0.
    """
    first, first_n = _by_task(old, codes)
    second, second_n = _by_task(new, codes)
    counts, totals = np.vstack([first, second]), np.concatenate([first_n, second_n])
    here = np.zeros((1, len(totals)))
    here[0, len(first_n) :] = 1
    rng = np.random.default_rng(derive_seed(seed, "drift", len(totals), draws))
    sides = np.vstack([here, [rng.permutation(here[0]) for _ in range(draws)]])
    differences = _shares(sides, counts, totals) - _shares(1 - sides, counts, totals)
    whole = np.abs(differences).sum(axis=1)
    raw = {code: _p(np.abs(differences[:, place])) for place, code in enumerate(codes)}
    adjusted = holm(raw)
    before, after = _shares(1 - here, counts, totals)[0], _shares(here, counts, totals)[0]
    return Drift(
        p=_p(whole),
        changes=tuple(
            Change(category=code, before=float(before[i]), after=float(after[i]), p=adjusted[code])
            for i, code in enumerate(codes)
        ),
    )


def in_words(test: Drift) -> str:
    """Return the test's result in words, and what follows for labels and routers."""
    if not test.is_significant:
        return f"No drift shown ({p_statement(test.p)}); that is no proof that there is none."
    moved = [c for c in sorted(test.changes, key=lambda c: c.p) if c.p < LEVEL]
    changes = ", ".join(f"{c.category} {c.before:.0%} → {c.after:.0%} ({p_statement(c.p)})" for c in moved)
    what = changes or "no single category stands out"
    return (
        f"The profile has drifted ({p_statement(test.p)}): {what}. A router or a rule tuned on the old failures may be "
        "out of date; diagnose and train again."
    )


def unlike_labels(old: Sequence[Failure], new: Sequence[Failure]) -> str | None:
    """Return how the labels of two profiles were made in different ways, in words; None where they were not.

    By other annotators, or with reference actions on one side only: detectors find most causes by them.
    """
    before, after = (", ".join(sorted({label.labeller for label in labels})) for labels in (old, new))
    if before != after:
        return f"the old labels are by {before}, the new ones by {after}"
    bare, full = sorted(np.mean([rests_on(label) == "reference" for label in labels]) for labels in (old, new))
    if bare == 0 and full >= _REFERENCES:
        return f"{full:.0%} of the labels of one side rest on reference actions, none of the other"
    return None


def draw_profiles(profiles: Sequence[Profile]) -> Any:
    """Draw shares with their intervals: one row per category and one colour per profile; of many, a panel for each."""
    with plain_text(text for one in profiles for text in (one.name, *(share.category for share in one.shares))):
        return _panels(profiles) if len(profiles) > TOGETHER else _together(profiles)


def _together(profiles: Sequence[Profile]) -> Any:
    """Draw all profiles in one panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.7 + 0.35 * len(profiles) * len(profiles[0].shares)))
    axes = figure.subplots()
    codes = [share.category for share in profiles[0].shares]
    for number, one in enumerate(profiles):
        heights = [place + (number - (len(profiles) - 1) / 2) * 0.8 / len(profiles) for place in range(len(codes))]
        _bars(axes, heights, one, 0.7 / len(profiles), legend_text(f"{one.name} (n = {one.failures})"))
    axes.set_yticks(range(len(codes)), codes)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of failures, 95 % interval over tasks")
    axes.legend(frameon=False)
    return figure


def _panels(profiles: Sequence[Profile]) -> Any:
    """Draw each profile in a panel of its own, two beside each other, with its name above it."""
    from textwrap import fill

    from matplotlib.figure import Figure

    codes = [share.category for share in profiles[0].shares]
    lines = -(-len(profiles) // 2)
    figure = Figure(figsize=(9, lines * (0.9 + 0.28 * len(codes)) + 0.4), layout="constrained")
    grid = figure.subplots(lines, 2, sharex=True, squeeze=False).ravel()
    for axes, one in zip(grid, profiles, strict=False):
        _bars(axes, range(len(codes)), one, 0.7)
        axes.set_yticks(range(len(codes)), codes)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_title(fill(f"{one.name} (n = {one.failures})", 52), fontsize=9, loc="left")
    for axes in grid[len(profiles) :]:
        axes.set_visible(False)
    figure.supxlabel("share of failures, 95 % interval over tasks", fontsize=10)
    return figure


def _bars(axes: Any, heights: Sequence[float], one: Profile, height: float, label: str | None = None) -> None:
    """Draw the shares of a profile at these heights, with their intervals."""
    values = np.array([share.value for share in one.shares])
    low = np.array([share.value if share.low is None else share.low for share in one.shares])
    high = np.array([share.value if share.high is None else share.high for share in one.shares])
    axes.barh(heights, values, height=height, label=label)
    axes.errorbar(values, heights, xerr=[values - low, high - values], fmt="none", ecolor="black", capsize=2)


def _by_task(failures: Sequence[Failure], codes: Sequence[str]) -> tuple[Array, Array]:
    """Count by task the failures with each category as a primary one [tasks, codes], and all failures [tasks]."""
    places: Mapping[str, int] = {task: place for place, task in enumerate(sorted({str(f.key) for f in failures}))}
    counts, totals = np.zeros((len(places), len(codes))), np.zeros(len(places))
    for failure in failures:
        place = places[str(failure.key)]
        totals[place] += 1
        causes = failure.causes or (NONE,)
        for index, code in enumerate(codes):
            counts[place, index] += code in causes
    return counts, totals


def _shares(sides: Array, counts: Array, totals: Array) -> Array:
    """Return the shares of the chosen blocks: [splits, blocks] → [splits, codes]."""
    shares: Array = (sides @ counts) / np.maximum(sides @ totals, 1)[:, None]
    return shares


def _p(statistics: Array) -> float:
    """Return the share of splits at least as far apart as the observed one, which comes first."""
    return float(np.mean(statistics >= statistics[0] - 1e-12))
