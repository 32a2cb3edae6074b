"""Footnotes of tables: what a row leaves out, and why a value is unknown."""

from collections.abc import Iterable, Mapping

from eval.metrics.formats import DASH
from eval.metrics.measures import Measures


def short_tasks(row: str, measures: Measures) -> list[str]:
    """Return a line for each k on the tasks with fewer than k trials, which pass^k leaves out."""
    return [
        f"{row}: pass^{one.k} leaves out {_counted(one.short, 'task')} with fewer trials"
        for one in measures.pass_k
        if one.short
    ]


def unknown_cost(rows: Iterable[Measures], reason: str) -> list[str]:
    """Return one line that gives the reason why tokens or seconds of scored episodes are unknown; empty if none are."""
    scored = [row for row in rows if row.successes + row.failures]
    told = [
        *(["tokens"] if any(row.tokens.value is None for row in scored) else []),
        *(["seconds"] if any(row.episode_seconds.value is None for row in scored) else []),
    ]
    return [f"{DASH}: {reason} ({', '.join(told)})"] if told else []


def guessed_labels(guesses: Mapping[str, int], without: bool) -> list[str]:
    """Return a line for each annotator of whose labels some are guesses, and whether they were left out."""
    what = "left out" if without else "counted as labels; --without-guesses leaves them out"
    return [
        f"{_counted(count, 'label')} of {rater} guessed, since no detector found a cause: {what}"
        for rater, count in guesses.items()
        if count
    ]


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
