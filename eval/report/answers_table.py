"""The questions that a comparison was asked before it ran, with their answers."""

from eval.compare.schema import Answer, Comparison
from eval.compare.task_sets import TaskSet
from eval.metrics.formats import DASH, percent
from eval.report.table_format import Table, TableCell

_WORDS = {"no_worse": "no worse than", "more": "better than", "same": "the same as"}


def answers_table(comparison: Comparison) -> Table | None:
    """Tabulate the answers; None where nothing was asked."""
    if not comparison.answers:
        return None
    others = [other_tasks(answer, comparison.task_set) for answer in comparison.answers]
    title = "Questions asked before the run"
    if comparison.kind == "replay":
        title = "Questions asked of episodes that were there before"
    elif any(others):
        title = "Questions, asked of other tasks or trials where they say so"
    return Table(
        "answers",
        title,
        "Decided by the 95 % intervals over tasks: no worse where the difference in success is above minus the margin, "
        "better where it is above 0, the same where it is within the margin. Tokens are new ones (in no cache) of "
        "helpers and selection, over the other arm's.",
        ("question", "difference, points", "shown", "tokens over the other's, %", "shown cheaper"),
        tuple(map(_row, comparison.answers, others)),
    )


def question(answer: Answer) -> str:
    """Return a question in words: ``learned no worse than all, margin 5 points, for at most 25 % of its tokens``."""
    margin = "" if answer.ask == "more" else f", margin {100 * answer.margin:g} points"
    tokens = "" if answer.tokens is None else f", for at most {100 * answer.tokens:g} % of its tokens"
    return f"{answer.arm} {_WORDS[answer.ask]} {answer.than}{margin}{tokens}"


def other_tasks(answer: Answer, now: TaskSet) -> str:
    """Return in words that a question was first asked of other tasks or trials than it is answered on.

    Empty where they are the same, or where it was not recorded.
    """
    asked = answer.asked
    if asked is None or asked == now:
        return ""
    if asked.trials != now.trials:
        return f"asked of {size(asked)}, answered on {size(now)}"
    return f"asked of {_tasks(asked)}, answered on {'another ' * (asked.tasks == now.tasks)}{now.tasks}"


def size(one: TaskSet) -> str:
    """Return ``28 tasks × 4 trials``."""
    return f"{_tasks(one)} × {one.trials} trial{'s' * (one.trials != 1)}"


def _tasks(one: TaskSet) -> str:
    return f"{one.tasks} task{'s' * (one.tasks != 1)}"


def _row(answer: Answer, other: str) -> tuple[TableCell, ...]:
    share = answer.token_share
    return (
        TableCell(question(answer) + (f" ({other})" if other else "")),
        TableCell(percent(answer.difference, signed=True), answer.difference.value),
        TableCell(_yes(answer.shown)),
        TableCell(DASH if share is None else percent(share, 0), None if share is None else share.value),
        TableCell(_yes(answer.tokens_shown)),
    )


def _yes(value: bool | None) -> str:
    return DASH if value is None else "yes" if value else "no"
