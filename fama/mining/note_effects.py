"""Effects of single notes on logged episodes: how many fixed, broke or did nothing, by helper, form, domain and arm."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fama.intervals import Interval, clustered_share
from fama.mining.mined_folder import RepairFolder
from fama.mining.records import EpisodeKind, Intervention, Repair


class NoteGroup(NamedTuple):
    """Notes that are counted together."""

    helper: str
    form: str
    benchmark: str
    domain: str | None
    """None where notes of all domains are counted together."""
    backbone: str | None
    arm: str | None
    """The arm beside whose own helpers, or in place of another form of one, the note was given; None for the plain
    agent, where it was given alone."""
    kind: EpisodeKind
    texts: str = ""
    """Version of the texts that the notes are written by; empty where nothing says it."""


@dataclass(frozen=True)
class NoteEffects:
    """Effects of a helper's notes, each put before one decision of a logged episode, beside what its arm asks there.

    ``asked`` counts decisions, ``notes`` those at which a note was given, ``tasks`` the tasks behind the notes.
    ``flipped`` notes turned the outcome: they fixed a failed episode or broke a solved one. ``changed`` ones changed
    the action only, ``same`` ones nothing. ``unknown`` are those whose run ended in an error, or for which the budget
    ended before it, and those with which, as without, no action could be read and the outcome stayed; the shares are
    over the other notes, with intervals over tasks.
    """

    group: NoteGroup
    asked: int
    notes: int
    tasks: int
    flipped: int
    changed: int
    same: int
    unknown: int
    flipped_share: Interval
    changed_share: Interval
    same_share: Interval


def note_effects(folders: Iterable[RepairFolder], by_domain: bool = True) -> tuple[NoteEffects, ...]:
    """Return what single notes did, ordered by helper, form, domain and arm; failed episodes before solved ones.

    Without ``by_domain``, notes of all domains of a benchmark are counted together.
    A decision of an episode that several folders mined with the same helper and form counts once, by the first that
    knows its effect.
    """
    found: dict[tuple[str, NoteGroup, int], tuple[str, str]] = {}
    for folder in folders:
        forms, texts = folder.forms, folder.texts
        for record in folder.records:
            for one in _single(record):
                helper = one.members[0]
                group = NoteGroup(
                    helper,
                    forms[helper],
                    record.benchmark,
                    record.domain if by_domain else None,
                    record.backbone,
                    record.arm,
                    record.kind,
                    texts[helper],
                )
                key = record.episode_id, group, one.decision
                if key not in found or found[key][1] == "unknown":
                    found[key] = str(record.key), _effect(one, record)
    counts: dict[NoteGroup, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for (_, group, _), (task, effect) in found.items():
        counts[group][task][effect] += 1
    order = sorted(counts, key=lambda group: tuple(part or "" for part in group))
    return tuple(_summed(group, list(counts[group].values())) for group in order)


def _single(record: Repair) -> Iterator[Intervention]:
    """Return the interventions that ask one helper, and leave out none of an arm's own."""
    alone = (one for one in record.interventions if not one.given and len(one.members) == 1)
    return (one for one in alone if one.subset is None or one.members[0] in one.subset)


def _effect(one: Intervention, record: Repair) -> str:
    """Return what a note did; a branch of an arm is run on also where its action is the same."""
    if one.outcome == "no note":
        return "silent"
    if one.outcome in ("success", "failure") and (one.outcome == "success") is (record.kind == "failed"):
        return "flipped"
    if one.outcome in ("not run", "error"):
        return "unknown"
    if one.outcome == "same action" or (record.arm is not None and one.after == one.before):
        return "unknown" if one.before is None else "same"  # of two unreadable replies nobody knows what they would do
    return "changed"


def _summed(group: NoteGroup, tasks: list[Counter[str]]) -> NoteEffects:
    total = sum(tasks, Counter[str]())
    known = [task["flipped"] + task["changed"] + task["same"] for task in tasks]
    notes = [count + task["unknown"] for count, task in zip(known, tasks, strict=True)]
    shares = {name: clustered_share([task[name] for task in tasks], known) for name in ("flipped", "changed", "same")}
    return NoteEffects(
        group=group,
        asked=total.total(),
        notes=sum(notes),
        tasks=sum(map(bool, notes)),
        flipped=total["flipped"],
        changed=total["changed"],
        same=total["same"],
        unknown=total["unknown"],
        flipped_share=shares["flipped"],
        changed_share=shares["changed"],
        same_share=shares["same"],
    )
