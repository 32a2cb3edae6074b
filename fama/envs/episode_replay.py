"""Playing a logged episode again: does an adapter give the reward that its benchmark gave?"""

from dataclasses import dataclass

from fama.envs.base import Action, Benchmark, Environment, UserModel
from fama.episodes.foreign.fields import REWARD_TOLERANCE
from fama.episodes.records import Episode, LedgerRow
from fama.errors import ModelError
from fama.models.base import ChatReply, ChatRequest

NOT_CARRIED_OUT = frozenset({"loop", "unparseable"})
"""Endings of our own loop whose last action never reached the environment."""


class LoggedUser:
    """Says what the user said in the log, turn by turn; it is a replay, not a model.

    Which of the logged turns comes next is read from the request, where the user's own turns so far are ``assistant``
    messages: words that an environment opens with, or that a task starts in the middle of, are not asked for.
    """

    def __init__(self, episode: Episode) -> None:
        self._words = tuple(m.content or "" for m in episode.messages if m.role == "user")

    @property
    def name(self) -> str:
        """Return the name in ledgers."""
        return "replay:user"

    def reply(self, request: ChatRequest) -> ChatReply | None:
        """Return the logged turn that answers a request; None where the log has no more."""
        said = sum(message["role"] == "assistant" for message in request.messages)
        if said >= len(self._words):
            return None
        return ChatReply(text=self._words[said], usage=LedgerRow(role=request.role, model=self.name))

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the next logged turn.

        Raises:
            ModelError: the log has no more.
        """
        reply = self.reply(request)
        if reply is None:
            raise ModelError("the log ends here")
        return reply


@dataclass(frozen=True)
class Replayed:
    """A replay: the rewards in the log and now, and what went differently first, empty if nothing did."""

    episode: Episode
    reward: float
    difference: str

    @property
    def agrees(self) -> bool:
        """True when the rewards are the same."""
        return abs(self.reward - (self.episode.reward or 0.0)) < REWARD_TOLERANCE


async def replay(benchmark: Benchmark, episode: Episode) -> Replayed:
    """Carry out an episode's actions against its logged user; tools answer anew.

    Raises:
        BadInput: the benchmark has no such task.
        BoundaryError: the environment failed.
    """
    environment, difference = await play_again(benchmark, episode)
    return Replayed(episode, environment.outcome().reward, difference)


async def play_again(benchmark: Benchmark, episode: Episode) -> tuple[Environment, str]:
    """Return the environment after an episode's actions, and the first answer that differed; empty if none.

    Raises:
        BadInput: the benchmark has no such task.
        BoundaryError: the environment failed.
    """
    environment = benchmark.environment(episode.domain, episode.task_id, UserModel(LoggedUser(episode)))
    observation = await environment.reset(0)
    difference = ""
    messages = episode.messages
    for index, message in enumerate(messages):
        if message.role != "assistant" or observation.done:
            continue
        if index == len(messages) - 1 and episode.outcome.reason in NOT_CARRIED_OUT:
            break
        if message.tool_calls:
            call = message.tool_calls[0].function
            action = Action(tool=call.name, arguments=call.parsed())
        else:
            action = Action(tool=None, text=message.content or "")
        if action.tool is None and not any(m.role == "user" for m in messages[index + 1 :]):
            break  # the log was cut before the user answered
        observation = await environment.step(action)
        said = messages[index + 1].content if index + 1 < len(messages) else None
        if not difference and observation.role == "tool" and (observation.content or "") != (said or ""):
            difference = f"message {index + 1}: the tool {action.tool} answers otherwise than in the log"
    return environment, difference
