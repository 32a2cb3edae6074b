"""Tables of what the user hears, and the list of replies in which it hears something else than was read."""

from collections.abc import Sequence

from eval.metrics.formats import DASH, percent
from eval.report.table_format import Table, TableCell, markdown
from eval.understanding.hearing import HeardReply
from eval.understanding.labelled_replies import NOT_FOUND
from eval.understanding.measure import ASKED, HEARD, IMPLIED, ROWS, counts, grouped, measure_hearing


def hearing_tables(replies: Sequence[HeardReply]) -> str:
    """Return both tables, as they stand in docs/helpdesk.md."""
    return f"{accuracy_table(replies)}\n\n{lookup_table(replies)}"


def accuracy_table(replies: Sequence[HeardReply]) -> str:
    """Tabulate precision and recall by row and group; what nobody said or heard is left out."""
    groups = grouped(replies)
    sizes = "; ".join(
        f"{', '.join(g)}: {len(own)} of {len({one.task for one in own})} tasks" for g, own in groups.items()
    )
    body = tuple(
        (
            one.row,
            f"{one.backbone}, {one.domain}",
            str(one.said),
            DASH if one.precision is None else str(one.heard),
            DASH if one.precision is None else percent(one.precision, 0),
            percent(one.recall, 0),
        )
        for one in sorted(measure_hearing(replies), key=lambda one: ROWS.index(one.row))
        if one.said or one.heard
    )
    head = ("what", "backbone, domain", "said", "heard", "precision, %", "recall, %")
    return f"Replies: {sizes}.\n\n{_table(head, body)}"


def lookup_table(replies: Sequence[HeardReply]) -> str:
    """Tabulate what is heard in replies that say that a look-up failed and nothing else; several may hold."""
    groups = grouped([one for one in replies if one.reply.acts == (NOT_FOUND,)])
    body = tuple((", ".join(group), str(len(own)), *_heard_as(own)) for group, own in groups.items())
    return _table(("failed look-ups alone", "n", ASKED, *HEARD, "nothing"), body)


def hearing_errors(replies: Sequence[HeardReply]) -> str:
    """List what was missed or wrongly heard, one line each."""
    lines = []
    for one in replies:
        for row, count in counts(one).items():
            for kind, number in (("wrong", count.wrong), ("missed", 0 if row == IMPLIED else count.missed)):
                if number:
                    asked = f" (heard: {', '.join(one.heard.asked) or 'none'})" if row == ASKED else ""
                    lines.append(f"{row}, {kind}: {one.reply.backbone}, {one.reply.domain}: {one.reply.text}{asked}")
    return "\n".join(sorted(lines))


def _heard_as(replies: Sequence[HeardReply]) -> list[str]:
    flags = [[bool(one.heard.asked), *(of(one.heard) for of in HEARD.values())] for one in replies]
    return [*(str(sum(column)) for column in zip(*flags, strict=True)), str(sum(not any(row) for row in flags))]


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    return markdown(
        Table("understanding", "", "", tuple(head), tuple(tuple(map(TableCell, row)) for row in body))
    ).rstrip()
