"""Precision and recall of what the user hears, per act, backbone and domain, with intervals over tasks.

A slot or act that is heard and labelled is a hit. Acts that the labels leave open count neither way; a heard slot that
is only implied is not wrong; slots that the user of the task cannot be asked for are left out.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

from eval.understanding.hearing import HeardReply
from eval.understanding.labelled_replies import AgentAct, slots_named
from fama.envs.helpdesk.tasks import generator_of
from fama.envs.helpdesk.user.recognition import Heard
from fama.intervals import Interval, clustered_share

#: How an act shows in what the user heard. It has none for ``not_found``.
HEARD: dict[AgentAct, Callable[[Heard], bool]] = {
    "proposal": lambda heard: heard.proposal,
    "refusal": lambda heard: bool(heard.refusing),
    "report": lambda heard: heard.report,
    "more": lambda heard: heard.more,
    "wait": lambda heard: heard.wait,
    "stranger": lambda heard: heard.stranger,
}
ASKED, IMPLIED = "asked slots", "implied slots"
#: Rows of a group, in the order of the table.
ROWS = (ASKED, IMPLIED, *(act for act in get_args(AgentAct) if act in HEARD))


@dataclass(frozen=True)
class HearingCount:
    """Hits, wrongly heard and missed of one row in one reply."""

    hits: int
    wrong: int
    missed: int


@dataclass(frozen=True)
class Accuracy:
    """A row in one group of replies. ``said`` and ``heard`` count without what the labels leave open.

    ``precision`` is None for implied slots: nothing that is heard is wrong for not being implied.
    """

    backbone: str
    domain: str
    row: str
    said: int
    heard: int
    precision: Interval | None
    recall: Interval


def counts(one: HeardReply) -> dict[str, HearingCount]:
    """Return the counts of every row in one reply."""
    reply, heard = one.reply, frozenset(one.heard.asked)
    domain = generator_of(reply.domain).domain
    asked = slots_named(domain, reply.asked) & one.answerable
    implied = (slots_named(domain, reply.implied) & one.answerable) - asked
    found = {
        ASKED: HearingCount(len(heard & asked), len(heard - asked - implied), len(asked - heard)),
        IMPLIED: HearingCount(len(heard & implied), 0, len(implied - heard)),
    }
    for act, of in HEARD.items():
        said, is_heard, clear = act in reply.acts, of(one.heard), act not in reply.maybe
        found[act] = HearingCount(
            int(said and is_heard), int(is_heard and not said and clear), int(said and not is_heard)
        )
    return found


def measure_hearing(replies: Sequence[HeardReply]) -> list[Accuracy]:
    """Return all rows of all groups, the groups sorted by backbone and domain."""
    return [_accuracy(group, row, own) for group, own in grouped(replies).items() for row in ROWS]


def grouped(replies: Sequence[HeardReply]) -> dict[tuple[str, str], list[HeardReply]]:
    """Return the replies by backbone and domain, sorted."""
    groups: dict[tuple[str, str], list[HeardReply]] = defaultdict(list)
    for one in replies:
        groups[one.reply.backbone, one.reply.domain].append(one)
    return dict(sorted(groups.items()))


def _accuracy(group: tuple[str, str], row: str, replies: Sequence[HeardReply]) -> Accuracy:
    tasks: dict[str, list[HearingCount]] = defaultdict(list)
    for one in replies:
        tasks[one.task].append(counts(one)[row])
    hits = [sum(count.hits for count in own) for own in tasks.values()]
    wrong = [sum(count.wrong for count in own) for own in tasks.values()]
    missed = [sum(count.missed for count in own) for own in tasks.values()]
    return Accuracy(
        backbone=group[0],
        domain=group[1],
        row=row,
        said=sum(hits) + sum(missed),
        heard=sum(hits) + sum(wrong),
        precision=None if row == IMPLIED else clustered_share(hits, [h + w for h, w in zip(hits, wrong, strict=True)]),
        recall=clustered_share(hits, [h + m for h, m in zip(hits, missed, strict=True)]),
    )
