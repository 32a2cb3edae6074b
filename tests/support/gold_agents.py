"""A scripted agent that gives up at one decision unless a helper speaks there, and its user, for tasks of τ-bench."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fama.envs.base import Action
from fama.episodes.state import RESPOND
from fama.helpers.base import HELPERS
from fama.models.base import ChatRequest
from fama.models.scripted import SCRIPTED, ScriptedModel
from tests.support.toy_world import alpha

STOP = "###STOP###"
AGENT, USER = "scripted:gold-agent", "scripted:gold-user"
DONE, GIVES_UP = "Done.", "I cannot do that."
_OPENING = '{"tool": "'


class GoldAgent(ScriptedModel):
    """Takes the actions in their order. At decision ``gives_up`` it says that it cannot, unless Alpha speaks there."""

    def __init__(self, actions: Sequence[Action], gives_up: int, greeted: bool) -> None:
        self._actions = actions
        self._gives_up = gives_up
        self._greeted = greeted
        super().__init__(AGENT, self._reply)

    def _reply(self, request: ChatRequest) -> str:
        turn = sum(message["role"] == "assistant" for message in request.messages) - self._greeted
        action = self._actions[min(turn, len(self._actions) - 1)]
        if turn == self._gives_up and "Alpha speaks" not in request.prefill:
            action = Action(tool=None, text=GIVES_UP)
        arguments = action.arguments if action.tool else {"text": action.text}
        said = json.dumps({"tool": action.tool or RESPOND, "arguments": arguments})
        return request.prefill + said.removeprefix(_OPENING)


def user(request: ChatRequest) -> str:
    """Ask for help until the agent is done or gives up, then hang up."""
    return STOP if str(request.messages[-1]["content"]).startswith((DONE, GIVES_UP)) else "Please help me."


@contextmanager
def gold_agent(actions: Sequence[Action], gives_up: int, greeted: bool) -> Iterator[None]:
    """Register the agent, its user and the helper Alpha for the length of the block.

    ``greeted``: the conversation starts with words of the agent's that the benchmark gives.
    """
    HELPERS.add("Alpha", alpha)
    SCRIPTED.add(AGENT.partition(":")[2], GoldAgent(actions, gives_up, greeted))
    SCRIPTED.add(USER.partition(":")[2], ScriptedModel(USER, user))
    try:
        yield
    finally:
        HELPERS.remove("Alpha")
        for name in (AGENT, USER):
            SCRIPTED.remove(name.partition(":")[2])
