"""Fit, compare and print: what ``python -m eval.readings fit LOGS --models`` does."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.readings.annotator_agreement import Named
from eval.readings.draw import customer
from eval.readings.fitted.failure_evidence import FailureEvidence
from eval.readings.fitted.failure_features import features
from eval.readings.fitted.meaning import Encode, add_meaning
from eval.readings.fitted.nested import Case, Names
from eval.readings.fitted.rule_comparison import (
    PROCEDURES,
    Runs,
    among_findings,
    chosen,
    compare_with_rule,
    compared_markdown,
    curve,
    leave_out,
    outer,
)
from eval.readings.fitted.steps import step_features
from eval.readings.fitted.stored_comparisons import FittedComparisons, Part, tabulate, write_comparisons
from eval.readings.reader_answers import Reading
from eval.readings.readings import PARTS, final
from eval.readings.readings import ReadingsPart as Half
from fama.agents.reading.sentence_vectors import reading_embedder
from fama.diagnosis.taxonomy import Taxonomy
from fama.episodes.records import Episode
from fama.errors import optional_libraries
from fama.intervals import Array
from fama.provenance import git_commit

#: Parts that the shipped detectors were not tuned on.
UNSEEN: tuple[Half, ...] = ("test", "again")


def pooled(folder: Path) -> dict[str, Reading]:
    """Return the decided readings of all parts.

    Raises:
        BadInput: a committed file is wrong or lacks a reading.
    """
    return {one: reading for part in PARTS for one, reading in final(part, folder).items()}


def cases_of(
    episodes: Mapping[str, Episode], readings: Mapping[str, Reading], taxonomy: Taxonomy, encode: Encode
) -> tuple[list[Case], Names]:
    """Return every read failure with its features, and the names of these."""
    cases = []
    names: Names | None = None
    for one, reading in readings.items():
        shown = FailureEvidence(episodes[one], taxonomy)
        whole = features(shown)
        places, rows = step_features(shown)
        add_meaning(shown, encode, whole, places, rows)
        names = names or Names(tuple(whole), tuple(rows[0]))
        ruled = Named(shown.rule.primary[0], shown.rule.blame, shown.rule.step)
        table_of_steps = np.array([list(row.values()) for row in rows])
        values = np.array(list(whole.values()))
        cases.append(Case(one, customer(episodes[one]), values, tuple(places), table_of_steps, ruled, reading))
    if names is None:
        raise ValueError("no readings")
    return cases, names


def encoder() -> Encode:
    """Return the shipped sentence encoder: the mean of a sentence's chunks, of length 1.

    Raises:
        BadInput: the encoder, or the libraries that run it, are not there.
    """
    with optional_libraries("fit --models"):
        from fama.selection.router.encoder import DEFAULT_ENCODER  # brings torch: only where it is used

    embedder = reading_embedder(DEFAULT_ENCODER)

    def encode(texts: Sequence[str]) -> Array:
        means = np.stack([chunks.mean(axis=0) for chunks in embedder.embed(texts)])
        found: Array = means / np.linalg.norm(means, axis=1, keepdims=True)
        return found

    return encode


def report(episodes: Mapping[str, Episode], folder: Path, taxonomy: Taxonomy, keep: bool = False) -> Iterator[str]:
    """Yield the comparison with the rule, piece by piece: it takes minutes. ``keep`` writes it into the folder."""
    readings = pooled(folder)
    unseen = {one for part in UNSEEN for one in final(part, folder)}
    cases, names = cases_of(episodes, readings, taxonomy, encoder())
    runs = outer(cases, names)
    parts = []
    for title, counted in (("all readings", None), ("those that the rule was not tuned on", unseen)):
        rows = tuple(compare_with_rule(cases, runs, counted))
        parts.append(Part(title=title, rows=rows, among=among_findings(cases, names, counted)))
        yield f"{title}, outer folds of customers\n\n{compared_markdown(rows)}\n"
    yield "Chosen in inner folds\n\n" + "\n".join(f"- {line}" for line in chosen(runs)) + "\n"
    yield _curve(cases, names, runs)
    for of in ("domain", "backbone"):
        part_of = {case.id: str(getattr(episodes[case.id], of)) for case in cases}
        found = leave_out(cases, names, part_of)
        fitted = tuple(row for row in compare_with_rule(cases, found) if row.procedure == PROCEDURES[0])
        parts.append(Part(title=f"a {of} left out with its customers", rows=fitted))
        yield f"A {of} left out with its customers\n\n{compared_markdown(fitted)}\n"
    recorded = FittedComparisons(parts=tuple(parts), commit=git_commit())
    yield tabulate(recorded)
    if keep:
        write_comparisons(recorded, folder)


def _curve(cases: Sequence[Case], names: Names, runs: Runs) -> str:
    lines = ["| target | training failures | right | log loss |", "|---|---|---|---|"]
    lines += [f"| {p.target} | {p.train:.0f} | {100 * p.right:.1f} | {p.loss:.3f} |" for p in curve(cases, names, runs)]
    return "Learning curve, by the choice made most often\n\n" + "\n".join(lines) + "\n"
