"""The visible state: all that a selector or a helper may look at before a decision."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fama.episodes.records import Episode, Message, Note, ToolSpec

#: The pseudo-tool of strategies and notes whose only argument is what the agent says to the user.
RESPOND = "respond"


#: What a user does with a sentence: says yes, takes something back or says no, takes what it was told, asks for a
#: change, asks for information, or anything else.
UserAct = Literal["agree", "correct", "accept", "ask_change", "ask_info", "other"]


@dataclass(frozen=True)
class SentenceReading:
    """A sentence or clause of a user turn, read by meaning.

    ``tools`` are the changes that it asks for: the best one first, then others that fit as well.
    """

    text: str
    act: UserAct
    tools: tuple[str, ...] = ()


@dataclass(frozen=True)
class TurnReading:
    """A user turn, read once for all helpers; ``index`` is its message's."""

    index: int
    sentences: tuple[SentenceReading, ...]


@dataclass(frozen=True)
class VisibleState:
    """Everything visible before decision ``turn`` (0-based). It names no task and has no field from the future.

    ``messages`` is the history without system messages and without notes; ``noted`` holds the
    notes injected before earlier decisions as (turn, note). ``readings`` are of every user turn, or
    empty where nobody reads by meaning.
    """

    policy: str
    tools: tuple[ToolSpec, ...]
    messages: tuple[Message, ...]
    turn: int = 0
    noted: tuple[tuple[int, Note], ...] = ()
    benchmark: str = ""
    domain: str = ""
    """With ``benchmark``: whose file may state what the tools do (``fama.dialogue.roles``); for nothing else."""
    readings: tuple[TurnReading, ...] = ()

    def tool_names(self) -> frozenset[str]:
        """Return the names of the tools the agent can call."""
        return frozenset(tool.name for tool in self.tools)


def state_at(episode: Episode, turn: int) -> VisibleState:
    """Return the state that was visible before decision ``turn`` of a logged episode, counted from its first record.

    Raises:
        IndexError: the episode has no such decision.
    """
    return _state(episode, turn, decision_steps(episode)[turn])


def decision_steps(episode: Episode) -> tuple[int, ...]:
    """Return the index in the messages of what each decision of a logged episode produced.

    Episodes without decision records (imported ones) count every assistant message as a decision, but a greeting before
    the user's first words: no agent decided on it, and before it there is no conversation to decide by.
    """
    start = _start(episode.messages)
    recorded = tuple(decision.message_index for decision in episode.decisions)
    return recorded or tuple(i for i, one in enumerate(episode.messages) if one.role == "assistant" and i >= start)


def turn_of(messages: Sequence[Message]) -> int:
    """Count the assistant's messages since the user's first; a greeting before it was no decision."""
    start = next((index for index, message in enumerate(messages) if message.role == "user"), 0)
    return sum(message.role == "assistant" for message in messages[start:])


def _start(messages: Sequence[Message]) -> int:
    """Return the index of the user's first message where the agent did nothing but speak before it; else 0."""
    for index, message in enumerate(messages):
        if message.role == "user":
            return index
        if message.role == "tool" or message.tool_calls:
            break
    return 0


def policy_span(messages: Sequence[Message]) -> tuple[int, int]:
    """Return where the agent's rules begin and end: the first system message and those directly behind it."""
    begin = next((index for index, message in enumerate(messages) if message.role == "system"), 0)
    rest = (index for index in range(begin, len(messages)) if messages[index].role != "system")
    return begin, next(rest, len(messages))


def policy_of(messages: Sequence[Message]) -> str:
    """Return the rules that the agent was given, of all messages in their span; empty where there are none."""
    begin, end = policy_span(messages)
    return "\n\n".join(message.content for message in messages[begin:end] if message.content)


def state_after(episode: Episode) -> VisibleState:
    """Return a finished episode as a state, for the retrospective track only: no outcome, no reward, no gold."""
    return _state(episode, len(decision_steps(episode)), len(episode.messages))


def _state(episode: Episode, turn: int, end: int) -> VisibleState:
    before, decisions = episode.messages[:end], episode.decisions
    noted = tuple((d.turn, note) for d in decisions[:turn] for note in d.notes)
    return VisibleState(
        policy=policy_of(before),
        tools=episode.tools,
        messages=tuple(m for m in before if m.role != "system"),
        turn=decisions[turn].turn if turn < len(decisions) else turn,
        noted=noted,
        benchmark=episode.benchmark,
        domain=episode.domain,
    )


def state_to_json(state: VisibleState) -> str:
    """Return policy, tools and messages as JSON, the text column of an outcome table, without notes."""
    return json.dumps(
        {
            "policy": state.policy,
            "tools": [tool.model_dump() for tool in state.tools],
            "messages": [message.model_dump(exclude_none=True) for message in state.messages],
            "turn": state.turn,
        },
        ensure_ascii=False,
    )


def state_from_json(text: str, benchmark: str = "", domain: str = "") -> VisibleState:
    """Return the state behind ``state_to_json``, in the benchmark and domain that the text does not name."""
    value = json.loads(text)
    return VisibleState(
        policy=value["policy"],
        tools=tuple(ToolSpec.model_validate(tool) for tool in value["tools"]),
        messages=tuple(Message.model_validate(message) for message in value["messages"]),
        turn=value["turn"],
        benchmark=benchmark,
        domain=domain,
    )
