"""The questions that a comparison was asked before it ran, with their answers."""

from eval.compare.schema import Answer, Comparison
from eval.metrics.formats import DASH, percent
from eval.report.table_format import Cell, Table

_WORDS = {"no_worse": "no worse than", "more": "better than", "same": "the same as"}


def answers_table(comparison: Comparison) -> Table | None:
    """Tabulate the answers; None where nothing was asked."""
    if not comparison.answers:
        return None
    replayed = comparison.kind == "replay"
    return Table(
        "answers",
        "Questions asked of episodes that were there before" if replayed else "Questions asked before the run",
        "Decided by the 95 % intervals over tasks: no worse where the difference in success is above minus the margin, "
        "better where it is above 0, the same where it is within the margin. Tokens are new ones (in no cache) of "
        "helpers and selection, over the other arm's.",
        ("question", "difference, points", "shown", "tokens over the other's, %", "shown cheaper"),
        tuple(map(_row, comparison.answers)),
    )


def question(answer: Answer) -> str:
    """Return a question in words: ``learned no worse than all, margin 5 points, for at most 25 % of its tokens``."""
    margin = "" if answer.ask == "more" else f", margin {100 * answer.margin:g} points"
    tokens = "" if answer.tokens is None else f", for at most {100 * answer.tokens:g} % of its tokens"
    return f"{answer.arm} {_WORDS[answer.ask]} {answer.than}{margin}{tokens}"


def _row(answer: Answer) -> tuple[Cell, ...]:
    share = answer.token_share
    return (
        Cell(question(answer)),
        Cell(percent(answer.difference, signed=True), answer.difference.value),
        Cell(_yes(answer.shown)),
        Cell(DASH if share is None else percent(share, 0), None if share is None else share.value),
        Cell(_yes(answer.tokens_shown)),
    )


def _yes(value: bool | None) -> str:
    return DASH if value is None else "yes" if value else "no"
