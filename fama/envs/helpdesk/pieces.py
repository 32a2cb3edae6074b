"""The pieces of a task, and its reference actions made from them as both domains' policies prescribe."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fama.envs.base import Action
from fama.envs.helpdesk.task_mix import TaskPlan
from fama.envs.helpdesk.task_records import Analysis, Db, Draft, Goal, Resolution, Task, call, say

CATEGORIES = ("DCV", "WRCO", "CM", "IFU")


@dataclass
class Piece:
    """One goal with the calls and words that serve it.

    ``asks`` are questions still open after the opening, ``looks`` the look-ups, ``proposal`` what to confirm,
    ``changes`` the calls that carry it out, ``report`` what to tell afterwards, ``refusal`` what to say instead.
    ``first_looks`` and ``first_proposal`` come before the user corrects itself at the proposal.
    """

    goal: Goal
    looks: list[Action]
    asks: list[str] = field(default_factory=list)
    proposal: str = ""
    changes: list[Action] = field(default_factory=list)
    report: str = ""
    refusal: str = ""
    first_looks: list[Action] = field(default_factory=list)
    first_proposal: str = ""
    traps: set[str] = field(default_factory=set)


def joined_actions(
    greeting: str, identity: Sequence[Action], overview: Sequence[Action], pieces: Sequence[Piece]
) -> tuple[Action, ...]:
    """Return the reference actions of a task made of one or two pieces."""
    actions: list[Action] = [say(greeting), *identity]
    questions = list(dict.fromkeys(q for piece in pieces for q in piece.asks))
    if questions:
        actions.append(say(" ".join(questions)))
    actions += overview
    late = [piece for piece in pieces if piece.first_proposal]
    for piece in late:
        actions += [*piece.first_looks, say(f"{piece.first_proposal} Shall I go ahead?")]
    for piece in pieces:
        actions += [look for look in piece.looks if look not in actions]
    refusals = [piece.refusal for piece in pieces if piece.goal.refused]
    proposals = [piece.proposal for piece in pieces if piece.proposal]
    if proposals:
        actions.append(say(f"{' '.join([*refusals, *proposals])} Shall I go ahead?"))
        refusals = []
    for piece in pieces:
        actions += piece.changes
    words = [*refusals, *(piece.report for piece in pieces if piece.report)]
    actions.append(say(" ".join(words)))
    if any(piece.goal.pushes for piece in pieces):
        actions.append(say("I am sorry, I cannot make an exception."))
    actions.append(call("close_case", outcome=joined_outcome(pieces)))
    return tuple(actions)


def joined_outcome(pieces: Sequence[Piece]) -> Resolution:
    """Return ``refused`` when nothing at all can be done."""
    return "refused" if all(piece.goal.refused for piece in pieces) else "resolved"


def make_draft(
    plan: TaskPlan, db: Db, identity: dict[str, str], pieces: Sequence[Piece], gold: tuple[Action, ...]
) -> Draft:
    """Return the task, and apart from it what it was built for."""
    goals = tuple(piece.goal for piece in pieces)
    traps = set().union(*(piece.traps for piece in pieces))
    if any(goal.refused for goal in goals):
        traps.add("DCV")
    if any(goal.fix_slot for goal in goals):
        traps.add("CM")
    if len(goals) > 1 or not traps:
        traps.add("IFU")
    return Draft(
        task=Task(
            task_id=plan.task_id,
            db=db,
            identity=identity,
            goals=goals,
            gold=gold,
            outcome=joined_outcome(pieces),
        ),
        analysis=Analysis(
            family=plan.family,
            level=plan.level,
            refused=any(goal.refused for goal in goals),
            corrected=any(goal.fix_slot != "" for goal in goals),
            traps=tuple(code for code in CATEGORIES if code in traps),
        ),
    )
