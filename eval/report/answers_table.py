"""The questions that a comparison was asked before it ran, with their answers."""

from eval.compare.schema import Answer, Comparison
from eval.compare.task_sets import TaskSet
from eval.metrics.formats import DASH, percent
from eval.report.table_format import Table, TableCell
from eval.stats.margins import shows_margin
from fama.intervals import Interval

_WORDS = {"no_worse": "no worse than", "more": "better than", "same": "the same as"}
_MOST_DIGITS = 4


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
        "Decided by the 95 % intervals over tasks, without Holm's correction: no worse where the difference in success "
        "is above minus the margin, better where it is above 0, the same where it is within the margin. Tokens are new "
        "ones (in no cache) of helpers and selection, over the other arm's.",
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
        TableCell(percent(answer.difference, _digits(answer), signed=True), answer.difference.value),
        TableCell(_yes(answer.shown)),
        TableCell(
            DASH if share is None else percent(share, _share_digits(answer)), None if share is None else share.value
        ),
        TableCell(_yes(answer.tokens_shown)),
    )


def _digits(answer: Answer) -> int:
    """Return the digits of a percentage, one at least, with which the ends that are shown decide as the answer does."""
    ends = answer.difference
    for digits in range(1, _MOST_DIGITS):
        low, high = (None if end is None else round(end, digits + 2) for end in (ends.low, ends.high))
        if shows_margin(Interval(None, low, high), answer.ask, answer.margin) == answer.shown:
            return digits
    return _MOST_DIGITS


def _share_digits(answer: Answer) -> int:
    """Return the digits with which the end of a share of tokens is on its own side of what was asked."""
    share, asked = answer.token_share, answer.tokens
    if share is None or share.high is None or asked is None:
        return 0
    high = share.high
    sides = (digits for digits in range(_MOST_DIGITS) if (round(high, digits + 2) <= asked) == (high <= asked))
    return next(sides, _MOST_DIGITS)


def _yes(value: bool | None) -> str:
    return DASH if value is None else "yes" if value else "no"
