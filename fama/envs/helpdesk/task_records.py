"""The records of a task: the world, the user's goals, the reference actions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fama.envs.base import Action
from fama.episodes.records import ToolSpec

Db = dict[str, Any]
Resolution = Literal["resolved", "refused"]
#: When the user corrects itself: not at all, together with its identity, or at the first proposal.
When = Literal["", "identity", "proposal"]


class ToolError(Exception):
    """A tool cannot do what it was asked; its text is what the agent reads."""


@dataclass(frozen=True)
class Tool:
    """One tool: what the agent sees, and what it does to the database.

    ``arguments`` holds the JSON type of each argument; all are required. ``run`` gets the database and the
    arguments as text, numbers as ``int``, and returns a JSON-able answer. It checks what is possible, never what
    the policy allows. ``changes`` is true for tools that need the user's yes.
    """

    spec: ToolSpec
    arguments: Mapping[str, str]
    run: Callable[[Db, Mapping[str, Any]], Mapping[str, Any]]
    changes: bool = False


@dataclass(frozen=True)
class Lookup:
    """A tool call that counts as having looked something up."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Fact:
    """Something the user has to be told. ``kind`` says how tolerantly it is matched."""

    kind: Literal["money", "date", "number", "text"]
    value: str


@dataclass(frozen=True)
class Check:
    """The user's check that a proposal is about the right object.

    Of all matches of ``pattern`` in the agent's words, leaving ``neutral`` ones out, one has to be
    the value that the user has in mind for ``slot`` now. The user cannot tell for ids it does not
    know (``known`` false): it then answers with a condition.
    """

    slot: str
    pattern: str
    neutral: frozenset[str] = frozenset()
    known: bool = True


@dataclass(frozen=True)
class Goal:
    """One thing the user wants.

    ``phrase`` names the verb phrases that state it, ``wish`` holds what the user answers when asked and
    what its proposals are checked against, ``first`` the values it has in mind until it corrects
    ``fix_slot``, either together with its identity or at the first proposal. ``told`` are the slots that
    the opening states already. ``words`` recognises a proposal about this goal, ``change`` is the tool that
    carries it out (None for a question).
    """

    kind: str
    phrase: str
    wish: Mapping[str, str]
    words: str
    first: Mapping[str, str] = field(default_factory=dict)
    fix_slot: str = ""
    fix_when: When = ""
    told: frozenset[str] = frozenset()
    checks: tuple[Check, ...] = ()
    change: str | None = None
    refused: bool = False
    pushes: bool = False
    facts: tuple[Fact, ...] = ()
    evidence: tuple[Lookup, ...] = ()


@dataclass(frozen=True)
class Task:
    """One problem. It says nothing about the family, the level or the traps it was built for."""

    task_id: str
    db: Db
    identity: Mapping[str, str]
    goals: tuple[Goal, ...]
    gold: tuple[Action, ...]
    outcome: Resolution


@dataclass(frozen=True)
class Analysis:
    """The purpose of a task: for tests and analysis only, never part of an environment."""

    family: str
    level: int
    refused: bool
    corrected: bool
    traps: tuple[str, ...]


@dataclass(frozen=True)
class Draft:
    """A generated task beside what it was built for."""

    task: Task
    analysis: Analysis


@dataclass(frozen=True)
class Domain:
    """A policy, its tools and how its user talks.

    ``identity`` are the slots that prove who the user is, ``verifier`` the tool that checks them; ``asks`` recognises
    what is asked, a slot each.
    """

    name: str
    policy: str
    tools: Mapping[str, Tool]
    identity: tuple[str, ...]
    verifier: str
    asks: Mapping[str, str]


def say(text: str) -> Action:
    """Return words to the user."""
    return Action(tool=None, text=text)


def call(tool: str, **arguments: Any) -> Action:
    """Return a tool call."""
    return Action(tool=tool, arguments=arguments)
