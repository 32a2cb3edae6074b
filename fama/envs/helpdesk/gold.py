"""Reference actions, and playing a list of actions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from fama.envs.base import Action, Environment, Observation, Reward
from fama.envs.helpdesk.engine import BUSY
from fama.envs.helpdesk.tasks import build_task
from fama.episodes.records import FunctionCall, Message, ToolCall


@dataclass(frozen=True)
class Played:
    """A conversation without its system message, and the verdict."""

    messages: tuple[Message, ...]
    reward: Reward
    reason: str


def gold_actions(domain: str, task_id: str) -> list[Action]:
    """Return the reference actions of a task, words to the user included.

    Raises:
        BadInput: the domain or the task is unknown.
    """
    return list(build_task(domain, task_id).gold)


async def play(environment: Environment, actions: Sequence[Action], seed: int) -> Played:
    """Carry out actions one after the other; a tool that answers busy is called once more."""
    start = await environment.reset(seed)
    messages = [Message(role="user", content=start.content)]
    last = start
    for action in actions:
        last = await _step(environment, action, messages)
        if last.role == "tool" and BUSY in (last.content or ""):
            last = await _step(environment, action, messages)
        if last.done:
            break
    return Played(tuple(messages), environment.outcome(), last.reason)


async def _step(environment: Environment, action: Action, messages: list[Message]) -> Observation:
    observation = await environment.step(action)
    if action.tool is None:
        messages.append(Message(role="assistant", content=action.text))
        messages.append(Message(role="user", content=observation.content))
        return observation
    call_id = f"call_{len(messages)}"
    function = FunctionCall(name=action.tool, arguments=json.dumps(action.arguments, ensure_ascii=False))
    messages.append(Message(role="assistant", tool_calls=(ToolCall(id=call_id, function=function),)))
    messages.append(Message(role="tool", content=observation.content, tool_call_id=call_id, name=action.tool))
    return observation
